"""Processors that bend the whole distribution, by a fixed amount or by one that is measured."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from playground.decoding.context import Context

LEAST_TEMPERATURE = 0.01  # of a dynamic one, which could reach zero
FARTHEST = 1e12  # below the best logit; its cube is still a float


def temperature(logits: Tensor, context: Context, value: float) -> Tensor:
    """Divide by `value`: below 1 sharpens the distribution, above 1 flattens it."""
    return logits / value


def dynatemp(
    logits: Tensor, context: Context, spread: float, exponent: float, middle: float
) -> Tensor:
    """Divide by a temperature from `middle` - `spread` to `middle` + `spread`.

    The share is (H / log n)^exponent: H the entropy, n the number of tokens not removed. A sure
    model is sharpened, an undecided one flattened. As in llama.cpp (`dynatemp_range`), but never
    below 0.01, where llama.cpp turns greedy at 0.
    """
    logprobs = logits.log_softmax(-1)
    entropy = -_times(logprobs.exp(), logprobs).sum(-1, keepdim=True)
    n_left = (logits > -torch.inf).sum(-1, keepdim=True)
    most = n_left.clamp(min=2).to(logits.dtype).log()
    low, high = max(0.0, middle - spread), middle + spread
    share = (entropy / most).clamp(0, 1) ** exponent
    warmth = (low + (high - low) * share).clamp(min=LEAST_TEMPERATURE)
    return torch.where(n_left > 1, logits / warmth, logits)


def smoothing(logits: Tensor, context: Context, factor: float, curve: float) -> Tensor:
    """Lower each logit by factor · (distance from the best)², so that near rivals stay close.

    Quadratic sampling by kalomaze, as in text-generation-webui: with `curve` above 1 a cubic
    term joins, (3 - curve) / 2 parts of the square and (curve - 1) / 2 of the cube.
    """
    best = logits.amax(-1, keepdim=True)
    distance = (logits - best).clamp(min=-FARTHEST)
    square, cube = (3 - curve) / 2 * factor, (curve - 1) / 2 * factor
    bent = best - square * distance**2 + cube * distance**3
    return bent.masked_fill(logits == -torch.inf, -torch.inf)


def mirostat(logits: Tensor, context: Context, tau: float, eta: float) -> Tensor:
    """Remove tokens that are more surprising than mu bits, so that the mean surprise nears `tau`.

    Mirostat 2.0, Basu et al. 2021, arXiv:2007.14966: mu starts at 2 tau and falls by
    eta · (surprise - tau) with each token. Here mu is no memory but computed from the context:
    mu = 2 tau - eta · sum(S_i - tau), S_i = -log2 of the probability the i-th token was drawn
    with. A token that was forced although removed tells nothing of the model and does not count.
    """
    mu = torch.full((len(logits), 1), 2 * tau, dtype=torch.float64, device=logits.device)
    if context.logprobs is not None:
        surprise = -context.logprobs.to(mu) / math.log(2)
        errors = torch.where(surprise.isfinite(), surprise - tau, 0.0)
        mu = mu - eta * errors.sum(-1, keepdim=True)
    bits = -logits.log_softmax(-1, dtype=torch.float64) / math.log(2)
    removed = bits > mu.maximum(bits.amin(-1, keepdim=True))  # the likeliest stays
    return logits.masked_fill(removed, -torch.inf)


def _times(probs: Tensor, logprobs: Tensor) -> Tensor:
    """Return p · log p, 0 where p is 0."""
    return torch.where(probs > 0, probs * logprobs, 0.0)
