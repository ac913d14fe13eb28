"""Logits processors: pure functions (B, V) -> (B, V), named as in transformers.GenerationConfig.

Each returns new logits with -inf where it removed a token; none ever removes the last one. The
order in which they are applied is part of the result: temperature before top-p keeps more tokens
than after it (for temperatures above 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from playground.decoding.context import Context
from playground.errors import ConfigError, check_range, check_whole


def temperature(logits: Tensor, context: Context, value: float) -> Tensor:
    """Divide by `value`: below 1 sharpens the distribution, above 1 flattens it."""
    return logits / value


def top_k(logits: Tensor, context: Context, k: int) -> Tensor:
    """Keep the k most likely tokens (Fan et al. 2018, arXiv:1805.04833); exactly k on ties."""
    index = logits.topk(min(k, logits.shape[-1])).indices
    kept = torch.full_like(logits, -torch.inf)
    return kept.scatter(-1, index, logits.gather(-1, index))


def top_p(logits: Tensor, context: Context, p: float) -> Tensor:
    """Keep the smallest set of most likely tokens whose probability reaches p.

    Nucleus sampling, Holtzman et al. 2020, arXiv:1904.09751.
    """
    ordered, index = logits.sort(dim=-1, descending=True, stable=True)
    probs = ordered.softmax(-1)
    ahead = probs.cumsum(-1) - probs  # mass of what is more likely
    ahead[..., 0] = 0.0
    ordered = ordered.masked_fill(ahead >= p, -torch.inf)
    return torch.empty_like(logits).scatter(-1, index, ordered)


def min_p(logits: Tensor, context: Context, share: float) -> Tensor:
    """Keep tokens at least `share` times as likely as the best one.

    Nguyen et al. 2024, arXiv:2407.01082.
    """
    floor = logits.amax(-1, keepdim=True) + math.log(share)
    return logits.masked_fill(logits < floor, -torch.inf)


def typical_p(logits: Tensor, context: Context, mass: float) -> Tensor:
    """Keep the tokens whose surprisal is nearest to the entropy until they hold `mass`.

    Locally typical sampling, Meister et al. 2022, arXiv:2202.00666.
    """
    logprobs = logits.log_softmax(-1)
    probs = logprobs.exp()
    entropy = -torch.special.xlogy(probs, probs).sum(-1, keepdim=True)
    distance = (-logprobs - entropy).abs()  # +inf for what was removed before
    index = distance.sort(dim=-1, stable=True).indices
    ordered = probs.gather(-1, index)
    ahead = ordered.cumsum(-1) - ordered
    ahead[..., 0] = 0.0
    removed = torch.empty_like(ahead, dtype=torch.bool).scatter(-1, index, ahead >= mass)
    return logits.masked_fill(removed, -torch.inf)


def repetition_penalty(logits: Tensor, context: Context, penalty: float) -> Tensor:
    """Make every token of the prefix less likely (Keskar et al. 2019, arXiv:1909.05858, eq. 2).

    Positive logits are divided by `penalty`, negative ones multiplied; the prompt counts.
    """
    tokens = context.tokens
    seen = logits.gather(-1, tokens)
    return logits.scatter(-1, tokens, torch.where(seen > 0, seen / penalty, seen * penalty))


@dataclass(frozen=True)
class ProcessorKind:
    """What a processor is called, does, and accepts; at `off` it changes nothing."""

    apply: Callable[[Tensor, Context, float], Tensor]
    off: float
    low: float
    high: float
    start: float  # a telling value when somebody switches it on
    effect: str
    source: str

    @property
    def is_whole(self) -> bool:
        return isinstance(self.off, int)


PROCESSORS: dict[str, ProcessorKind] = {  # in the order in which transformers applies them
    "repetition_penalty": ProcessorKind(
        repetition_penalty, 1.0, 0.5, 3.0, 1.2,
        "Makes every token that already occurred less likely (above 1) or more (below 1).",
        "Keskar et al. 2019, arXiv:1909.05858",
    ),
    "temperature": ProcessorKind(
        temperature, 1.0, 0.05, 5.0, 0.8,
        "Below 1 sharpens the distribution, above 1 flattens it.",
        "Ackley et al. 1985",
    ),
    "top_k": ProcessorKind(
        top_k, 0, 0, 1000, 20,
        "Keeps the k most likely tokens. 0: off.",
        "Fan et al. 2018, arXiv:1805.04833",
    ),
    "top_p": ProcessorKind(
        top_p, 1.0, 0.01, 1.0, 0.9,
        "Keeps the smallest set of most likely tokens that holds this probability. 1: off.",
        "Holtzman et al. 2020, arXiv:1904.09751",
    ),
    "min_p": ProcessorKind(
        min_p, 0.0, 0.0, 1.0, 0.1,
        "Keeps tokens at least this many times as likely as the best one. 0: off.",
        "Nguyen et al. 2024, arXiv:2407.01082",
    ),
    "typical_p": ProcessorKind(
        typical_p, 1.0, 0.01, 1.0, 0.9,
        "Keeps tokens about as surprising as the average, up to this probability. 1: off.",
        "Meister et al. 2022, arXiv:2202.00666",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Processor:
    """One processor at one setting.

    Raises:
        ConfigError: there is none of that name, or the value is out of its range.
    """

    name: str
    value: float

    def __post_init__(self):
        if self.name not in PROCESSORS:
            raise ConfigError(
                f"There is no processor {self.name!r}. Choose among {', '.join(PROCESSORS)}."
            )
        kind = PROCESSORS[self.name]
        if kind.is_whole:
            check_whole(self.name, self.value, int(kind.low), int(kind.high))
        else:
            check_range(self.name, self.value, kind.low, kind.high)

    @property
    def is_off(self) -> bool:
        return self.value == PROCESSORS[self.name].off

    def __call__(self, logits: Tensor, context: Context) -> Tensor:
        """Map logits (B, V) of what follows `context.tokens` (B, T) to new logits (B, V)."""
        if self.is_off:
            return logits
        return PROCESSORS[self.name].apply(logits, context, self.value)

    def __str__(self) -> str:
        return f"{self.name}={self.value:g}"
