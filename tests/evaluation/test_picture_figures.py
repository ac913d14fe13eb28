"""Figures of pictures against what they are by hand."""

import math

import numpy as np
import pytest
import torch

from playground.evaluation.judge import Judge
from playground.evaluation.picture_figures import (
    differing,
    duplicates,
    histogram_distance,
    pairwise_distance,
    picture_figures,
    real_picture_figures,
    std_map,
    values_of,
)
from playground.models.conditioned import as_drawn
from playground.tokenizers.image import ImageTokenizer
from playground.traces.trace import Step, Trace
from tests.helpers import Chain

TOKENIZER = ImageTokenizer(2, 2, levels=4)  # shown as 0, 85, 170, 255
BOS = TOKENIZER.bos_token
HALF = -math.log(2)
PROBS = [[0.5, 0.25, 0.125, 0.125, 1e-9]] * 5  # whatever came before


def pictures(*rows) -> np.ndarray:
    return np.array(rows, np.uint8)


def trace(tokens, prompt=(BOS,), logprob=HALF) -> Trace:
    steps = tuple(
        Step(len(prompt) + i, t, logprob, logprob, 1, 1.0, 4) for i, t in enumerate(tokens)
    )
    return Trace("m", tuple(prompt), 0, steps)


def test_two_pictures_are_as_far_apart_as_their_values():
    both = pictures([0, 0, 10, 255], [0, 4, 0, 255])
    assert pairwise_distance(both) == (0 + 4 + 10 + 0) / 4
    assert differing(both) == 0.5
    assert duplicates(both) == 0


def test_of_several_pictures_all_pairs_count():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (7, 12)).astype(np.uint8)
    values[3] = values[5]
    pairs = [(i, j) for i in range(7) for j in range(i)]
    apart = [np.abs(values[i].astype(int) - values[j]).mean() for i, j in pairs]
    unlike = [(values[i] != values[j]).mean() for i, j in pairs]
    assert pairwise_distance(values) == pytest.approx(np.mean(apart))
    assert differing(values) == pytest.approx(np.mean(unlike))
    assert duplicates(values) == 1


def test_the_same_picture_twice_is_a_duplicate_and_no_diversity():
    same = pictures([1, 2, 3], [1, 2, 3], [1, 2, 3])
    assert (pairwise_distance(same), differing(same), duplicates(same)) == (0, 0, 2)
    assert std_map(same).tolist() == [0, 0, 0]


def test_black_against_white_is_as_far_as_it_gets():
    both = pictures([0, 0], [255, 255])
    assert (pairwise_distance(both), differing(both)) == (255, 1)
    assert std_map(both).tolist() == [127.5, 127.5]


@pytest.mark.parametrize("shape", [(1, 3), (0, 3), (2, 0)])
def test_what_has_no_pairs_has_no_distance(shape):
    values = np.zeros(shape, np.uint8)
    assert pairwise_distance(values) is differing(values) is None
    assert duplicates(values) == 0


def test_a_histogram_is_moved_by_the_mean_way_of_its_values():
    assert histogram_distance(pictures([0, 0, 10]), pictures([0, 0, 10])) == 0
    assert histogram_distance(pictures([0, 0]), pictures([30, 30])) == 30
    assert histogram_distance(pictures([0, 100]), pictures([100, 200])) == 100
    assert histogram_distance(pictures([7, 7, 7]), pictures([7])) == 0  # of other sizes
    assert histogram_distance(pictures([255]), pictures([0])) == 255
    assert histogram_distance(pictures([]), pictures([0])) is None


def test_values_are_those_behind_what_was_given_as_far_as_all_go():
    sequences = [(BOS, 3, 0, 1, 2), (BOS, 3, 2, 3)]
    assert values_of(sequences, [2, 2], TOKENIZER).tolist() == [[0, 85], [170, 255]]


def test_bits_are_those_of_the_steps():
    two = picture_figures([trace([0, 1, 2, 3]), trace([0, 0, 0, 0])], tokenizer=TOKENIZER)
    assert two.bits_per_dim == pytest.approx(1)
    assert two.log_likelihood == pytest.approx(-4 * math.log(2))
    assert (two.samples, two.mean_length, two.judge_bits_per_dim) == (2, 4, None)
    assert two.pairwise_distance == (85 + 170 + 255) / 4
    assert two.brightness == (85 + 170 + 255) / 8


def test_a_plain_model_and_a_judge_are_asked_anew():
    model = as_drawn(Chain(PROBS), BOS)
    judge = Judge(model, TOKENIZER)
    found = picture_figures([trace([0, 0, 1, 2])], model, judge, tokenizer=TOKENIZER)
    assert found.bits_per_dim == pytest.approx((1 + 1 + 2 + 3) / 4, abs=1e-6)
    assert found.judge_bits_per_dim == found.bits_per_dim
    assert found.judge_log_likelihood == found.log_likelihood


def test_a_completion_is_judged_by_what_was_decided():
    real = np.array([[3, 3, 0, 0], [3, 3, 1, 1]])
    lane = [trace([2, 2], (BOS, 3, 3))]
    found = picture_figures(lane, as_drawn(Chain(PROBS), BOS), tokenizer=TOKENIZER, real=real)
    assert found.bits_per_dim == pytest.approx(3)
    assert found.brightness == 170
    assert found.histogram_distance == 170 - 85 / 2
    truth = real_picture_figures(
        real, as_drawn(Chain(PROBS), BOS), tokenizer=TOKENIZER, given=2, length=1
    )
    assert (truth.samples, truth.mean_length) == (2, 1)
    assert truth.bits_per_dim == pytest.approx((1 + 2) / 2, abs=1e-6)
    assert truth.pairwise_distance == 85


def test_a_uniform_model_needs_log2_of_the_levels():
    chain = Chain([[0.25] * 4 + [0.0]] * 5)
    real = torch.randint(4, (5, 4)).numpy()
    found = real_picture_figures(real, chain, tokenizer=TOKENIZER)
    assert found.bits_per_dim == pytest.approx(2)


def test_a_lane_without_a_decision_has_no_figures_but_is_told():
    empty = picture_figures([trace([]), trace([])], tokenizer=TOKENIZER, real=np.zeros((2, 4), int))
    assert empty.mean_length == 0
    assert empty.bits_per_dim is None
    assert empty.pairwise_distance is None
    assert empty.histogram_distance is None
    assert set(empty.to_dict()) >= {"bits_per_dim", "differing", "duplicates"}
