"""Power laws: known ones are found again, and the intervals hold what made the noise."""

import numpy as np
import pytest

from playground.errors import DataError
from playground.experiments.power_laws import PowerLaw, fit

TRUE = PowerLaw(E=1.2, A=30, a=0.35, B=200, b=0.4)
SIZES, TOKENS, SEEDS = (6144, 24576, 82944, 196608, 786432), (245760, 737280, 2211840), 3


def runs(law: PowerLaw = TRUE, noise: float = 0.0):
    """Return parameters, tokens and losses of every size by every amount of text."""
    N = np.repeat(SIZES, len(TOKENS) * SEEDS)
    D = np.tile(np.repeat(TOKENS, SEEDS), len(SIZES))
    return N, D, law.loss(N, D) + noise * np.random.default_rng(0).normal(size=len(N))


def test_a_law_without_noise_is_found_again():
    found = fit(*runs(), resamples=0)
    assert found.law.a == pytest.approx(TRUE.a, abs=2e-3)
    assert found.law.b == pytest.approx(TRUE.b, abs=2e-3)
    assert found.law.E == pytest.approx(TRUE.E, abs=2e-3)
    assert found.error < 1e-3
    unseen = TRUE.loss(4 * SIZES[-1], 4 * TOKENS[-1])  # beyond what it was fitted to
    assert found.law.loss(4 * SIZES[-1], 4 * TOKENS[-1]) == pytest.approx(unseen, rel=2e-3)


def test_the_exponents_are_tied_to_the_right_one_of_size_and_text():
    found = fit(*runs(PowerLaw(1.0, 400, 0.6, 8, 0.15)), resamples=0).law
    assert found.a == pytest.approx(0.6, abs=0.02)
    assert found.b == pytest.approx(0.15, abs=0.02)
    assert found.share == pytest.approx(0.2, abs=0.02)


def test_the_intervals_hold_the_truth_and_widen_with_the_noise():
    little, much = (fit(*runs(noise=noise), resamples=60) for noise in (0.005, 0.05))
    for name in ("a", "b", "share"):
        low, high = little.range(name)
        assert low - 0.02 <= getattr(TRUE, name) <= high + 0.02
        assert low < high
        assert much.range(name)[1] - much.range(name)[0] > high - low
    assert little.error < much.error


def test_the_same_runs_give_the_same_law():
    assert fit(*runs(noise=0.02), resamples=5) == fit(*runs(noise=0.02), resamples=5)


def test_no_term_is_negative_where_size_changes_nothing():
    law = fit(*runs(PowerLaw(1.5, 0.0, 0.3, 100, 0.35)), resamples=0).law
    assert min(law.E, law.A, law.B) >= 0
    assert law.loss(SIZES[0], TOKENS[0]) == pytest.approx(1.5 + 100 * TOKENS[0] ** -0.35, rel=1e-3)


def test_two_sizes_are_too_few_to_tell_a_law():
    N, D, L = runs()
    few = np.isin(N, SIZES[:2])
    with pytest.raises(DataError, match="three sizes and three amounts of text; there are 2 and 3"):
        fit(N[few], D[few], L[few])
