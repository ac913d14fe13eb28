"""Reliability worked by hand, and of a model whose probabilities are known."""

import numpy as np
import pytest

from playground.checkpoints import load
from playground.evaluation.calibration import Predictions, predictions, reliability
from playground.evaluation.judge import judge
from tests.helpers import ROOT


def test_the_error_worked_by_hand():
    found = reliability([0.9, 0.9, 0.9, 0.9, 0.25, 0.15], [1, 1, 1, 0, 1, 0], bins=5)
    counts = [one.count for one in found.bins]
    assert counts == [1, 1, 0, 0, 4]
    last = found.bins[4]
    assert (last.probability, last.frequency) == pytest.approx((0.9, 0.75))
    assert found.error == pytest.approx((1 * 0.15 + 1 * 0.75 + 4 * 0.15) / 6)
    assert found.bias == pytest.approx((0.15 - 0.75 + 4 * 0.15) / 6)
    assert found.bins[2].probability is None


def test_the_right_end_of_a_bin_belongs_to_it():
    found = reliability([0.0, 0.5, 0.50001, 1.0], [0, 0, 1, 1], bins=2)
    assert [one.count for one in found.bins] == [2, 2]


def test_what_comes_as_often_as_it_is_said_has_no_error():
    draw = np.random.default_rng(0)
    probs = draw.random(200_000)
    found = reliability(probs, draw.random(200_000) < probs)
    assert found.error < 0.01
    sure = reliability(np.sqrt(probs), draw.random(200_000) < probs)
    assert sure.bias > 0.1


def test_nothing_has_no_error():
    assert reliability([], []).error is None


def test_predictions_are_those_of_the_model():
    model, tokenizer = load(ROOT / "checkpoints" / "kjv-char-ngram")
    windows = ["In the beginning God", " created the heaven"]
    found = Predictions.together(list(predictions(model, tokenizer, windows, k=64)))
    text = "".join(windows)
    assert found.probs.shape == (len(text), 64)
    assert found.came.sum(1).tolist() == [1] * len(text)
    assert (np.diff(found.probs, axis=1) <= 0).all()
    tokens = tokenizer.encode(text)
    whole = judge(model, [[tokenizer.bos_token, *tokens]], 1).logprobs[0]
    np.testing.assert_allclose(np.log(found.probs[found.came]), whole, atol=1e-5)
