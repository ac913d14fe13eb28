"""Processors that remove unlikely tokens, each by its own rule; none removes the last one."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from playground.decoding.context import Context


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
