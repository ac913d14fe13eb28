"""Bayes with the likelihood of a picture under every class."""

import numpy as np
import pytest

from playground.evaluation.posterior import class_posterior


def test_it_is_bayes_by_hand():
    likelihood = np.array([1 / 8, 1 / 4, 1 / 2])
    found = class_posterior(-np.log2(likelihood))
    assert found == pytest.approx(likelihood / likelihood.sum())
    prior = np.array([0.5, 0.25, 0.25])
    joint = likelihood * prior
    assert class_posterior(-np.log2(likelihood), prior) == pytest.approx(joint / joint.sum())


def test_thousands_of_bits_neither_vanish_nor_overflow():
    found = class_posterior(np.array([[90_000.0, 90_001.0, 95_000.0], [3.0, np.inf, 3.0]]))
    assert found[0] == pytest.approx([2 / 3, 1 / 3, 0])
    assert found[1] == pytest.approx([1 / 2, 0, 1 / 2])


def test_a_class_may_be_impossible_from_the_start():
    found = class_posterior(np.array([5.0, 5.0, 1.0]), np.array([0.5, 0.5, 0.0]))
    assert found == pytest.approx([1 / 2, 1 / 2, 0])
    with pytest.raises(ValueError, match="must be a class"):
        class_posterior(np.array([1.0, np.inf]), np.array([0.0, 1.0]))


@pytest.mark.parametrize("bits", [[], [np.inf, np.inf], [np.nan, 1.0]])
def test_it_needs_a_class_that_is_possible(bits):
    with pytest.raises(ValueError, match="must be a class"):
        class_posterior(np.array(bits))
