"""A recogniser without a model, on real words and on sequences whose distance is known."""

import numpy as np
import pytest

from playground.data.sounds import load_sounds
from playground.evaluation.templates import cepstra, nearest, warped_distance

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def slow_distance(a, b):
    """The same by the recurrence, cell by cell."""
    total = np.full((len(a) + 1, len(b) + 1), np.inf)
    total[0, 0] = 0
    for i in range(len(a)):
        for j in range(len(b)):
            best = min(total[i, j], total[i, j + 1], total[i + 1, j])
            total[i + 1, j + 1] = np.linalg.norm(a[i] - b[j]) + best
    return total[-1, -1] / (len(a) + len(b))


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 5), (6, 1), (7, 9), (20, 13)])
def test_the_distance_is_that_of_the_recurrence(n, m):
    generator = np.random.default_rng(n)
    a, b = generator.normal(size=(n, 3)), generator.normal(size=(m, 3))
    assert warped_distance(a, b) == pytest.approx(slow_distance(a, b))


def test_a_sequence_is_its_own_neighbour_however_slow():
    a = np.random.default_rng(0).normal(size=(12, 3))
    assert warped_distance(a, a.repeat(3, axis=0)) == 0


@pytest.fixture(scope="module")
def digits():
    words = load_sounds("words")
    texts = [*words.train_texts, *words.test_texts]
    clips = [*words.train, *words.test]
    return [clips[texts.index(digit)] for digit in DIGITS]


def test_spoken_digits_are_known_again_when_slower_quieter_and_noisy(digits):
    noise = np.random.default_rng(0)
    for number, clip in enumerate(digits):
        slow = np.interp(np.arange(0, len(clip), 0.93), np.arange(len(clip)), clip)
        heard = 0.3 * slow + noise.normal(scale=0.003, size=len(slow))
        heard = np.concatenate((np.zeros(900), heard, np.zeros(700))).astype(np.float32)
        assert nearest(heard, digits, 8000) == number


def test_silence_around_a_sound_does_not_count(digits):
    around = np.pad(digits[3], 2000)
    assert abs(len(cepstra(around, 8000)) - len(cepstra(digits[3], 8000))) <= 2
