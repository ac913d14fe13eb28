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


BELOW_ONE = 1 - 2.0**-50  # keeps a mark short of the total, so that rounding never passes the end


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
        cumulated = logits.softmax(-1, dtype=torch.float64).cumsum(-1)  # (rows, V)
        mark = uniform.to(logits.device) * (cumulated[:, -1:] * BELOW_ONE)
        return rows, torch.searchsorted(cumulated, mark, right=True)[:, 0]


STRATEGIES: dict[str, type] = {"greedy": Greedy, "sample": Sample}


def make_strategy(name: str) -> Strategy:
    """Return the strategy of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in STRATEGIES:
        raise ConfigError(f"There is no strategy {name!r}. Choose among {', '.join(STRATEGIES)}.")
    return STRATEGIES[name]()
