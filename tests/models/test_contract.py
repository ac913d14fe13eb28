"""What `ARModel` promises, held by every family and by every checkpoint that is shipped."""

from functools import cache

import pytest
import torch

from playground.errors import ContextFullError
from playground.models import ARModel, State
from playground.models.base import HasLayers, step_prefixes, warm_up
from tests.helpers import (
    MODELS,
    PICTURE_MODELS,
    SHIPPED,
    SOUND_MODELS,
    TOLD_MODELS,
    random_tokens,
    transformer,
)

DRAWING = PICTURE_MODELS | TOLD_MODELS
BUILD = MODELS | DRAWING | SOUND_MODELS | SHIPPED
DEVICES = ["cpu", *([pytest.param("cuda", marks=pytest.mark.gpu)] * torch.cuda.is_available())]


@cache
def built(name: str) -> torch.nn.Module:
    return BUILD[name]()


@pytest.fixture(params=BUILD)
def model(request):
    return built(request.param)


def tokens_for(model, *shape, seed=0):
    return random_tokens(*shape, seed=seed, vocab_size=model.vocab_size)


def read(model, tokens):
    """Read tokens (B, N) from the start; return the logits and the State after them."""
    return model.step(tokens, model.initial_state(len(tokens)))


def test_it_is_an_autoregressive_model(model):
    assert isinstance(model, ARModel)
    assert isinstance(model.initial_state(2), State)
    assert model.initial_state(2).length == 0


def test_changing_a_token_changes_no_row_before_it(model):
    tokens = tokens_for(model, 2, 24)
    changed = tokens.clone()
    changed[:, 13] = (changed[:, 13] + 1) % model.vocab_size
    before, after = model.forward(tokens), model.forward(changed)
    torch.testing.assert_close(before[:, :13], after[:, :13], rtol=0, atol=2e-6)
    assert not torch.equal(before[:, 13:], after[:, 13:]) or getattr(model.config, "order", 2) == 1


@pytest.mark.parametrize("seed", range(3))
def test_step_in_random_chunks_gives_the_rows_of_forward(model, seed):
    tokens = tokens_for(model, 3, 33, seed=seed)
    rows = model.forward(tokens)
    generator = torch.Generator().manual_seed(seed)
    state, at = model.initial_state(3), 0
    while at < tokens.shape[1]:
        end = min(33, at + int(torch.randint(1, 7, (), generator=generator)))
        logits, state = model.step(tokens[:, at:end], state)
        at = end
        assert state.length == at
        torch.testing.assert_close(logits, rows[:, at - 1], rtol=1e-4, atol=1e-4)


def test_logits_are_finite_and_make_a_distribution(model):
    rows = model.forward(tokens_for(model, 2, 9))
    assert rows.shape == (2, 9, model.vocab_size)
    assert rows.dtype == torch.float32
    assert rows.isfinite().all()
    torch.testing.assert_close(rows.double().softmax(-1).sum(-1), torch.ones(2, 9).double())


def test_a_state_used_twice_gives_the_same_answer_twice(model):
    prefix, one, other = tokens_for(model, 2, 9), tokens_for(model, 2, 1, seed=1), None
    other = (one + 1) % model.vocab_size
    _, state = read(model, prefix)
    first, child = model.step(one, state)
    grandchild_logits, _ = model.step(other, child)
    sibling, _ = model.step(other, state)  # appends where `child` has appended
    again, second_child = model.step(one, state)
    assert torch.equal(first, again)
    assert state.length == 9
    assert torch.equal(model.step(other, child)[0], grandchild_logits)
    assert torch.equal(model.step(other, second_child)[0], grandchild_logits)
    assert torch.equal(model.step(other, state)[0], sibling)
    whole = torch.cat((prefix, one, other), dim=1)
    torch.testing.assert_close(grandchild_logits, model.forward(whole)[:, -1], rtol=1e-4, atol=1e-4)


def test_a_state_outlives_a_chunk_appended_by_its_child(model):
    _, state = read(model, tokens_for(model, 1, 5))
    alone, _ = model.step(tokens_for(model, 1, 1, seed=3), state)
    model.step(tokens_for(model, 1, 8, seed=4), state)
    assert torch.equal(model.step(tokens_for(model, 1, 1, seed=3), state)[0], alone)


def test_select_repeats_and_leaves_out_rows(model):
    tokens, more = tokens_for(model, 3, 7), tokens_for(model, 4, 1, seed=5)
    _, state = read(model, tokens)
    rows = torch.tensor([2, 0, 0, 2])
    logits, child = model.step(more, state.select(rows))
    assert child.length == 8
    whole = torch.cat((tokens[rows], more), dim=1)
    torch.testing.assert_close(logits, model.forward(whole)[:, -1], rtol=1e-4, atol=1e-4)
    _, from_parent = model.step(more[:3], state)
    assert from_parent.length == 8  # the parent still serves its own three rows


