"""Processors that bend the whole distribution, by a fixed or by a measured amount."""

from __future__ import annotations

from torch import Tensor

from playground.decoding.context import Context


def temperature(logits: Tensor, context: Context, value: float) -> Tensor:
    """Divide by `value`: below 1 sharpens the distribution, above 1 flattens it."""
    return logits / value
