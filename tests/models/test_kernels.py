"""The kernels against torch, and the bits of a row in any company and in any chunks."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from playground.models import (
    LSTM,
    LSTMConfig,
    lstm_kernel,
    packing,
    rnn,
    stepping,
    transformer_kernel,
)
from playground.models.packing import Memory
from playground.models.rnn import LSTMState
from playground.models.vector_math import compiled, linear, linear_float, linear_half
from tests.helpers import random_tokens, transformer, with_weights

CLOSE = {"rtol": 1e-4, "atol": 1e-4}
SHAPES = {  # heads of 8, 16, 32 and 80 values, vocabularies that do and do not fill panels
    "8": {},
    "16": {"n_embd": 64, "n_head": 4, "vocab_size": 97, "positions": "learned"},
    "32": {"n_embd": 64, "n_head": 2, "vocab_size": 64, "positions": "sinusoidal"},
    "80": {"n_embd": 160, "n_head": 2, "vocab_size": 33, "n_layer": 1},
}
LSTMS = {"lstm-20": (23, 2, 12, 20), "lstm-96": (64, 1, 33, 96)}


def rounded(model: torch.nn.Module) -> torch.nn.Module:
    """Round the weights to what float16 holds, as checkpoints are stored."""
    for parameter in model.parameters():
        parameter.data = parameter.data.half().float()
    return model


SHAPES_AND_TYPES = [(s, t) for s in SHAPES | LSTMS for t in ("float32", "float16")]


@pytest.fixture(params=SHAPES_AND_TYPES, ids="-".join)
def model(request):
    shape, dtype = request.param
    if shape in LSTMS:
        model = with_weights(LSTM(LSTMConfig(*LSTMS[shape])))
    else:
        model = transformer(**SHAPES[shape])
    half = dtype == "float16"
    return rounded(model) if half else model


def tokens_for(model, *shape, seed=0):
    return random_tokens(*shape, seed=seed, vocab_size=model.vocab_size)


def by_torch(model: torch.nn.Module) -> torch.nn.Module:
    """Return the same model where kernels do not serve it."""
    return copy.deepcopy(model).requires_grad_(True)


def is_half(model: torch.nn.Module) -> bool:
    if isinstance(model, LSTM):
        return bool(packing.packed(model, rnn.lay_out).plan[lstm_kernel.IS_HALF])
    return bool(packing.packed(model, stepping.lay_out).plan[transformer_kernel.IS_HALF])


def memory_of(state) -> torch.Tensor:
    """Return all that a State remembers, without the room behind it."""
    if isinstance(state, LSTMState):
        return torch.stack((state.h, state.c))
    return state.buffer.memory[..., : state.length, :]


def check_close(found, wanted):
    """Both sides round; what they add up decides how much."""
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5 * wanted.abs().max().item())


def test_a_step_is_that_of_torch(model):
    peer, tokens = by_torch(model), tokens_for(model, 3, 30)
    state, other = model.initial_state(3), peer.initial_state(3)
    for chunk in tokens.split((1, 7, 1, 21), dim=1):
        hidden, _ = model.step_layers(chunk, state)
        wanted, _ = peer.step_layers(chunk, other)
        check_close(hidden, wanted)
        logits, state = model.step_every(chunk, state)
        wanted, other = peer.step_every(chunk, other)
        check_close(logits, wanted)
        check_close(memory_of(state), memory_of(other))


def test_weights_are_packed_in_half_where_that_is_exact(model):
    assert is_half(rounded(copy.deepcopy(model)))
    assert not is_half(with_weights(copy.deepcopy(model)))


def test_the_bits_of_a_row_do_not_depend_on_chunks(model):
    tokens = tokens_for(model, 1, 33)
    one_by_one, state = [], model.initial_state(1)
    for token in tokens.split(1, dim=1):
        logits, state = model.step(token, state)
        one_by_one.append(logits)
    wanted = torch.stack(one_by_one, dim=1)
    for sizes in ((33,), (1, 32), (8, 8, 17), (5, 1, 2, 3, 4, 9, 9)):
        found, other = [], model.initial_state(1)
        for chunk in tokens.split(sizes, dim=1):
            logits, other = model.step_every(chunk, other)
            found.append(logits)
        assert torch.equal(torch.cat(found, dim=1), wanted)
        assert torch.equal(memory_of(other), memory_of(state))


@pytest.mark.parametrize("batch_size", [2, 3, 7, 8, 17])
def test_the_bits_of_a_chunk_do_not_depend_on_the_rows_beside_it(model, batch_size):
    tokens = tokens_for(model, batch_size, 6)
    logits, state = model.step_every(tokens, model.initial_state(batch_size))
    hidden, _ = model.step_layers(tokens, model.initial_state(batch_size))
    last, _ = model.step(tokens[:, :1], state)
    for i in range(batch_size):
        row = tokens[i : i + 1]
        alone, state = model.step_every(row, model.initial_state(1))
        assert torch.equal(alone[0], logits[i])
        assert torch.equal(model.step_layers(row, model.initial_state(1))[0][:, 0], hidden[:, i])
        assert torch.equal(model.step(row[:, :1], state)[0][0], last[i])


def test_the_head_of_the_last_layer_has_the_bits_of_a_step(model):
    tokens = tokens_for(model, 2, 5)
    logits, _ = model.step_every(tokens, model.initial_state(2))
    hidden, _ = model.step_layers(tokens, model.initial_state(2))
    with torch.inference_mode():
        assert torch.equal(model.head(hidden[-1]), logits)
        check_close(model.head(hidden[0]), by_torch(model).head(hidden[0]))


def test_products_with_weights_of_either_type_have_names_of_their_own():
    """Of one name the first that was loaded serves both, with weights of the wrong type."""
    names = {f.py_func.__qualname__ for f in (linear_half, linear_float)}
    assert names == {"linear_half", "linear_float"}


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(("depth", "columns"), [(1, 1), (17, 31), (24, 32), (37, 165), (64, 256)])
def test_a_product_has_the_same_bits_in_tiles_of_any_shape(dtype, depth, columns):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(columns, depth, generator=generator).half().float()
    x = torch.randn(17, depth, generator=generator)
    memory = Memory()
    address, room = memory.panels(weight, dtype), -(-columns // 32) * 32

    def product(rows: np.ndarray) -> torch.Tensor:
        out = np.empty((len(rows), room), np.float32)
        linear(rows, depth, address, dtype is np.float16, out, columns)
        return torch.from_numpy(out[:, :columns])

    alone = torch.cat([product(x[i : i + 1].numpy()) for i in range(17)])
    torch.testing.assert_close(alone, x @ weight.t(), rtol=1e-4, atol=1e-5)
    for rows in range(2, 18):
        assert torch.equal(product(x[:rows].numpy()), alone[:rows])


def test_a_kernel_is_compiled_without_a_place_to_keep_it(monkeypatch, caplog):
    def nowhere(*_):
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr("numba.core.dispatcher.FunctionCache", nowhere)
    doubled = compiled("int64(int64)")(lambda x: 2 * x)
    assert doubled(21) == 42
    assert "no locator available" in caplog.text


class TestPacking:
    """A copy of the weights must never be older than they are."""

    @pytest.fixture
    def model(self):
        return transformer()

    def test_what_is_written_to_an_lstm_is_noticed(self):
        model = with_weights(LSTM(LSTMConfig(23, 2, 12, 20)))
        before = self.check(model)
        with torch.no_grad():
            model.lstm.weight_hh_l1.mul_(2)
        assert not torch.equal(self.check(model), before)

    def check(self, model):
        tokens = random_tokens(1, 9)
        logits, _ = model.step_every(tokens, model.initial_state(1))
        torch.testing.assert_close(logits, model.forward(tokens), **CLOSE)
        return logits

    def test_a_write_to_a_weight_is_noticed(self, model):
        before = self.check(model)
        with torch.no_grad():
            model.blocks[1].contract.weight.mul_(2)
        assert not torch.equal(self.check(model), before)

    def test_a_weight_put_in_place_of_another_is_noticed(self, model):
        before = self.check(model)
        weight = model.blocks[0].qkv.weight * 2
        model.blocks[0].qkv.weight = torch.nn.Parameter(weight, requires_grad=False)
        assert not torch.equal(self.check(model), before)
        model.norm.weight.data = model.norm.weight.data * 3
        self.check(model)

    def test_loaded_weights_are_noticed(self, model):
        before = self.check(model)
        for assign in (False, True):
            other = with_weights(transformer(), seed=7 + assign)
            model.load_state_dict(other.state_dict(), assign=assign)
            assert not torch.equal(self.check(model), before)

    def test_optimizer_steps_between_decode_steps_are_noticed(self, model):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(2):
            model.train().requires_grad_(True)
            model.forward(random_tokens(1, 9)).logsumexp(-1).mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            self.check(model)
            self.check(model.eval().requires_grad_(False))

    def test_writes_that_torch_does_not_count_are_noticed_by_eval(self, model):
        before = self.check(model)
        model.embedding.weight.data.mul_(2)
        assert not torch.equal(self.check(model.eval()), before)

    def test_other_precisions_are_left_to_torch(self, model):
        self.check(model)
        tokens = random_tokens(1, 5)
        double = copy.deepcopy(model).double()
        logits, _ = double.step_every(tokens, double.initial_state(1))
        assert logits.dtype == torch.float64
        torch.testing.assert_close(logits, double.forward(tokens))
        self.check(double.float())

    def test_the_copy_is_no_part_of_the_model(self, model):
        names, size = set(model.state_dict()), len(pickle.dumps(model))
        self.check(model)
        assert set(model.state_dict()) == names
        assert len(pickle.dumps(model)) == size
        assert packing._PACKED.get(copy.deepcopy(model)) is None

    def test_the_copy_goes_with_the_model(self):
        before = len(packing._PACKED)
        model = transformer()
        self.check(model)
        assert len(packing._PACKED) == before + 1
        del model
        assert len(packing._PACKED) == before

    def test_an_unknown_token_is_refused_and_harms_nothing(self, model):
        _, state = model.step(random_tokens(1, 3), model.initial_state(1))
        for token in (-1, model.vocab_size):
            with pytest.raises(IndexError, match="from 0 to 22"):
                model.step(torch.tensor([[token]]), state)
        child = model.step(random_tokens(1, 1), state)[1]
        assert child.buffer is state.buffer

    def test_threads_that_step_one_model_at_once_get_the_same_bits(self):
        tokens = random_tokens(8, 20)

        def decode(model, row):
            state, found = model.initial_state(1), []
            for token in row[None].split(1, dim=1):
                logits, state = model.step(token, state)
                found.append(logits)
            return torch.cat(found)

        wanted = [decode(transformer(), row) for row in tokens]
        model = transformer()  # packed by whoever comes first
        with ThreadPoolExecutor(4) as pool:
            for found, row in zip(pool.map(decode, [model] * 8, tokens), wanted, strict=True):
                assert torch.equal(found, row)
