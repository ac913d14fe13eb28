"""Calibration: whether what a model gives a probability of 70 % comes 7 times in 10.

The reliability diagram and the expected calibration error of Guo et al. 2017, arXiv:1706.04599:
predictions are put into bins of equal width by their probability, and in each the mean probability
is compared with how often it came true. A model of text predicts at every position; counted are
its likeliest token (the paper's confidence), or each of its `k` likeliest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from playground.errors import check_whole
from playground.evaluation.judge import measure
from playground.models.base import ARModel

BINS = 10
CANDIDATES = 20


@dataclass(frozen=True, eq=False)
class Predictions:
    """The k likeliest tokens at each of N positions, the likeliest first."""

    probs: np.ndarray  # (N, k)
    came: np.ndarray  # (N, k) bool: it was the token that followed

    @staticmethod
    def together(parts: Sequence[Predictions]) -> Predictions:
        return Predictions(
            np.concatenate([part.probs for part in parts]),
            np.concatenate([part.came for part in parts]),
        )


@dataclass(frozen=True)
class Bin:
    """Predictions of about the same probability."""

    low: float
    high: float
    count: int
    probability: float | None  # mean of what was predicted; None: the bin is empty
    frequency: float | None  # share that came true


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram."""

    bins: tuple[Bin, ...]

    @property
    def count(self) -> int:
        return sum(one.count for one in self.bins)

    @property
    def error(self) -> float | None:
        """Expected calibration error: the mean distance, weighted by counts (eq. 3)."""
        if not self.count:
            return None
        return sum(one.count * abs(_gap(one)) for one in self.bins if one.count) / self.count

    @property
    def bias(self) -> float | None:
        """Mean probability minus frequency: above 0 the model is too sure of itself."""
        if not self.count:
            return None
        return sum(one.count * _gap(one) for one in self.bins if one.count) / self.count


def _gap(one: Bin) -> float:
    return one.probability - one.frequency


def reliability(probs: np.ndarray, came: np.ndarray, bins: int = BINS) -> Reliability:
    """Return the diagram of predictions: probabilities in [0, 1], and whether each came true.

    Bin i of m holds (i / m, (i + 1) / m], as in the paper; a probability of 0 is in the first.
    """
    check_whole("bins", bins, 1, 1000)
    probs, came = np.ravel(probs).astype(np.float64), np.ravel(came).astype(np.float64)
    place = np.clip(np.ceil(probs * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    sums = np.bincount(place, probs, bins)
    hits = np.bincount(place, came, bins)
    return Reliability(
        tuple(
            Bin(i / bins, (i + 1) / bins, int(n), sums[i] / n if n else None,
                hits[i] / n if n else None)
            for i, n in enumerate(counts)
        )
    )  # fmt: skip


def predictions(
    model: ARModel, tokenizer: Any, windows: Sequence[str], k: int = CANDIDATES
) -> Iterator[Predictions]:
    """Yield what a model predicted at every token of each window, behind the window before it.

    Raises:
        PromptError: the tokenizer cannot read the text; before anything is computed.
    """
    k = min(check_whole("k", k, 1, 1000), model.vocab_size)
    encoded = [tokenizer.encode(window) for window in windows]
    before: list[int] = []
    for tokens in encoded:
        sequence = [tokenizer.bos_token, *before, *tokens]
        (rows,) = measure(model, [sequence], 1 + len(before), lambda *a: _likeliest(*a, k))
        signed = np.array(rows, np.float64).reshape(-1, k)  # below 0: it did not come
        yield Predictions(np.abs(signed), ~np.signbit(signed))
        before = tokens


def _likeliest(logits: Tensor, tokens: Tensor, k: int) -> Tensor:
    """Return the k largest probabilities (B, T, k), negative where it is not the token (B, T)."""
    probs, found = logits.softmax(-1).topk(k, dim=-1)
    came = found == tokens[..., None]
    return probs.copysign(came.float() - 0.5)