@pytest.mark.parametrize("batch_size", [2, 3, 8, 17])
def test_a_row_of_a_decode_step_has_the_same_bits_alone_and_beside_others(model, batch_size):
    prefix = tokens_for(model, 1, 6)
    _, state = read(model, prefix)
    together = state.select(torch.zeros(batch_size, dtype=torch.int64))
    alone = [state] * batch_size
    for seed in range(3):
        tokens = tokens_for(model, batch_size, 1, seed=seed + 10)
        rows, together = model.step(tokens, together)
        for i in range(batch_size):
            row, alone[i] = model.step(tokens[i : i + 1], alone[i])
            assert torch.equal(rows[i : i + 1], row), f"row {i} of {batch_size}"


@pytest.mark.parametrize("name", [n for n in BUILD if "transformer" in n or n in DRAWING])
def test_a_full_context_is_told_and_harms_nothing(name):
    model = built(name)
    full = model.context_length
    logits, state = read(model, tokens_for(model, 1, full))
    assert logits.isfinite().all()
    with pytest.raises(ContextFullError, match=r"at most \d+ tokens .* Slide the window"):
        model.step(tokens_for(model, 1, 1), state)
    with pytest.raises(ContextFullError):
        read(model, tokens_for(model, 1, full + 1))
    assert state.length == full


@pytest.mark.parametrize("device", DEVICES)
def test_a_model_computes_where_it_was_moved(model, device):
    from copy import deepcopy

    tokens = tokens_for(model, 2, 8)
    moved = deepcopy(model).to(device)
    rows = moved.forward(tokens.to(device))
    assert rows.device.type == device
    torch.testing.assert_close(rows.cpu(), model.forward(tokens), rtol=1e-3, atol=1e-3)
    logits, state = read(moved, tokens.to(device))
    logits, _ = moved.step(tokens[:, :1].to(device), state.select(torch.arange(2, device=device)))
    assert logits.device.type == device


def test_a_model_can_be_warmed_up(model):
    warm_up(model)


def test_computing_leaves_the_weights_and_the_global_generator_alone(model):
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    generator = torch.get_rng_state()
    _, state = read(model, tokens_for(model, 2, 5))
    model.step(tokens_for(model, 2, 1), state)
    assert torch.equal(torch.get_rng_state(), generator)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, weights[name])


def test_every_row_of_a_chunk_is_that_of_forward(model):
    tokens = tokens_for(model, 2, 21)
    rows = model.forward(tokens)
    state, found = model.initial_state(2), []
    for chunk in tokens.split((1, 7, 1, 12), dim=1):
        logits, state = model.step_every(chunk, state)
        assert logits.shape == (2, chunk.shape[1], model.vocab_size)
        found.append(logits)
    assert state.length == 21
    torch.testing.assert_close(torch.cat(found, dim=1), rows, rtol=1e-4, atol=1e-4)


def test_a_chunk_has_the_bits_of_single_steps(model):
    tokens = tokens_for(model, 2, 15)
    _, start = read(model, tokens[:, :4])
    logits, chunked = model.step_every(tokens[:, 4:], start)
    state = start
    for i in range(11):
        one, state = model.step(tokens[:, 4 + i : 5 + i], state)
        assert torch.equal(one, logits[:, i])
    after = tokens[:, :1]
    assert torch.equal(model.step(after, chunked)[0], model.step(after, state)[0])


def test_a_draft_is_rolled_back_to_any_of_its_tokens(model):
    prefix, draft = tokens_for(model, 1, 5), tokens_for(model, 1, 6, seed=1)
    _, state = read(model, prefix)
    logits, states = step_prefixes(model, draft, state)
    assert [s.length for s in states] == [6, 7, 8, 9, 10, 11]
    after = draft[:, :1]
    for n in (0, 2, 5):
        whole = torch.cat((prefix, draft[:, : n + 1], after), dim=1)
        rows = model.forward(whole)
        torch.testing.assert_close(logits[:, n], rows[:, -2], rtol=1e-4, atol=1e-4)
        found, _ = model.step(after, states[n])
        torch.testing.assert_close(found, rows[:, -1], rtol=1e-4, atol=1e-4)
    assert torch.equal(step_prefixes(model, draft, state)[0], logits)


