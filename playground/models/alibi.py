"""Attention with linear biases: no positions at all, but every head prefers what is near.

A score loses `slope` for each token between query and key, so a text may be longer than any that
was trained on. Press, Smith & Lewis 2022, arXiv:2108.12409; slopes as in their section 3.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache
def slopes_of(n_head: int) -> tuple[float, ...]:
    """Return what each head's score loses a token: 2^(-8/n), 2^(-16/n), ... for n heads.

    n is rounded down to a power of two; further heads take every other slope of twice as many.
    """
    whole = 1 << (n_head.bit_length() - 1)
    slopes = [2.0 ** (-8 * (i + 1) / whole) for i in range(whole)]
    between = [2.0 ** (-4 * (i + 1) / whole) for i in range(0, 2 * whole, 2)]
    return tuple((slopes + between)[:n_head])


def biases(n_head: int, start: int, end: int, like: Tensor) -> Tensor:
    """Return what is added to the scores (n_head, end - start, end) of queries `start` .. `end`.

    The keys are 0 .. `end`; those behind a query get a positive number, which a mask takes away.
    """
    slopes = torch.tensor(slopes_of(n_head), device=like.device)
    queries = torch.arange(start, end, device=like.device)
    distances = torch.arange(end, device=like.device) - queries[:, None]
    return (slopes[:, None, None] * distances).to(like.dtype)
