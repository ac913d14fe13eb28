"""Leaving heads out: against weights that are set to 0, and as an ARModel."""

import copy

import pytest
import torch

from playground.errors import ConfigError, ContextFullError
from playground.models.ablation import WithoutHeads
from playground.models.base import ARModel, HasHeads, State
from playground.models.pretrained import PretrainedLM
from tests.helpers import CONTEXT_LENGTH, lstm, random_tokens, transformer
from tests.tiny_models import TINY

HEADS = frozenset({(0, 1), (1, 0), (1, 2)})


def test_no_head_less_is_the_model():
    model, tokens = transformer(), random_tokens(2, 9)
    assert isinstance(model, HasHeads)
    assert not isinstance(lstm(), HasHeads)
    assert torch.equal(model.forward_without(tokens, frozenset()), model.forward(tokens))


def test_a_head_less_is_a_model_whose_projection_of_it_is_0():
    model, tokens = transformer(), random_tokens(2, 9)
    other = copy.deepcopy(model)
    size = model.config.n_embd // model.n_head
    for layer, head in HEADS:
        other.blocks[layer].project.weight[:, head * size : (head + 1) * size] = 0
    found = model.forward_without(tokens, HEADS)
    torch.testing.assert_close(found, other.forward(tokens))
    assert not torch.allclose(found, model.forward(tokens), atol=0.1)


def test_the_same_holds_for_a_model_of_transformers():
    model, other = PretrainedLM(TINY["llama"]()), TINY["llama"]()
    tokens = random_tokens(2, 9, vocab_size=250)
    size = other.config.head_dim
    heads = frozenset({(0, 1), (2, 3)})
    for layer, head in heads:
        weight = other.model.layers[layer].self_attn.o_proj.weight
        weight[:, head * size : (head + 1) * size] = 0
    wanted = torch.cat([other(input_ids=row).logits for row in tokens.split(1)])
    torch.testing.assert_close(WithoutHeads(model, heads).forward(tokens), wanted)
    plain = torch.cat([model.forward(row) for row in tokens.split(1)])
    torch.testing.assert_close(model.forward_without(tokens, frozenset()), plain)


def test_it_steps_like_any_model():
    model = WithoutHeads(transformer(), HEADS)
    tokens = random_tokens(2, 9)
    whole = model.forward(tokens)
    state = model.initial_state(2)
    assert isinstance(model, ARModel)
    assert isinstance(state, State)
    first, state = model.step_every(tokens[:, :5], state)
    newest, longer = model.step(tokens[:, 5:], state)
    torch.testing.assert_close(first, whole[:, :5])
    torch.testing.assert_close(newest, whole[:, -1])
    assert (state.length, longer.length, longer.cut(3).length) == (5, 9, 3)
    alone, _ = model.step(tokens[1:, 5:], state.select(torch.tensor([1])))
    assert torch.equal(alone[0], newest[1])


def test_its_context_is_the_model_s():
    model = WithoutHeads(transformer(), HEADS)
    _, state = model.step(random_tokens(1, CONTEXT_LENGTH), model.initial_state(1))
    with pytest.raises(ContextFullError, match="context is full"):
        model.step(random_tokens(1, 1), state)


@pytest.mark.parametrize(
    ("build", "head", "message"),
    [
        (transformer, (2, 0), r"layer must be a whole number in \[0, 1\], got 2"),
        (transformer, (0, -1), r"head must be a whole number in \[0, 2\], got -1"),
        (lstm, (0, 0), "LSTM has no attention heads"),
    ],
)
def test_heads_that_are_not_there_are_refused(build, head, message):
    with pytest.raises(ConfigError, match=message):
        WithoutHeads(build(), [head])
