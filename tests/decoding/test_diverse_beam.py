"""Diverse beam search: groups that search in turn, and pay for what those before them took."""

import math

import pytest

from playground.decoding.beam import BeamSearch, DiverseBeamSearch
from playground.decoding.generate import generate_trace
from playground.decoding.lane import Lane
from tests.helpers import Chain, ngram

CHAIN = Chain(
    [  # to: start, a, b, c
        [0.0, 0.5, 0.3, 0.2],
        [0.0, 0.1, 0.6, 0.3],
        [0.0, 0.25, 0.7, 0.05],
        [0.25, 0.25, 0.25, 0.25],
    ]
)


def trace_of(strategy, model=CHAIN, prompt=(0,), new=2, eos=None):
    return generate_trace(model, "m", prompt, Lane(strategy), max_new_tokens=new, eos_token=eos)


def diverse(num_beams, groups, penalty, **settings):
    return DiverseBeamSearch(
        num_beams, num_beam_groups=groups, diversity_penalty=penalty, **settings
    )


def test_two_groups_of_one_beam_by_hand():
    """The second group pays 1 for each token that the first has just taken.

    First: log 0.5 = -0.69 for a. The second group weighs a at -0.69 - 1 = -1.69, b at log 0.3 =
    -1.20, c at log 0.2 = -1.61: b. Then the first takes b, log(0.5 * 0.6) = -1.20. The second
    weighs b at log(0.3 * 0.7) - 1 = -2.56 and a at log(0.3 * 0.25) = -2.59: b in spite of its
    price, which the score tells and log p does not.
    """
    trace = trace_of(diverse(2, 2, 1.0))
    first, second = trace.alternatives
    assert (first.tokens, second.tokens) == ((1, 2), (2, 2))
    assert first.logprob == pytest.approx(math.log(0.3))
    assert first.score == pytest.approx(math.log(0.3) / 2)
    assert second.logprob == pytest.approx(math.log(0.21))
    assert second.score == pytest.approx((math.log(0.21) - 1) / 2)
    told = [(h.group, h.token, h.fate) for h in trace.search[0]]
    assert told == [(0, 1, "live"), (0, 2, "pruned"), (1, 2, "live"), (1, 3, "pruned")]
    assert trace.search[0][3].logprob == pytest.approx(math.log(0.2))


def test_a_small_price_changes_nothing():
    """a costs -0.69 - 0.4 = -1.09, still better than b at -1.20."""
    first, second = trace_of(diverse(2, 2, 0.4), new=1).alternatives
    assert first.tokens == second.tokens == (1,)
    assert second.score == pytest.approx(math.log(0.5) - 0.4)


def test_what_was_paid_stays_on_the_bill():
    """Of the second group c, taken by nobody, stays behind: a was paid for at the first token.

    a: log 0.5 - 0.4 = -1.09; then a -> b is log 0.3 - 0.4 - 0.4 (b is taken as well) = -2.00 and
    a -> c is log 0.15 - 0.4 = -2.30.
    """
    _, second = trace_of(diverse(2, 2, 0.4)).alternatives
    assert second.tokens == (1, 2)
    assert second.score == pytest.approx((math.log(0.3) - 0.8) / 2)
    assert second.logprob == pytest.approx(math.log(0.3))


@pytest.mark.parametrize("eos", [None, 2])
@pytest.mark.parametrize(("beams", "groups"), [(2, 2), (4, 2), (6, 3), (4, 1)])
def test_without_a_price_every_group_is_plain_beam_search(beams, groups, eos):
    for seed in range(3):
        model, prompt = ngram(3, seed), (0, 5, 3)
        plain = trace_of(BeamSearch(beams // groups), model, prompt, new=7, eos=eos)
        trace = trace_of(diverse(beams, groups, 0.0), model, prompt, new=7, eos=eos)
        expected = [other for other in plain.alternatives for _ in range(groups)]
        assert sorted(trace.alternatives, key=str) == sorted(expected, key=str)
        assert trace.steps == plain.steps
        for group in range(groups):
            for ours, theirs in zip(trace.search, plain.search, strict=True):
                own = [(h.token, h.logprob, h.fate) for h in ours if h.group == group]
                assert own == [(h.token, h.logprob, h.fate) for h in theirs]


@pytest.mark.parametrize(("beams", "groups"), [(3, 3), (4, 2), (8, 4)])
def test_a_high_price_keeps_the_first_tokens_apart(beams, groups):
    for seed in range(3):
        trace = trace_of(diverse(beams, groups, 50.0), ngram(3, seed), (0, 5, 3), new=4)
        first = [h.token for h in trace.search[0] if h.fate == "live"]
        assert len(set(first)) == len(first) == beams


def test_a_group_that_has_ended_leaves_the_others_alone():
    """With c as the end, and a high price: a b b b beside b a c, since b is taken each time."""
    trace = trace_of(diverse(2, 2, 5.0), new=4, eos=3)
    assert {other.tokens for other in trace.alternatives} == {(1, 2, 2, 2), (2, 1, 3)}
    assert [{h.group for h in row} for row in trace.search] == [{0, 1}, {0, 1}, {0, 1}, {0}]
    last = [h for h in trace.search[3] if h.fate == "finished"]
    assert [h.parent for h in last] == [0]
