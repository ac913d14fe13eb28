"""The kernel of Llama-like decoders against torch, and its bits in any company, helped or not."""

from functools import cache
from threading import Event, Thread

import numpy as np
import pytest
import torch
import transformers
from numba import njit

from playground.models import llama_stepping, sharing
from playground.models.atomics import add, load, swap
from playground.models.llama_jobs import BITS, BUSY, CLAIM, MOST, llama_helper
from playground.models.llama_kernel import KIND as KIND_AT
from playground.models.llama_kernel import N_LAYER, llama_step
from playground.models.packing import MAX_CHUNK, packed
from playground.models.pretrained import PretrainedLM
from playground.models.sharing import AWAKE, WORDS, set_kernel_threads
from playground.models.vector_code import BFLOAT16, FLOAT16, FLOAT32
from tests.helpers import random_tokens
from tests.tiny_models import LLAMA, TINY, VOCAB_SIZE

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 24}
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 24,
}  # fmt: skip
BIASES = {"attention_bias": True, "mlp_bias": True}
WIDE = {
    "hidden_size": 144,
    "intermediate_size": 208,
    "head_dim": 48,
    "max_position_embeddings": 512,
}
VARIANTS = {  # what may differ: sizes that do and do not fill vectors, and every option
    "llama": ("LlamaConfig", {}),
    "llama-wide": ("LlamaConfig", WIDE),
    "llama-tied": ("LlamaConfig", {"tie_word_embeddings": True}),
    "llama-biases": ("LlamaConfig", BIASES),
    "llama-one-head": ("LlamaConfig", {"num_key_value_heads": 1, "head_dim": 16}),
    "llama-linear": ("LlamaConfig", {"rope_parameters": {"rope_type": "linear", "factor": 2.0}}),
    "llama-llama3": ("LlamaConfig", {"rope_parameters": LLAMA3}),
    "llama-yarn": ("LlamaConfig", {"rope_parameters": YARN}),
    "mistral": ("MistralConfig", {"sliding_window": None}),
    "qwen2": ("Qwen2Config", {}),
    "qwen3": ("Qwen3Config", {"head_dim": 16}),
}
KINDS = {FLOAT32: torch.float32, FLOAT16: torch.float16, BFLOAT16: torch.bfloat16}


