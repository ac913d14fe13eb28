"""Shannon's bounds and symbols, worked by hand."""

import math

import numpy as np
import pytest

from playground.errors import ConfigError
from playground.evaluation.shannon import (
    bands,
    bet_probs,
    bounds,
    letters,
    model_bits,
    rank_of,
)


def test_bounds_worked_by_hand():
    # q = 1/2, 1/4, 1/4: upper 1.5; lower 1 (1/4) log 1 + 2 (0) log 2 + 3 (1/4) log 3
    found = bounds([1, 1, 2, 3])
    assert found.upper == pytest.approx(1.5)
    assert found.lower == pytest.approx(0.75 * math.log2(3))
    assert found.count == 4


def test_where_all_numbers_of_guesses_are_as_frequent_both_bounds_are_the_entropy():
    found = bounds([1, 2, 3, 4, 5, 6, 7, 8] * 3)
    assert (found.lower, found.upper) == pytest.approx((3.0, 3.0))


def test_bounds_enclose_the_entropy_of_a_mixture_of_contexts():
    """Two contexts as frequent, of 0 and of 2 bits: 1 bit, seen by an ideal guesser."""
    ranks = [1] * 400 + [1, 2, 3, 4] * 100
    found = bounds(ranks)
    assert found.lower == pytest.approx(1.0)  # as tight as it can be
    assert found.upper == pytest.approx(-0.625 * math.log2(0.625) + 0.375 * 3)


def test_always_right_needs_no_bits():
    found = bounds([1] * 10)
    assert (found.lower, found.upper) == (0, 0)
    assert bounds([]) is None


@pytest.mark.parametrize("ranks", [[2], [5, 5, 1], [3, 9, 9, 9], [1, 2, 2, 4, 4, 4]])
def test_the_bounds_never_cross(ranks):
    found = bounds(ranks)
    assert 0 <= found.lower <= found.upper + 1e-12


def test_letters_without_case_are_about_the_alphabet_of_the_paper():
    found = letters("\n ,.AaBb", 9, plain=True)
    assert found.names == ("a", "b", " ", ".")
    assert found.of_token == (2, 2, 3, 3, 0, 0, 1, 1, -1)
    probs = found.probs([0.1, 0.1, 0.05, 0.05, 0.2, 0.2, 0.1, 0.2, 0.0])
    assert probs == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert letters("\n ,.AaBb", 9, plain=False).names == tuple("\n ,.AaBb")


def test_256_levels_become_8_bands_and_4_stay_4():
    found = bands(256, 257, 8)
    assert found.names[0] == "0 to 31"
    assert found.names[7] == "224 to 255"
    assert found.of_token[256] == -1
    assert bands(4, 5, 17).names == ("0", "1", "2", "3")
    uniform = found.probs(np.full(257, 1 / 257))
    assert uniform == pytest.approx([1 / 8] * 8)  # BOS never follows


def test_a_model_guesses_from_the_likeliest_on():
    probs = np.array([0.2, 0.5, 0.2, 0.1])
    assert [rank_of(probs, symbol) for symbol in range(4)] == [2, 1, 3, 4]
    assert model_bits(probs, 1) == 1
    assert model_bits(np.array([1.0, 0.0]), 1) == pytest.approx(39.86, abs=0.01)


def test_a_bet_spreads_what_is_left_over_all_others():
    probs = bet_probs({2: 0.5, 0: 0.25}, 27)
    assert probs.sum() == pytest.approx(1)
    assert probs[[2, 0]].tolist() == [0.5, 0.25]
    assert probs[5] == pytest.approx(0.25 / 25)
    assert bet_probs({}, 4).tolist() == [0.25] * 4


@pytest.mark.parametrize("bets", [{0: 1.0}, {0: -0.1}, {9: 0.5}, {0: 0.1, 1: 0.1, 2: 0.1, 3: 0.1}])
def test_bets_that_could_cost_everything_are_refused(bets):
    with pytest.raises(ConfigError):
        bet_probs(bets, 9)
