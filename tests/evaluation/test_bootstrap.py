"""Intervals against what theory says of them."""

import numpy as np
import pytest

from playground.errors import DataError
from playground.evaluation.bootstrap import paired_interval, ratio_interval


def test_the_figure_is_the_ratio_of_the_sums_not_the_mean_of_ratios():
    found = ratio_interval([10, 1], [2, 1])
    assert found.value == pytest.approx(11 / 3)
    assert found.low == pytest.approx(1.0)  # the second twice
    assert found.high == pytest.approx(5.0)  # the first twice


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    found = ratio_interval(values, np.ones(400))
    half = 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.05 * half * 2)
    assert found.high == pytest.approx(values.mean() + half, abs=0.05 * half * 2)


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(2).random(30)
    assert ratio_interval(values, np.ones(30), seed=4) == ratio_interval(
        values, np.ones(30), seed=4
    )
    assert ratio_interval(values, np.ones(30)) != ratio_interval(values, np.ones(30), seed=4)


def test_a_constant_difference_has_no_width_however_wide_the_figures_are():
    values = np.random.default_rng(3).random(50) * 10
    found = paired_interval(values + 0.5, values, np.ones(50))
    assert (found.low, found.value, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_one_unit_has_no_interval():
    found = ratio_interval([4.0], [2.0])
    assert (found.value, found.low, found.high) == (2.0, None, None)


@pytest.mark.parametrize(("totals", "sizes"), [([], []), ([1.0], [0.0]), ([1.0, 2.0], [1.0])])
def test_nothing_to_measure_is_told(totals, sizes):
    with pytest.raises(DataError, match="An interval is over"):
        ratio_interval(totals, sizes)
