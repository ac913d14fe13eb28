"""A model of `transformers` is an ARModel like ours: the contract, SmolLM2, States, attention."""

from copy import deepcopy
from functools import cache
from threading import Thread

import pytest
import torch

from playground.decoding.lane import Lane
from playground.decoding.stepper import Stepper
from playground.decoding.strategies import Greedy
from playground.errors import CheckpointError, ContextFullError
from playground.inspection.saliency import saliency
from playground.models.base import HasEmbedding, HasHeads, HasLayers, HasStepEvery
from playground.models.kv_cache import KVCache
from playground.models.pretrained import PretrainedLM
from playground.models.pretrained_cache import Copies, Prefixes
from playground.tokenizers.pretrained import PretrainedTokenizer
from tests.helpers import random_tokens
from tests.models.test_contract import (  # noqa: F401, run here with our `model`
    test_a_draft_is_rolled_back_to_any_of_its_tokens,
    test_a_model_can_be_warmed_up,
    test_a_model_computes_where_it_was_moved,
    test_a_row_of_a_decode_step_has_the_same_bits_alone_and_beside_others,
    test_a_state_outlives_a_chunk_appended_by_its_child,
    test_a_state_used_twice_gives_the_same_answer_twice,
    test_changing_a_token_changes_no_row_before_it,
    test_computing_leaves_the_weights_and_the_global_generator_alone,
    test_every_row_of_a_chunk_is_that_of_forward,
    test_it_is_an_autoregressive_model,
    test_logits_are_finite_and_make_a_distribution,
    test_select_repeats_and_leaves_out_rows,
    test_step_in_random_chunks_gives_the_rows_of_forward,
)
from tests.smollm import smollm, smollm_folder, smollm_reference
from tests.tiny_models import CONTEXT_LENGTH, LLAMA, TINY, VOCAB_SIZE

KEPT = {  # how each of these keeps its State
    "llama": KVCache,
    "gemma3": KVCache,
    "mamba": Copies,
    "falcon_h1": Copies,
    "recurrent_gemma": Prefixes,
}


@cache
def built(name: str) -> PretrainedLM:
    return PretrainedLM(TINY[name]())


@pytest.fixture(params=KEPT)
def model(request):
    return built(request.param)


def tokens_of(*shape: int, seed: int = 0) -> torch.Tensor:
    return random_tokens(*shape, seed=seed, vocab_size=VOCAB_SIZE)


@pytest.mark.parametrize("name", KEPT)
def test_each_kind_of_memory_is_kept_as_it_can_be(name):
    state = built(name).initial_state(2)
    assert type(state) is KEPT[name]
    empty = state.num_bytes
    _, state = built(name).step(tokens_of(2, 7), state)
    assert state.num_bytes > empty
    assert hasattr(state, "cut") == (KEPT[name] is not Copies)


def test_a_model_has_the_methods_that_work_and_no_others():
    llama, mamba = built("llama"), built("mamba")
    for protocol in (HasEmbedding, HasHeads, HasLayers, HasStepEvery):
        assert isinstance(llama, protocol), protocol
    assert isinstance(mamba, HasLayers)
    assert not hasattr(mamba, "attention_rows")
    assert not hasattr(mamba, "forward_without")
    assert mamba.context_length is None
    assert type(deepcopy(llama)) is type(llama)


def test_a_full_context_is_told_and_harms_nothing():
    model = built("llama")
    _, state = model.step(tokens_of(1, CONTEXT_LENGTH), model.initial_state(1))
    with pytest.raises(ContextFullError, match="at most 96 tokens"):
        model.step(tokens_of(1, 1), state)
    assert state.length == CONTEXT_LENGTH


