"""Strategies that keep one hypothesis: which token to take, once the processors have shaped it.

`choose(logits (R, V), uniforms (R, 1)) -> tokens (R,)`, a row for each of R lanes. Whatever keeps
several hypotheses alive is a search (`search.py`); whatever guesses ahead is in `speculative.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

BELOW_ONE = 1 - 2.0**-50  # keeps a mark short of the total, so that rounding never passes the end


@runtime_checkable
class Strategy(Protocol):
    """A named way to choose; `settings` are its parameters, as a Trace and a link tell them."""

    name: str

    def settings(self) -> dict[str, Any]: ...


class Settings:
    """Settings of a frozen dataclass: every field that takes part in its equality."""

    def settings(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.compare}


@dataclass(frozen=True)
class Greedy(Settings):
    """Take the most likely token; the lowest number wins a tie."""

    name = "greedy"
    is_random = False

    def choose(self, logits: Tensor, uniforms: Tensor | None) -> Tensor:
        """Return the most likely token (R,) of logits (R, V)."""
        return logits.argmax(-1)


@dataclass(frozen=True)
class Sample(Settings):
    """Draw a token with its probability (ancestral sampling).

    One uniform number is looked up in the cumulated probabilities, so the draw is a function of
    the distribution and that number alone, on every device.
    """

    name = "sample"
    is_random = True

    def choose(self, logits: Tensor, uniforms: Tensor | None) -> Tensor:
        """Return a token (R,) for logits (R, V) and numbers (R, 1) in [0, 1)."""
        return draw(logits.float().softmax(-1), uniforms)


def draw(weights: Tensor, uniforms: Tensor) -> Tensor:
    """Return an index (R,) into weights (R, V) that need not add up to 1."""
    cumulated = weights.cumsum(-1, dtype=torch.float64)
    mark = uniforms.to(weights.device) * (cumulated[:, -1:] * BELOW_ONE)
    return torch.searchsorted(cumulated, mark, right=True)[:, 0]
