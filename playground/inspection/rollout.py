"""Attention through all layers at once: how the last position is connected to each token.

Attention rollout (Abnar & Zuidema 2020, arXiv:2005.00928): each layer's weights, averaged over its
heads, half for what is read and half for the residual stream that passes by; then the product over
the layers. It shows along which paths something of a token could have come to the last position.
It does not show that anything did: values, perceptrons and the size of what is added are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from playground.decoding.window import visible_window
from playground.inspection.attention import HasAttentionRows, attending, rows_of, spread
from playground.models.base import ARModel

ROLLOUT_TOKENS = 1024  # newest tokens that are read
MAX_WEIGHTS = 2**26  # averaged weights that are held at once, 256 MB
MAX_ROWS = 2**24  # weights of one layer that are made at once, 64 MB


@dataclass(frozen=True)
class Rollout:
    """How the last position is connected to each token of a window of n tokens."""

    weights: np.ndarray  # (n_layer, n): after the newest 1, 2, ... layers; each adds up to 1
    first: int  # position in the whole sequence of the window's first token after BOS

    def over(self, length: int) -> np.ndarray:
        """Return the connection through all layers (length,) over the whole sequence."""
        return spread(self.weights[-1], length, self.first)


def rollout(model: ARModel, prefix: Sequence[int], newest: int = ROLLOUT_TOKENS) -> Rollout:
    """Return the attention rollout of the last position of `prefix` (BOS first).

    Args:
        newest: how many tokens are read at most, fewer for a model so deep that the averages of
            its layers would not fit. Of a longer prefix, it is read as if it began there.

    Raises:
        ConfigError: the model has no attention.
    """
    inner = attending(model)
    window = visible_window(prefix, inner.context_length)
    newest = max(1, min(newest, int((MAX_WEIGHTS / inner.n_layer) ** 0.5)))
    if len(window) > newest:
        window = (window[0], *window[len(window) - newest + 1 :])
    means = averages(inner, window)
    row = np.zeros(len(window), np.float64)
    row[-1] = 1
    rows = []
    for layer in means[::-1]:  # the product from the left: a row times a matrix, never two matrices
        row = 0.5 * (row @ layer) + 0.5 * row
        rows.append(row)
    return Rollout(np.stack(rows), len(prefix) - len(window) + 1)


def averages(model: HasAttentionRows, window: Sequence[int]) -> np.ndarray:
    """Return the weights (n_layer, n, n) of a window averaged over the heads, float32.

    Queries are asked for some at a time: a chunk sees only what is before its end.
    """
    n = len(window)
    means = np.zeros((model.n_layer, n, n), np.float32)
    size = max(1, MAX_ROWS // (model.n_head * n))

    def mean_of_heads(weights: Tensor) -> Tensor:
        return weights[0].mean(0)

    for first in range(0, n, size):
        last = min(n, first + size)
        means[:, first:last, :last] = rows_of(model, window[:last], first, mean_of_heads)
    return means
