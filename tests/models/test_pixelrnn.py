"""What Row LSTM and Diagonal BiLSTM see, and how rows are drawn from what came before."""

import numpy as np
import pytest
import torch

from playground.errors import ConfigError
from playground.models.pixelrnn import skew, unskew
from tests.helpers import influence, picture_model, pixels_before, random_tokens

SMALL = {"height": 7, "width": 7, "channels": 12, "n_layer": 1, "first_kernel_size": 3}


def test_a_row_lstm_sees_a_triangle():
    model = picture_model("row-lstm", scale=0.4, **SMALL)
    seen = influence(model, 6, 3)[:, :, 0]
    earlier = pixels_before(model, 6, 3)
    assert not (seen & ~earlier).any()
    assert seen[5, :5].all()
    assert not seen[5, 5:].any()  # cells look one to the right for each row they look up
    assert not seen[4, 6]
    assert np.array_equal(seen[0], np.ones(7, bool))


def test_a_diagonal_bilstm_sees_everything_before():
    model = picture_model("diagonal-bilstm", scale=0.4, **SMALL)
    for place in ((0, 0), (3, 0), (3, 3), (6, 6), (2, 6)):
        seen = influence(model, *place)[:, :, 0]
        assert np.array_equal(seen, pixels_before(model, *place)), place


@pytest.mark.parametrize("family", ["row-lstm", "diagonal-bilstm"])
def test_no_colour_sees_itself_or_a_later_one(family):
    model = picture_model(family, **SMALL | {"colors": 3, "n_layer": 2})
    for color in range(3):
        seen = influence(model, 3, 3, color)
        assert seen[3, 3].tolist() == [c < color for c in range(3)]
        assert seen[3, 2].all()


@pytest.mark.parametrize("family", ["row-lstm", "diagonal-bilstm"])
@pytest.mark.parametrize("colors", [1, 3])
def test_steps_and_rows_at_once_draw_what_forward_scores(family, colors, monkeypatch):
    model = picture_model(family, colors=colors, height=5, width=6, channels=24)
    tokens = random_tokens(2, model.context_length, vocab_size=5)
    rows, state = model.forward(tokens), model.initial_state(2)
    for i in range(tokens.shape[1]):
        logits, state = model.step(tokens[:, i : i + 1], state)
        torch.testing.assert_close(logits, rows[:, i], rtol=1e-5, atol=1e-5)
    monkeypatch.setattr(model, "_pixels_at_once", lambda device_type: 6)
    found, state = [], model.initial_state(2)
    for chunk in tokens.split((1, 7, 10, model.context_length - 18), dim=1):
        logits, state = model.step_every(chunk, state)
        found.append(logits)
    torch.testing.assert_close(torch.cat(found, dim=1), rows, rtol=1e-5, atol=1e-5)


def test_diagonals_become_columns_and_return():
    x = torch.arange(12).view(1, 1, 3, 4)
    skewed = skew(x)
    assert skewed[0, 0].tolist() == [
        [0, 1, 2, 3, 0, 0],
        [0, 4, 5, 6, 7, 0],
        [0, 0, 8, 9, 10, 11],
    ]
    assert torch.equal(unskew(skewed), x)


@pytest.mark.parametrize(
    ("change", "says"),
    [({"n_class": 2}, "n_class must be 0"), ({"first_kernel_size": 4}, "must be odd"),
     ({"channels": 32, "colors": 3}, "multiple of 3"), ({"n_layer": 0}, "n_layer")],
)  # fmt: skip
@pytest.mark.parametrize("family", ["row-lstm", "diagonal-bilstm"])
def test_a_config_out_of_range_is_refused(family, change, says):
    with pytest.raises(ConfigError, match=says):
        picture_model(family, **change)
