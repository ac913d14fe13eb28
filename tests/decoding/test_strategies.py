"""Choosing a token of a distribution, and the table of strategies."""

import pytest
import torch

from playground.decoding.strategies import Greedy, Sample
from playground.decoding.strategy_catalogue import STRATEGIES, make_strategy
from playground.errors import ConfigError


def test_greedy_takes_the_lowest_of_tied_tokens():
    logits = torch.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    assert Greedy().choose(logits, None).tolist() == [1, 0]


@pytest.mark.parametrize(("uniform", "token"), [(0.0, 1), (0.24, 1), (0.26, 3), (0.9999999, 3)])
def test_sample_looks_the_uniform_number_up_in_the_cumulated_probabilities(uniform, token):
    logits = torch.tensor([[0.0, 0.25, 0.0, 0.75, 0.0]]).log()
    uniforms = torch.tensor([[uniform]], dtype=torch.float64)
    assert Sample().choose(logits, uniforms).tolist() == [token]


def test_sample_never_runs_past_the_last_token_that_is_left():
    logits = torch.tensor([[0.0, 1.0, -torch.inf]])
    one = torch.ones(1, 1, dtype=torch.float64)  # beyond what a Lane gives
    assert Sample().choose(logits, one).tolist() == [1]


def made(name: str, **settings):
    return make_strategy(name, words=((1, 2),), **settings)


def test_strategies_are_made_by_name_and_tell_their_settings():
    for name, kind in STRATEGIES.items():
        strategy = made(name)
        assert strategy.name == name
        told = strategy.settings()
        for parameter in kind.parameters:
            assert told[parameter.name] == parameter.default, (name, parameter.name)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("gready", {}, r"no strategy 'gready'. Choose among sample, greedy"),
        ("greedy", {"num_beams": 2}, "greedy has no setting 'num_beams'"),
        ("beam_search", {"num_beams": 10_000}, r"num_beams must be a whole number in \[1, 32\]"),
        ("beam_search", {"num_beams": True}, "num_beams must be a whole number"),
        ("beam_search", {"length_penalty": float("nan")}, "length_penalty must be in"),
        ("beam_search", {"early_stopping": "sometimes"}, "early_stopping must be one of"),
        ("beam_search", {"early_stopping": 1}, "early_stopping must be one of"),
        ("diverse_beam_search", {"num_beams": 4, "num_beam_groups": 3}, "must divide num_beams"),
        ("contrastive_search", {"top_k": 0}, "top_k must be a whole number"),
        ("minimum_bayes_risk", {"n": 1}, "n must be a whole number"),
        ("prompt_lookup", {"max_matching_ngram_size": 99}, "max_matching_ngram_size must be"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name_rule_and_value(name, settings, message):
    with pytest.raises(ConfigError, match=message):
        made(name, **settings)


@pytest.mark.parametrize("words", [(), ((),), ((1,),) * 9, ((1,) * 65,)])
def test_words_that_cannot_be_forced_are_refused(words):
    with pytest.raises(ConfigError, match="force_words_ids must name"):
        make_strategy("constrained_beam_search", words=words)