def test_a_context_ends_where_its_positions_would_change():
    from transformers import Phi3Config, Phi3ForCausalLM

    rope = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [4.0] * 4}
    config = Phi3Config(
        vocab_size=VOCAB_SIZE, **LLAMA, original_max_position_embeddings=24, pad_token_id=None,
        rope_parameters=rope | {"rope_theta": 1e4, "original_max_position_embeddings": 24},
    )  # fmt: skip
    model, tokens = PretrainedLM(Phi3ForCausalLM(config)), tokens_of(1, 24)
    assert model.context_length == 24  # of the config's 96
    _, state = model.step(tokens[:, :20], model.initial_state(1))
    logits, state = model.step(tokens[:, 20:], state)
    torch.testing.assert_close(logits, model.forward(tokens)[:, -1], rtol=1e-4, atol=1e-4)
    with pytest.raises(ContextFullError):
        model.step(tokens[:, :1], state)


def test_a_straight_line_of_steps_copies_nothing():
    model = built("llama")
    _, state = model.step(tokens_of(1, 5), model.initial_state(1))
    buffer = state.buffer
    assert buffer.memory.shape[:4] == (3, 2, 1, 2)  # layers, keys and values, rows, kv heads
    for _ in range(20):
        _, state = model.step(tokens_of(1, 1), state)
        assert state.buffer is buffer


def test_what_a_window_has_passed_can_still_be_gone_back_to():
    model = built("gemma3")  # sees 6 tokens in two of three layers
    tokens = tokens_of(1, 30)
    _, state = model.step(tokens, model.initial_state(1))
    logits, _ = model.step(tokens[:, 12:13], state.cut(12))
    torch.testing.assert_close(logits, model.forward(tokens)[:, 12], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["llama", "mamba"])
def test_a_model_of_16_bits_steps_as_it_reads(name, dtype):
    model = PretrainedLM(TINY[name]().to(dtype))
    tokens = tokens_of(1, 20)
    rows, state, found = model.forward(tokens), model.initial_state(1), []
    for chunk in tokens.split((6, 1, 1, 12), dim=1):
        logits, state = model.step_every(chunk, state)
        found.append(logits)
    assert rows.dtype == torch.float32
    assert state.num_bytes < model.num_bytes
    torch.testing.assert_close(torch.cat(found, dim=1), rows, rtol=0.05, atol=0.05)


def test_weights_are_counted_once_where_they_are_tied():
    model = built("gemma")
    assert model.num_bytes >= 4 * sum(p.numel() for p in model.inner.parameters())
    tables = 4 * VOCAB_SIZE * 32
    assert model.num_bytes < 4 * sum(p.numel() for p in model.inner.parameters()) + tables


