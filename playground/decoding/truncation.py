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


def epsilon_cutoff(logits: Tensor, context: Context, epsilon: float) -> Tensor:
    """Keep tokens of probability `epsilon` or more, and the likeliest.

    Hewitt et al. 2022, arXiv:2210.15191, section 4.1.
    """
    return _cut(logits, logits.softmax(-1) < epsilon)


def eta_cutoff(logits: Tensor, context: Context, epsilon: float) -> Tensor:
    """Keep tokens of probability min(epsilon, sqrt(epsilon) · e^-H) or more, and the likeliest.

    Hewitt et al. 2022, arXiv:2210.15191, section 4.2; H is the entropy in nats.
    """
    probs = logits.softmax(-1)
    floor = (math.sqrt(epsilon) * (-_entropy(probs)).exp()).clamp(max=epsilon)
    return _cut(logits, probs < floor)


def top_a(logits: Tensor, context: Context, share: float) -> Tensor:
    """Keep tokens of probability `share` · (max p)² or more (BlinkDL's RWKV, KoboldAI)."""
    probs = logits.softmax(-1)
    return _cut(logits, probs < share * probs.amax(-1, keepdim=True) ** 2)


def top_h(logits: Tensor, context: Context, share: float) -> Tensor:
    """Keep the likeliest tokens while their -p log p sums to `share` of the entropy or less.

    Potraghloo et al. 2025, arXiv:2509.02510, in the form of transformers 5.23: entropy and
    probabilities are those of the 100 likeliest tokens; all others are removed. The paper bounds
    the entropy of the kept tokens after renormalising them, which is not the same.
    """
    best, index = logits.topk(min(100, logits.shape[-1]), dim=-1)
    logprobs = best - best.logsumexp(-1, keepdim=True)
    probs = logprobs.softmax(-1)
    terms = torch.where(probs > 0, -probs * probs.log(), 0.0)
    # As in torch.distributions.Categorical, so that equality falls as it does there.
    limit = -(logprobs.clamp(min=torch.finfo(logits.dtype).min) * probs).sum(-1, keepdim=True)
    kept = (terms.cumsum(-1) <= limit * share) & (probs > 0)
    kept[..., 0] = True
    mask = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, index, kept)
    return logits.masked_fill(~mask, -torch.inf)


def top_n_sigma(logits: Tensor, context: Context, n: float) -> Tensor:
    """Keep tokens whose logit is at most n standard deviations below the best one.

    Tang et al. 2024, arXiv:2411.07641. The deviation is that of the tokens not removed, as in
    llama.cpp, so the kept set does not change with a temperature.
    """
    best = logits.amax(-1, keepdim=True)
    is_left = logits > -torch.inf
    count = is_left.sum(-1, keepdim=True)
    below = torch.where(is_left, logits - best, 0.0).double()
    mean = below.sum(-1, keepdim=True) / count
    variance = torch.where(is_left, (below - mean) ** 2, 0.0).sum(-1, keepdim=True) / count
    return logits.masked_fill((logits - best).double() < -n * variance.sqrt(), -torch.inf)


def tfs_z(logits: Tensor, context: Context, z: float) -> Tensor:
    """Remove the tail, where the sorted probabilities stop bending.

    Tail-free sampling (Bricken 2019), as in text-generation-webui: the second differences of the
    sorted probabilities, in absolute value and normalised, are summed from the top; the token
    behind the first sum above `z`, and all after it, are the tail. A straight line has none.
    """
    if logits.shape[-1] < 3:
        return logits
    ordered, index = logits.sort(dim=-1, descending=True, stable=True)
    bend = ordered.softmax(-1).diff(dim=-1).diff(dim=-1).abs()  # (B, V - 2)
    total = bend.sum(-1, keepdim=True)
    above = (bend / total).cumsum(-1) > z  # NaN, thus False, where nothing bends
    first = torch.zeros_like(above[..., :1])
    removed = torch.cat((first, above, total > 0), dim=-1)
    return torch.empty_like(logits).scatter(-1, index, ordered.masked_fill(removed, -torch.inf))


def xtc(logits: Tensor, context: Context, probability: float, threshold: float) -> Tensor:
    """Exclude top choices: now and then remove all likely tokens but the least likely of them.

    By p-e-w, as in llama.cpp. With `probability`, decided by `context.uniform("xtc")`, all tokens
    of `threshold` or more go, except the last of them; fewer than two are left alone.
    """
    assert context.uniform is not None, "xtc is random: give the context its uniform numbers"
    ordered, index = logits.sort(dim=-1, descending=True, stable=True)
    is_likely = (ordered.softmax(-1) >= threshold) & (ordered > -torch.inf)
    n_likely = is_likely.sum(-1, keepdim=True)
    rank = torch.arange(logits.shape[-1], device=logits.device)
    happens = context.uniform("xtc").to(logits.device) < probability  # (B, 1)
    removed = happens & (rank < n_likely - 1)
    return torch.empty_like(logits).scatter(-1, index, ordered.masked_fill(removed, -torch.inf))


def _cut(logits: Tensor, removed: Tensor) -> Tensor:
    """Remove what is marked, except the likeliest tokens."""
    removed = removed & (logits < logits.amax(-1, keepdim=True))
    return logits.masked_fill(removed, -torch.inf)


def _entropy(probs: Tensor) -> Tensor:
    """Return the entropy in nats (B, 1) of probabilities (B, V)."""
    return -torch.special.xlogy(probs, probs).sum(-1, keepdim=True)
