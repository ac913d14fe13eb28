"""Attention weights of one prefix, in a size that can be drawn.

Weights say where a head read from; they are no proof of what it used (Jain & Wallace 2019,
arXiv:1902.10186).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from playground.decoding.window import visible_window
from playground.models.base import device_of

MAP_TOKENS = 48  # newest tokens that the maps show; a row covers the whole window


@runtime_checkable
class HasAttention(Protocol):
    """A model that can tell its attention weights."""

    context_length: int

    def attention_maps(self, tokens: Tensor) -> Tensor:
        """Return weights (n_layer, B, n_head, T, T) of tokens (B, T)."""
        ...


@dataclass(frozen=True)
class Attention:
    """Where each head of each layer looks from the last position of a window of n tokens."""

    row: np.ndarray  # (n_layer, n_head, n): weights from the last token to each of the window
    maps: np.ndarray  # (n_layer, n_head, m, m): among the newest m tokens; rows look at columns
    first: int  # position in the whole sequence of the window's first token after BOS

    def over(self, length: int, layer: int | None = None, head: int | None = None) -> np.ndarray:
        """Return the weights (length,) over the whole sequence: one head, or the mean of heads."""
        layers = self.row if layer is None else self.row[layer : layer + 1]
        heads = layers if head is None else layers[:, head : head + 1]
        mean = heads.mean(axis=(0, 1))
        spread = np.zeros(length)
        spread[0] = mean[0]
        spread[self.first : self.first + len(mean) - 1] = mean[1:]
        return spread


def attention(model: HasAttention, prefix: Sequence[int]) -> Attention:
    """Return the attention of the last position of `prefix` (BOS first)."""
    window = visible_window(prefix, model.context_length)
    rows = torch.tensor([window], device=device_of(model))
    weights = model.attention_maps(rows)[:, 0].float().cpu().numpy()  # (L, H, n, n)
    return Attention(
        row=weights[:, :, -1],
        maps=weights[:, :, -MAP_TOKENS:, -MAP_TOKENS:],
        first=len(prefix) - len(window) + 1,
    )
