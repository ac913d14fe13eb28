"""Choosing a token of a distribution."""

import pytest
import torch

from playground.decoding.strategies import STRATEGIES, Greedy, Sample, make_strategy
from playground.errors import ConfigError


class FixedGenerator:
    """Stands in for torch.rand's answer."""

    def __init__(self, monkeypatch, value: float):
        monkeypatch.setattr(
            torch, "rand", lambda *shape, **_: torch.full(shape, value, dtype=torch.float64)
        )


def test_greedy_takes_the_lowest_of_tied_tokens():
    logits = torch.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    parents, tokens = Greedy().choose(logits, None, None)
    assert tokens.tolist() == [1, 0]
    assert parents.tolist() == [0, 1]


@pytest.mark.parametrize(("uniform", "token"), [(0.0, 1), (0.24, 1), (0.26, 3), (0.9999999, 3)])
def test_sample_looks_the_uniform_number_up_in_the_cumulated_probabilities(
    monkeypatch, uniform, token
):
    FixedGenerator(monkeypatch, uniform)
    logits = torch.tensor([[0.0, 0.25, 0.0, 0.75, 0.0]]).log()
    _, tokens = Sample().choose(logits, None, None)
    assert tokens.tolist() == [token]


def test_sample_never_runs_past_the_last_token_that_is_left(monkeypatch):
    FixedGenerator(monkeypatch, 1.0)  # rounding up to which torch.rand excludes
    logits = torch.tensor([[0.0, 1.0, -torch.inf]])
    assert Sample().choose(logits, None, None)[1].tolist() == [1]


def test_strategies_are_made_by_name():
    assert {name: make_strategy(name).name for name in STRATEGIES} == {n: n for n in STRATEGIES}
    with pytest.raises(ConfigError, match=r"no strategy .gready.\. Choose among greedy"):
        make_strategy("gready")
