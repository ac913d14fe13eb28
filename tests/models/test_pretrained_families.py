"""Some forty architectures of `transformers`, tiny and random, each against transformers itself."""

from functools import cache

import pytest
import torch

from playground.models.pretrained import PretrainedLM
from playground.models.pretrained_attention import PROJECTIONS
from tests.helpers import random_tokens
from tests.tiny_models import TINY, VOCAB_SIZE

RECURRENT = {"mamba", "mamba2", "rwkv"}
ATTENDING = sorted(set(TINY) - RECURRENT)
BROKEN = {"falcon-alibi"}  # in transformers 5.24, eager attention adds ALiBi twice
TOKENS = random_tokens(2, 21, vocab_size=VOCAB_SIZE)
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@cache
def built(name: str) -> PretrainedLM:
    return PretrainedLM(TINY[name]())


@pytest.mark.parametrize("name", TINY)
def test_its_greedy_tokens_are_those_of_generate(name):
    model, prompt = built(name), TOKENS[:1, :10]
    everything = torch.ones_like(prompt)  # or padding is guessed from the tokens
    options = {"do_sample": False, "eos_token_id": None, "attention_mask": everything}
    wanted = TINY[name]().generate(prompt, max_new_tokens=24, **options)[0, 10:]
    logits, state = model.step(prompt, model.initial_state(1))
    found = []
    for _ in range(24):
        found.append(logits.argmax(-1))
        logits, state = model.step(found[-1][:, None], state)
    assert torch.equal(torch.cat(found), wanted)


@pytest.mark.parametrize("name", TINY)
def test_its_logits_are_those_of_transformers_in_one_go_and_in_chunks(name):
    model = built(name)
    wanted = TINY[name]()(TOKENS, use_cache=False).logits
    torch.testing.assert_close(model.forward(TOKENS), wanted, **CLOSE)
    state, found = model.initial_state(2), []
    for chunk in TOKENS.split((3, 1, 8, 1, 1, 7), dim=1):
        logits, state = model.step_every(chunk, state)
        found.append(logits)
    torch.testing.assert_close(torch.cat(found, dim=1), wanted, **CLOSE)


@pytest.mark.parametrize("name", TINY)
def test_it_reads_embeddings_as_it_reads_tokens(name):
    model = built(name)
    embedded = model.embed(TOKENS)
    torch.testing.assert_close(model.forward_embedded(embedded), model.forward(TOKENS), **CLOSE)


@pytest.mark.parametrize("name", TINY)
def test_its_layers_lead_to_its_logits(name):
    model = built(name)
    layers = model.forward_layers(TOKENS)
    hidden = TINY[name]()(TOKENS, output_hidden_states=True, use_cache=False).hidden_states
    assert len(layers) == len(hidden)
    torch.testing.assert_close(layers[:-1], torch.stack(hidden[:-1]), **CLOSE)
    torch.testing.assert_close(model.head(layers[-1]), model.forward(TOKENS), **CLOSE)
    assert not torch.equal(layers[-1], hidden[-1])  # theirs is normed
    state, found = model.initial_state(2), []
    for chunk in TOKENS.split((4, 1, 16), dim=1):
        stream, state = model.step_layers(chunk, state)
        found.append(stream)
    torch.testing.assert_close(torch.cat(found, dim=2), layers, **CLOSE)


@pytest.mark.parametrize("name", sorted(set(ATTENDING) - BROKEN))
def test_its_attention_is_that_of_transformers(name):
    other = TINY[name]()
    other.config._attn_implementation = "eager"
    wanted = torch.stack(other(TOKENS, output_attentions=True, use_cache=False).attentions)
    torch.testing.assert_close(built(name).attention_maps(TOKENS), wanted, **CLOSE)


def test_the_alibi_of_falcon_is_counted_once():
    model, tokens = built("falcon-alibi"), TOKENS[:1]
    block, T = model.inner.transformer.h[0], tokens.shape[1]
    attention = block.self_attention
    x = block.input_layernorm(model.embed(tokens))
    q, k, _ = attention._split_heads(attention.query_key_value(x))  # (1, T, heads, 8)
    slopes = torch.tensor([2.0 ** (-2 * (head + 1)) for head in range(4)])  # Press et al. 2022
    bias = slopes[:, None, None] * torch.arange(T)
    scores = (q.transpose(1, 2) @ k.permute(0, 2, 3, 1) + bias) / 8**0.5
    future = torch.ones(T, T, dtype=torch.bool).triu(1)
    wanted = scores.masked_fill(future, -torch.inf).softmax(-1)
    torch.testing.assert_close(model.attention_maps(tokens)[0], wanted, **CLOSE)


@pytest.mark.parametrize("name", ATTENDING)
def test_leaving_out_heads_is_taking_their_part_from_the_output_projection(name):
    model, inner = built(name), TINY[name]()
    layer, heads = model.n_layer - 1, (0, 3)
    attending = [
        projection
        for module in inner.modules()
        if "Attention" in type(module).__name__
        for key in PROJECTIONS
        if (projection := module._modules.get(key)) is not None
    ]
    weight = attending[layer].weight
    inputs = weight if type(attending[layer]).__name__ == "Conv1D" else weight.T  # (in, out)
    inputs.unflatten(0, (model.n_head, -1))[list(heads)] = 0
    wanted = inner(TOKENS, use_cache=False).logits
    found = model.forward_without(TOKENS, frozenset((layer, head) for head in heads))
    torch.testing.assert_close(found, wanted, **CLOSE)
    assert not torch.allclose(found, model.forward(TOKENS), **CLOSE)
