"""Strategies: which token to take, once the processors have shaped the distribution.

`choose(logits (rows, V), hypotheses, generator) -> (parents (rows,), tokens (rows,))`: row i of
the result continues the hypothesis `parents[i]`. Strategies that keep one hypothesis return the
parents as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from playground.errors import ConfigError


@dataclass(frozen=True)
class Hypotheses:
    """The sequences a strategy keeps alive: tokens (rows, T), and log p of each (rows,)."""

    tokens: Tensor
    logprobs: Tensor


class Strategy(Protocol):
    name: str
    is_random: bool

    def choose(
        self, logits: Tensor, hypotheses: Hypotheses, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Return the parents and tokens of the hypotheses that live on."""
        ...


@dataclass(frozen=True)
class Greedy:
    """Take the most likely token; the lowest number wins a tie."""

    name = "greedy"
    is_random = False

    def choose(self, logits, hypotheses, generator):
        rows = torch.arange(logits.shape[0], device=logits.device)
        return rows, logits.argmax(-1)


@dataclass(frozen=True)
class Sample:
    """Draw a token with its probability (ancestral sampling).

    One uniform number is looked up in the cumulated probabilities, so the draw is a function of
    the distribution and that number alone, on every device.
    """

    name = "sample"
    is_random = True

    def choose(self, logits, hypotheses, generator):
        rows = torch.arange(logits.shape[0], device=logits.device)
        uniform = torch.rand(logits.shape[0], 1, generator=generator, dtype=torch.float64)
        cumulated = logits.double().softmax(-1).cumsum(-1)  # (rows, V)
        mark = uniform.to(logits.device) * cumulated[:, -1:]
        tokens = torch.searchsorted(cumulated, mark, right=True)[:, 0]
        last = logits.shape[-1] - 1 - logits.isfinite().flip(-1).int().argmax(-1)
        return rows, torch.minimum(tokens, last)  # rounding may leave the mark past the end


STRATEGIES: dict[str, type] = {"greedy": Greedy, "sample": Sample}


def make_strategy(name: str) -> Strategy:
    """Return the strategy of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in STRATEGIES:
        raise ConfigError(f"There is no strategy {name!r}. Choose among {', '.join(STRATEGIES)}.")
    return STRATEGIES[name]()
