"""Figures of a few decisions, worked out by hand."""

import math

import pytest

from playground.traces.metrics import (
    bits_per_token,
    log_likelihood,
    mean_entropy,
    perplexity,
    share_top,
)
from playground.traces.trace import Step


def step(probability: float, rank: int = 1, entropy_bits: float = 0.0) -> Step:
    logprob = math.log(probability)
    return Step(1, 0, logprob, logprob, rank, entropy_bits * math.log(2), 8)


STEPS = [step(1 / 2, 1, 1.0), step(1 / 8, 3, 2.0), step(1 / 4, 2, 3.0)]


def test_a_likelihood_is_the_product_of_the_probabilities():
    assert math.exp(log_likelihood(STEPS)) == pytest.approx(1 / 64)


def test_surprisal_is_in_bits():
    assert [s.surprisal for s in STEPS] == pytest.approx([1, 3, 2])
    assert bits_per_token(STEPS) == pytest.approx(2)


def test_perplexity_is_the_geometric_mean_of_the_inverse_probabilities():
    assert perplexity(STEPS) == pytest.approx(4)


def test_entropy_is_averaged_in_bits():
    assert mean_entropy(STEPS) == pytest.approx(2)


def test_the_share_of_top_ranks_counts_decisions():
    assert share_top(STEPS) == pytest.approx(1 / 3)
    assert share_top(STEPS, 2) == pytest.approx(2 / 3)


def test_without_steps_there_is_no_mean():
    for figure in (bits_per_token, perplexity, mean_entropy, share_top):
        assert math.isnan(figure([]))
    assert log_likelihood([]) == 0
