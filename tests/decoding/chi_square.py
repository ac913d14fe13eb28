"""Chi-square tests of draws against an exact distribution, at p = 0.001."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence

import torch


def critical_value(degrees: int) -> float:
    """Return what chi-square exceeds once in a thousand (Wilson & Hilferty 1931)."""
    spread = 2 / (9 * degrees)
    return degrees * (1 - spread + 3.0902 * math.sqrt(spread)) ** 3


def check_frequencies(counts: Counter, expected: dict, least: float = 5.0) -> None:
    """See that `counts` are draws with the probabilities `expected`; rare outcomes are pooled."""
    total = sum(counts.values())
    assert math.isclose(sum(expected.values()), 1, abs_tol=1e-6)
    assert not counts.keys() - {key for key, p in expected.items() if p > 0}
    common = {key for key, p in expected.items() if p * total >= least}
    pooled = total * sum(p for key, p in expected.items() if key not in common)
    chi_square = sum((counts[k] - expected[k] * total) ** 2 / (expected[k] * total) for k in common)
    degrees = len(common) - 1
    if pooled > least:
        seen = sum(n for key, n in counts.items() if key not in common)
        chi_square += (seen - pooled) ** 2 / pooled
        degrees += 1
    assert degrees >= 3
    assert chi_square < critical_value(degrees), (chi_square, degrees)


def sequence_probs(
    model,
    prompt: Sequence[int],
    length: int,
    *,
    eos: int | None = None,
    shape: Callable[[torch.Tensor], torch.Tensor] = lambda logits: logits,
) -> dict[tuple[int, ...], float]:
    """Return p of every continuation that ends with its first `eos` or has `length` tokens.

    `shape` maps logits (B, V) to logits, as processors do.
    """
    texts = list(itertools.product(range(model.vocab_size), repeat=length))
    rows = torch.tensor([[*prompt, *text] for text in texts])
    logits = model.forward(rows)[:, len(prompt) - 1 : -1]
    logprobs = shape(logits.flatten(0, 1)).double().log_softmax(-1).view(logits.shape)
    found: dict[tuple[int, ...], float] = {}
    for text, row in zip(texts, logprobs.tolist(), strict=True):
        end = text.index(eos) + 1 if eos in text else length
        found[text[:end]] = math.exp(sum(row[i][text[i]] for i in range(end)))
    return found