def test_a_model_without_a_way_of_its_own_steps_through_a_draft():
    class Plain:
        """`transformer()` with nothing but what ARModel promises."""

        def __init__(self, model):
            self.context_length, self.step = model.context_length, model.step

    model, draft = transformer(), random_tokens(2, 4)
    logits, states = step_prefixes(Plain(model), draft, model.initial_state(2))
    torch.testing.assert_close(logits, model.forward(draft), rtol=1e-4, atol=1e-4)
    assert [s.length for s in states] == [1, 2, 3, 4]
    with pytest.raises(ContextFullError):
        step_prefixes(Plain(model), random_tokens(1, 41), model.initial_state(1))


@pytest.mark.parametrize("name", [n for n in BUILD if hasattr(built(n), "forward_layers")])
def test_the_layers_lead_to_the_logits(name):
    model = built(name)
    assert isinstance(model, HasLayers)
    tokens = tokens_for(model, 2, 13)
    layers = model.forward_layers(tokens)
    assert layers.shape[1:3] == (2, 13)
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(model.head(layers[-1]), model.forward(tokens), **close)
    state, found = model.initial_state(2), []
    for chunk in tokens.split((4, 1, 8), dim=1):
        hidden, state = model.step_layers(chunk, state)
        found.append(hidden)
    assert state.length == 13
    torch.testing.assert_close(torch.cat(found, dim=2), layers, **close)


class TestKVCache:
    """Parent and child share one buffer as long as one of them only reads."""

    def test_a_straight_line_copies_nothing_until_the_room_is_used_up(self):
        model = transformer(context_length=200)
        _, state = read(model, random_tokens(1, 3))
        buffer = state.buffer
        for _ in range(61):
            _, state = model.step(random_tokens(1, 1), state)
            assert state.buffer is buffer
        assert state.length == 64 == buffer.capacity
        _, state = model.step(random_tokens(1, 1), state)
        assert state.buffer is not buffer
        assert state.buffer.capacity == 128

    def test_the_second_child_of_a_state_gets_a_copy(self):
        model = transformer()
        _, state = read(model, random_tokens(1, 3))
        _, first = model.step(random_tokens(1, 1), state)
        _, second = model.step(random_tokens(1, 1, seed=1), state)
        assert first.buffer is state.buffer
        assert second.buffer is not state.buffer
        head = slice(0, 3)
        assert torch.equal(first.buffer.memory[..., head, :], second.buffer.memory[..., head, :])

    def test_a_cut_is_the_state_that_was_and_costs_nothing_once_the_rest_is_let_go(self):
        model = transformer()
        _, short = read(model, random_tokens(1, 3))
        wanted, _ = model.step(random_tokens(1, 1, seed=2), short)
        _, long = model.step(random_tokens(1, 4, seed=1), short)
        cut = long.cut(3)
        assert cut.length == 3
        assert cut.buffer is long.buffer
        beside, child = model.step(random_tokens(1, 1, seed=2), cut)  # `long` still reads there
        assert child.buffer is not long.buffer
        cut_later, buffer = long.cut(3), long.buffer
        del long
        again, child = model.step(random_tokens(1, 1, seed=2), cut_later)
        assert child.buffer is buffer
        torch.testing.assert_close(beside, wanted)
        assert torch.equal(beside, again)

    def test_a_cut_leaves_longer_relatives_as_they_are(self):
        model = transformer()
        _, long = read(model, random_tokens(1, 9))
        kept = long.buffer.memory[..., :9, :].clone()
        for length in (8, 3, 0):
            model.step(random_tokens(1, 5, seed=length), long.cut(length))
        assert torch.equal(long.buffer.memory[..., :9, :], kept)

    @pytest.mark.parametrize("length", [-1, 6])
    def test_a_cut_cannot_lengthen(self, length):
        _, state = read(transformer(), random_tokens(1, 5))
        with pytest.raises(ValueError, match="from 0 to 5"):
            state.cut(length)

    def test_children_made_in_many_threads_do_not_mix(self):
        from concurrent.futures import ThreadPoolExecutor

        model = transformer()
        _, state = read(model, random_tokens(1, 5))
        wanted = [model.step(torch.tensor([[t]]), state)[0] for t in range(8)]
        with ThreadPoolExecutor(4) as pool:
            jobs = [
                (t, pool.submit(model.step, torch.tensor([[t]]), state)) for t in [*range(8)] * 6
            ]
            for token, job in jobs:
                assert torch.equal(job.result()[0], wanted[token])

    def test_it_knows_its_size_in_bytes(self):
        model = transformer()  # 2 layers, keys and values, 3 heads of 8 values
        _, state = read(model, random_tokens(2, 5))
        assert state.num_bytes == 2 * 2 * 2 * 3 * 5 * 8 * 4