def wrapped(kind: str, options: dict, dtype: torch.dtype = torch.float32) -> PretrainedLM:
    """Return a small model whose weights, biases and norms all matter, rounded to `dtype`."""
    special = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None}
    sizes = {"vocab_size": VOCAB_SIZE} | special | LLAMA | options
    if "rope_parameters" in options:
        theta = {"rope_theta": 10_000.0}
        sizes["rope_parameters"] = theta | options["rope_parameters"]
    config = getattr(transformers, kind)(**sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        inner = transformers.AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for name, weight in inner.named_parameters():
                weight.normal_(std=0.7 * weight.shape[-1] ** -0.5)
                if "norm" in name:
                    weight.add_(1)
                weight.copy_(weight.to(dtype))
    return PretrainedLM(inner)


@cache
def variant(name: str) -> PretrainedLM:
    return wrapped(*VARIANTS[name])


@pytest.fixture(params=VARIANTS)
def model(request):
    return variant(request.param)


@pytest.fixture
def kernel_threads():
    before = set_kernel_threads(2)
    yield set_kernel_threads
    set_kernel_threads(before)


def tokens_of(*shape: int, seed: int = 0) -> torch.Tensor:
    return random_tokens(*shape, seed=seed, vocab_size=VOCAB_SIZE)


def plan_of(model: PretrainedLM, length: int = 1, state=None):
    state = model.initial_state(1) if state is None else state
    return llama_stepping.plan_for(model, tokens_of(1, length), state)


def test_logits_are_those_of_transformers(model):
    tokens = tokens_of(2, 60)
    assert plan_of(model) is not None
    logits, state = model.step_every(tokens[:, :33], model.initial_state(2))
    rest, _ = model.step_every(tokens[:, 33:], state)
    wanted = torch.cat([model.inner(row).logits for row in tokens.split(1)])
    torch.testing.assert_close(torch.cat((logits, rest), 1), wanted, rtol=1e-4, atol=1e-4)


def test_a_row_has_the_same_bits_in_any_company_and_any_chunks(model):
    tokens = tokens_of(7, 40)
    every, _ = model.step_every(tokens, model.initial_state(7))
    for row in (0, 3, 6):
        state = model.initial_state(1)
        for start, end in ((0, 1), (1, 2), (2, 5), (5, 40)):
            last, after = model.step(tokens[row : row + 1, start:end], state)
            logits, state = model.step_every(tokens[row : row + 1, start:end], state)
            assert torch.equal(logits[0], every[row, start:end])
            assert torch.equal(last[0], every[row, end - 1])
            assert after.length == state.length == end


def test_the_last_logits_are_gathered_from_every_row():
    model = variant("llama")
    tokens = tokens_of(5, 3)
    every, _ = model.step_every(tokens, model.initial_state(5))
    last, _ = model.step(tokens, model.initial_state(5))
    assert torch.equal(last, every[:, -1])


@pytest.mark.parametrize("kind", KINDS)
def test_values_that_16_bits_hold_are_read_as_16_bits_for_the_same_sums(kind):
    model = wrapped("LlamaConfig", {}, KINDS[kind])
    plan = packed(model.inner, llama_stepping.lay_out)
    assert plan.plan[KIND_AT] == kind
    tokens = tokens_of(1, 9)
    wanted = model.inner(tokens).logits
    found, _ = model.step_every(tokens, model.initial_state(1))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(llama_stepping, "stored", in_place)
        again = PretrainedLM(type(model.inner)(model.inner.config))
        again.inner.load_state_dict(model.inner.state_dict())
        assert packed(again.inner, llama_stepping.lay_out).plan[KIND_AT] == FLOAT32
        same, _ = again.step_every(tokens, again.initial_state(1))
    assert torch.equal(found, same)


def in_place(weights, memory):
    return FLOAT32, [weight.data_ptr() for weight in weights]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_that_are_written_to_are_read_anew(dtype):
    model = wrapped("LlamaConfig", {}, dtype)
    tokens = tokens_of(1, 4)
    before, _ = model.step_every(tokens, model.initial_state(1))
    model.inner.model.layers[1].mlp.down_proj.weight.mul_(2)
    after, _ = model.step_every(tokens, model.initial_state(1))
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, model.inner(tokens).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["gemma", "olmo2", "granite", "smollm3", "phi3", "mamba"])
def test_other_architectures_are_left_to_torch(name):
    model = PretrainedLM(TINY[name]())
    assert plan_of(model) is None
    model.step(tokens_of(1, 3), model.initial_state(1))


@pytest.mark.parametrize(
    "options",
    [
        {"hidden_act": "gelu"},
        {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}},
        {"hidden_size": 40},
    ],
    ids=str,
)
def test_options_that_the_kernel_does_not_know_are_left_to_torch(options):
    model = wrapped("LlamaConfig", options)
    assert plan_of(model) is None


def test_what_cannot_be_read_where_it_is_is_left_to_torch():
    assert plan_of(variant("llama"), MAX_CHUNK) is not None
    assert plan_of(variant("llama"), MAX_CHUNK + 1) is None
    assert plan_of(PretrainedLM(wrapped("LlamaConfig", {}).inner.bfloat16())) is None
    model = wrapped("LlamaConfig", {})
    model.inner.requires_grad_(True)
    assert plan_of(model) is None


@pytest.mark.parametrize("kind", ["MistralConfig", "Qwen2Config"])
def test_a_window_is_left_to_torch_once_the_prefix_has_outgrown_it(kind):
    options = {"sliding_window": 6, "use_sliding_window": True, "max_window_layers": 1}
    model = wrapped(kind, options)
    tokens = tokens_of(1, 12)
    state, rows = model.initial_state(1), []
    for i in range(12):
        assert (plan_of(model, state=state) is None) == (i >= 6)
        logits, state = model.step(tokens[:, i : i + 1], state)
        rows.append(logits)
    wanted = model.inner(tokens).logits[0]
    torch.testing.assert_close(torch.cat(rows), wanted, rtol=1e-4, atol=1e-4)


def test_an_unknown_token_is_refused():
    model = variant("llama")
    for token in (-1, VOCAB_SIZE):
        with pytest.raises(IndexError, match="tokens must be from 0"):
            model.step(torch.tensor([[token]]), model.initial_state(1))


