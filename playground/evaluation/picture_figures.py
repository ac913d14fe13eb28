"""All figures of a set of pictures in one row: how likely, how varied, how like real ones.

Bits per dimension alone reward empty pictures and differences alone reward noise, so they stand
side by side, and beside those of real pictures (cf. Theis et al. 2016, arXiv:1511.01844, who show
that neither tells the other). Pictures are compared by the values 0..255 that their tokens are
shown with, and only where something was decided: what all were given is no merit of a lane.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from playground.evaluation.diversity import mean, pairwise_distance
from playground.evaluation.judge import Judge, Judgement
from playground.evaluation.judge import judge as judged
from playground.models.base import ARModel
from playground.traces.trace import Trace

LEVELS = 256  # of brightness that a histogram tells apart


@dataclass(frozen=True)
class PictureFigures:
    """What is told of k pictures; None where it is not defined."""

    samples: int
    mean_length: float | None  # values decided, the mean
    log_likelihood: float | None  # nats a picture, under the raw model told its class
    bits_per_dim: float | None  # bits a value, of all values of all pictures
    judge_log_likelihood: float | None  # the same two under the judge
    judge_bits_per_dim: float | None
    pairwise_distance: float | None  # of values 0..255; see the functions of these names
    differing: float | None
    duplicates: int
    brightness: float | None  # mean value, 0..255
    histogram_distance: float | None  # 0..255, to the real pictures

    def to_dict(self) -> dict[str, float | int | None]:
        """Return one row of a table; numbers that JSON does not know become None."""
        return {
            name: value if value is None or math.isfinite(value) else None
            for name, value in asdict(self).items()
        }


def differing(values: np.ndarray) -> float | None:
    """Return the share of values in which two of the pictures (N, T) differ, the mean over pairs.

    None for fewer than two pictures or none of their values.
    """
    count, length = values.shape
    if count < 2 or not length:
        return None
    same = 0
    for column in values.T:
        equal = np.unique(column, return_counts=True)[1]
        same += int((equal * (equal - 1) // 2).sum())
    return 1 - same / (count * (count - 1) // 2) / length


def duplicates(values: np.ndarray) -> int:
    """Return how many of the pictures (N, T) are the same as one before them."""
    return len(values) - len(np.unique(values, axis=0)) if values.size else 0


def std_map(values: np.ndarray) -> np.ndarray:
    """Return the standard deviation (T,) of each value over the pictures (N, T), 0 to 127.5."""
    return values.astype(np.float64).std(axis=0)


def histogram_distance(values: np.ndarray, others: np.ndarray) -> float | None:
    """Return how far brightness must be moved to turn one histogram into the other, 0 to 255.

    The mean way that a value goes: the first Wasserstein distance, which of numbers is the area
    between the two distribution functions. None where one of them has no values.
    """
    if not values.size or not others.size:
        return None
    ours, theirs = (
        np.cumsum(np.bincount(v.ravel(), minlength=LEVELS)) / v.size for v in (values, others)
    )
    return float(np.abs(ours - theirs).sum())


def values_of(
    sequences: Sequence[Sequence[int]], starts: Sequence[int], tokenizer: Any
) -> np.ndarray:
    """Return the values (N, T) 0..255 that pictures have behind their first `starts` tokens.

    T is what the shortest has, so that pictures that were stopped can be compared.
    """
    told = [tokens[start:] for tokens, start in zip(sequences, starts, strict=True)]
    length = min(map(len, told), default=0)
    shown = np.array([tokenizer.value(level) for level in range(tokenizer.levels)], np.uint8)
    tokens = np.array([row[:length] for row in told], np.int64).reshape(len(told), length)
    return shown[tokens]


def picture_figures(
    traces: Sequence[Trace],
    model: ARModel | None = None,
    judge: Judge | None = None,
    *,
    tokenizer: Any,
    real: np.ndarray | None = None,
) -> PictureFigures:
    """Return the figures of the pictures of one lane.

    The raw model's log p is what the Steps tell; with `model` it is computed anew. `real` (M, size)
    are the tokens of real pictures, which brightness is compared with.

    Raises:
        PromptError: the judge or the model cannot read a picture.
    """
    sequences, starts = [t.tokens for t in traces], [len(t.prompt) for t in traces]
    if model is not None:
        own = judged(model, sequences, starts)
    else:
        own = Judgement(tuple(tuple(step.logprob for step in trace.steps) for trace in traces))
    theirs = judge.read(sequences, starts, tokenizer) if judge else None
    return _figures(sequences, starts, own, theirs, tokenizer, real)


def real_picture_figures(
    real: np.ndarray,
    model: ARModel,
    judge: Judge | None = None,
    *,
    tokenizer: Any,
    given: int = 0,
    length: int | None = None,
) -> PictureFigures:
    """Return the figures of real pictures (M, size) of tokens, judged as those of a lane are.

    Each is given its own first `given` values; of what follows `length` values are judged, all
    without it.

    Raises:
        PromptError: the model or the judge does not know the tokens.
    """
    end = real.shape[1] if length is None else given + length
    sequences = [(tokenizer.bos_token, *row) for row in real[:, :end].tolist()]
    starts = [1 + given] * len(sequences)
    own = judged(model, sequences, starts)
    theirs = judge.read(sequences, starts, tokenizer) if judge else None
    return _figures(sequences, starts, own, theirs, tokenizer, None)


def _figures(
    sequences: Sequence[Sequence[int]],
    starts: Sequence[int],
    own: Judgement,
    theirs: Judgement | None,
    tokenizer: Any,
    real: np.ndarray | None,
) -> PictureFigures:
    values = values_of(sequences, starts, tokenizer)
    moved = None
    if real is not None and len(real):
        first = starts[0] - 1  # behind BOS
        rows = real[:, first : first + values.shape[1]].tolist()
        moved = histogram_distance(values, values_of(rows, [0] * len(rows), tokenizer))
    theirs = theirs or Judgement(())
    return PictureFigures(
        samples=len(sequences),
        mean_length=mean(len(t) - s for t, s in zip(sequences, starts, strict=True)),
        log_likelihood=mean(own.log_likelihoods),
        bits_per_dim=own.bits_per_token,
        judge_log_likelihood=mean(theirs.log_likelihoods),
        judge_bits_per_dim=theirs.bits_per_token,
        pairwise_distance=pairwise_distance(values),
        differing=differing(values),
        duplicates=duplicates(values),
        brightness=float(values.mean()) if values.size else None,
        histogram_distance=moved,
    )
