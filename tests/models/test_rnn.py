"""The cell of `LSTM.step` against torch's own LSTM."""

import pytest
import torch

from playground.errors import ConfigError
from playground.models import LSTM, LSTMConfig
from playground.models.rnn import logistic
from tests.helpers import lstm, random_tokens


def test_decode_steps_go_through_the_same_states_as_torch():
    model = lstm()
    tokens = random_tokens(2, 12)
    _, (h, c) = model.lstm(model.embedding(tokens))
    state = model.initial_state(2)
    for i in range(12):
        _, state = model.step(tokens[:, i : i + 1], state)
    torch.testing.assert_close(state.h, h, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(state.c, c, rtol=1e-5, atol=1e-6)


def test_logistic_is_the_sigmoid_and_the_same_beside_others():
    x = torch.linspace(-30, 30, 1001)
    torch.testing.assert_close(logistic(x), x.sigmoid(), rtol=1e-5, atol=1e-7)
    rows = torch.randn(9, 13, generator=torch.Generator().manual_seed(0))
    together = logistic(rows)
    for row, result in zip(rows, together, strict=True):
        assert torch.equal(logistic(row), result)


def test_the_state_has_the_same_size_after_any_prefix():
    model = lstm()
    for length in (1, 50):
        _, state = model.step(random_tokens(1, length), model.initial_state(1))
        assert state.h.shape == state.c.shape == (2, 1, 20)


def test_the_forget_gate_starts_open():
    model = LSTM(LSTMConfig(5, n_layer=2, n_embd=4, n_hidden=8))
    for layer in range(2):
        bias = getattr(model.lstm, f"bias_ih_l{layer}") + getattr(model.lstm, f"bias_hh_l{layer}")
        assert torch.equal(bias[8:16], torch.ones(8))


@pytest.mark.parametrize("sizes", [{"n_layer": 33}, {"n_hidden": 0}, {"n_embd": "8"}])
def test_a_config_out_of_range_is_refused(sizes):
    with pytest.raises(ConfigError, match=f"{next(iter(sizes))} must be a whole number"):
        LSTMConfig(vocab_size=10, **sizes)