def test_two_threads_give_the_bits_of_one(kernel_threads):
    model = variant("llama-wide")
    tokens = tokens_of(3, 64)

    def found():
        state, rows = model.initial_state(3), []
        for _ in range(4):  # up to 256 tokens: attention is shared, too
            logits, state = model.step_every(tokens, state)
            rows.append(logits)
        rows.append(model.step(tokens[:, :1], state)[0][:, None])
        return torch.cat(rows, 1)

    helped = [found() for _ in range(5)]
    kernel_threads(1)
    alone = found()
    assert all(torch.equal(alone, one) for one in helped)


def test_sessions_that_compute_at_once_do_not_mix(kernel_threads):
    models = [variant(name) for name in ("llama-wide", "qwen3", "llama-wide", "llama-tied")]
    tokens = tokens_of(1, 8)

    def steps(model):
        state, rows = model.initial_state(1), []
        for token in tokens.split(1, dim=1):
            logits, state = model.step(token, state)
            rows.append(logits)
        return torch.cat(rows)

    wanted = [steps(model) for model in models]
    problems = []

    def session(model, expected):
        problems.extend(1 for _ in range(30) if not torch.equal(steps(model), expected))

    pairs = zip(models, wanted, strict=True)
    threads = [Thread(target=session, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems


@njit(nogil=True)
def take_and_lose(mailbox, started):
    """Take the last piece of the first job, as the helper does, and never do it."""
    address = mailbox.ctypes.data
    started[0] = 1
    while True:
        word = load(address + 8 * CLAIM)
        pieces, front, taken = word >> 2 * BITS & MOST, word >> BITS & MOST, word & MOST
        if front + taken < pieces:
            add(address + 8 * BUSY, 1)
            if swap(address + 8 * CLAIM, word, word + 1):
                return
            add(address + 8 * BUSY, -1)


def test_what_a_lost_helper_took_is_done_without_it():
    model = variant("llama-wide")
    tokens = tokens_of(1, 64)
    wanted, _ = model.step_every(tokens, model.initial_state(1))
    plan = plan_of(model, 64)
    take_and_lose.compile("void(int64[::1], int64[::1])")
    lost = False
    for _ in range(50):  # the caller may have done all pieces before the thread has its turn
        mailbox, started = np.zeros(WORDS, np.int64), np.zeros(1, np.int64)
        thief = Thread(target=take_and_lose, args=(mailbox, started))
        thief.start()
        while not started[0]:
            Event().wait(0.001)
        cache = model.initial_state(1).reserve(64)
        logits = torch.empty(64, VOCAB_SIZE)
        _room, places = llama_stepping.room_for(plan.plan, 64, 64, 64)
        for _ in range(100):
            arguments = (tokens.numpy(), cache.buffer.array, 0, logits.numpy(), places, mailbox)
            assert llama_step(plan.plan, *arguments)
            assert torch.equal(logits, wanted[0])
            if not thief.is_alive():
                break
        thief.join(timeout=5)
        assert not thief.is_alive()
        lost = lost or mailbox[BUSY] == 1
        if lost:
            break
    assert lost


def test_what_a_lost_helper_may_still_read_is_kept(kernel_threads):
    model = variant("llama-wide")
    token = tokens_of(1, 1)
    wanted, _ = model.step(token, model.initial_state(1))
    mailbox = sharing._helpers[llama_helper].mailbox
    while mailbox[AWAKE]:
        Event().wait(0.01)
    mailbox[BUSY] = 1
    assert torch.equal(model.step(token, model.initial_state(1))[0], wanted)
    assert len(llama_stepping._held) == 1
    mailbox[BUSY] = 0
    assert torch.equal(model.step(token, model.initial_state(1))[0], wanted)
    assert not llama_stepping._held


def test_a_plan_has_no_copy_of_what_it_reads_in_place():
    model = variant("llama-wide")
    plan = packed(model.inner, llama_stepping.lay_out)
    assert plan.plan[N_LAYER] == LLAMA["num_hidden_layers"]
    assert sum(array.nbytes for array in plan.memory) < 1000
    small = wrapped("LlamaConfig", {}, torch.bfloat16)
    plan = packed(small.inner, llama_stepping.lay_out)
    assert sum(array.nbytes for array in plan.memory) < small.num_bytes / 2 + 1000