def test_a_model_that_looks_ahead_is_refused():
    from transformers import BertConfig, BertLMHeadModel

    sizes = {"vocab_size": 99, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(**sizes, intermediate_size=16, is_decoder=False)
    with pytest.raises(CheckpointError, match="looks at tokens to come"):
        PretrainedLM(BertLMHeadModel(config))


def test_a_model_that_needs_more_than_tokens_is_refused():
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(vocab_size=99, d_model=16, d_ff=16, d_kv=8, num_layers=1, num_heads=2)
    with pytest.raises(CheckpointError, match="cannot be read from tokens alone"):
        PretrainedLM(T5ForConditionalGeneration(config))


class TestAttention:
    def test_rows_are_those_of_all_maps(self):
        model, tokens = built("llama"), tokens_of(2, 17)
        maps = model.attention_maps(tokens)
        assert maps.shape == (3, 2, 4, 17, 17)
        torch.testing.assert_close(maps.sum(-1), torch.ones(maps.shape[:-1]))
        torch.testing.assert_close(model.attention_rows(tokens, 15), maps[:, :, :, 15:])

    def test_what_is_kept_of_a_layer_is_chosen_by_who_asks(self):
        model, tokens = built("llama"), tokens_of(1, 9)
        kept = model.attention_rows(tokens, 0, lambda weights: weights[0, :, -1])
        torch.testing.assert_close(kept, model.attention_maps(tokens)[:, 0, :, -1])

    @pytest.mark.parametrize(
        "name", ["llama", "gemma3", "falcon", "bloom", "falcon_h1", "recurrent_gemma"]
    )
    def test_a_step_tells_the_rows_of_its_tokens(self, name):
        model, tokens = built(name), tokens_of(2, 14)
        _, state = model.step(tokens[:, :12], model.initial_state(2))
        rows = model.step_attention(tokens[:, 12:], state)
        torch.testing.assert_close(rows, model.attention_rows(tokens, 12), rtol=1e-4, atol=1e-5)
        assert state.length == 12

    def test_asking_changes_nothing_for_others(self):
        model, tokens = built("llama"), tokens_of(1, 40)
        wanted, found = model.forward(tokens), []
        every = frozenset((i, h) for i in range(3) for h in range(4))

        def read():
            found.extend(model.forward(tokens) for _ in range(20))

        other = Thread(target=read)
        other.start()
        while other.is_alive():
            model.attention_rows(tokens, 20)
            model.forward_without(tokens, every)
        other.join()
        assert len(found) == 20
        assert all(torch.equal(rows, wanted) for rows in found)

    def test_without_no_heads_it_is_the_model(self):
        model, tokens = built("llama"), tokens_of(2, 9)
        wanted = model.forward(tokens)
        assert torch.equal(model.forward_without(tokens, frozenset()), wanted)
        assert not torch.equal(model.forward_without(tokens, frozenset({(1, 2)})), wanted)


@pytest.fixture(scope="module")
def reference():
    return smollm_reference()


@pytest.fixture(scope="module", name="smollm")
def _smollm():
    return smollm()


@pytest.fixture(scope="module")
def tokenizer(smollm):
    return PretrainedTokenizer.from_folder(smollm_folder(), smollm.vocab_size)


class TestSmolLM2:
    """A real model: 135 million weights, trained on 2 trillion tokens."""

    def test_its_greedy_tokens_and_logits_are_those_of_generate(self, reference, smollm, tokenizer):
        text = "The history of the printing press begins"
        prompt = [tokenizer.bos_token, *tokenizer.encode(text)]
        made = reference.generate(
            torch.tensor([prompt]),
            max_new_tokens=64,
            do_sample=False,
            eos_token_id=None,
            return_dict_in_generate=True,
            output_logits=True,
        )
        wanted = made.sequences[0].tolist()
        stepper = Stepper(smollm, "smollm", prompt, tokenizer=tokenizer)
        lane = Lane(Greedy())
        for _ in range(64):
            stepper.step(lane)
        assert list(stepper.tokens) == wanted
        rows = torch.cat(made.logits).log_softmax(-1)  # (64, V)
        logprobs = [step.logprob for step in stepper.branch.trace.steps]
        best = rows.max(-1).values
        torch.testing.assert_close(torch.tensor(logprobs), best, rtol=1e-3, atol=1e-3)
        assert "printing" in tokenizer.decode(stepper.tokens)

    def test_it_answers_a_chat(self, smollm, tokenizer):
        question = "What is the capital of France?"
        _, tokens = tokenizer.chat([{"role": "user", "content": question}])
        stepper = Stepper(smollm, "smollm", [tokenizer.bos_token, *tokens],
                          eos_token=tokenizer.eos_token, tokenizer=tokenizer)  # fmt: skip
        lane = Lane(Greedy())
        while not stepper.has_ended and len(stepper.tokens) < 80:
            stepper.step(lane)
        answer = stepper.tokens[len(tokens) + 1 :]
        assert tokenizer.decode(answer) == "The capital of France is Paris."

    def test_what_matters_to_a_word_is_the_gradient_of_its_probability(
        self, reference, smollm, tokenizer
    ):
        prompt = [tokenizer.bos_token, *tokenizer.encode("Paris is the capital of")]
        france = tokenizer.encode(" France")[0]
        found = saliency(smollm, prompt, france)
        embedded = reference.get_input_embeddings()(torch.tensor([prompt])).detach()
        embedded.requires_grad_()
        logits = reference(inputs_embeds=embedded, use_cache=False).logits[0, -1]
        logits.log_softmax(-1)[france].backward()
        wanted = embedded.grad[0].norm(dim=-1)
        torch.testing.assert_close(torch.from_numpy(found), wanted, rtol=1e-3, atol=1e-3)
