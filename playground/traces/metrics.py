"""Figures of a sequence of decisions, all under the raw model unless said otherwise."""

from __future__ import annotations

import math
from collections.abc import Sequence

from playground.traces.trace import Step


def log_likelihood(steps: Sequence[Step]) -> float:
    """Sum of log p, in nats."""
    return math.fsum(step.logprob for step in steps)


def bits_per_token(steps: Sequence[Step]) -> float:
    """Mean surprisal in bits; NaN without steps. For pixels this is bits per dimension."""
    return -log_likelihood(steps) / len(steps) / math.log(2) if steps else math.nan


def perplexity(steps: Sequence[Step]) -> float:
    """2 to the mean surprisal: between how many equally likely tokens the model hesitated."""
    return 2.0 ** bits_per_token(steps)


def mean_entropy(steps: Sequence[Step]) -> float:
    """Mean entropy of the distributions met, in bits; NaN without steps."""
    return math.fsum(step.entropy_bits for step in steps) / len(steps) if steps else math.nan


def share_top(steps: Sequence[Step], rank: int = 1) -> float:
    """Share of the decisions that took one of the `rank` most likely tokens; NaN without steps."""
    return sum(step.rank <= rank for step in steps) / len(steps) if steps else math.nan
