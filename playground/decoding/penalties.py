"""Processors that look back: they make rarer (or likelier) what came before."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from playground.decoding.bias import remove
from playground.decoding.context import Context
from playground.decoding.pieces import read_pieces

MAX_PENALTY = 1e9  # of one token; beyond it nothing is left of a probability


def repetition_penalty(logits: Tensor, context: Context, penalty: float, last_n: int) -> Tensor:
    """Make every token of the prefix less likely (Keskar et al. 2019, arXiv:1909.05858, eq. 2).

    Positive logits are divided by `penalty`, negative ones multiplied; the prompt counts. Only
    the last `last_n` tokens are looked at, all of them with -1.
    """
    tokens = _last(context.tokens, last_n)
    seen = logits.gather(-1, tokens)
    return logits.scatter(-1, tokens, torch.where(seen > 0, seen / penalty, seen * penalty))


def presence_penalty(logits: Tensor, context: Context, penalty: float) -> Tensor:
    """Subtract `penalty` from every token that was made since the prompt (OpenAI, vLLM)."""
    return logits - penalty * (_counts(logits, context) > 0)


def frequency_penalty(logits: Tensor, context: Context, penalty: float) -> Tensor:
    """Subtract `penalty` for every time a token was made since the prompt (OpenAI, vLLM)."""
    return logits - penalty * _counts(logits, context)


def no_repeat_ngram_size(logits: Tensor, context: Context, n: int) -> Tensor:
    """Remove every token that would complete n tokens in a row which the prefix holds already.

    Paulus et al. 2017, arXiv:1705.04304, section 2.5.
    """
    length = context.tokens.shape[1]
    if length < n:
        return logits
    suffix = context.tokens[:, length - n + 1 :]  # (B, n - 1)
    windows = context.tokens.unfold(1, n, 1)  # (B, T - n + 1, n)
    matches = (windows[..., :-1] == suffix[:, None]).all(-1)
    removed = torch.zeros_like(logits).scatter_add(1, windows[..., -1], matches.to(logits.dtype))
    return remove(logits, removed > 0)


def dry(
    logits: Tensor,
    context: Context,
    multiplier: float,
    base: float,
    allowed_length: int,
    last_n: int,
    breakers: str,
) -> Tensor:
    """Subtract multiplier · base^(n - allowed_length) from what would go on repeating n tokens.

    "Don't repeat yourself" by p-e-w, as in llama.cpp: n is the longest run of tokens, ending
    here, that the last `last_n` tokens hold before and which the token followed there. A run does
    not reach back over a breaker, such as a line's end; n below `allowed_length` is free.
    """
    tokens = _last(context.tokens, last_n).tolist()
    penalties = torch.zeros(logits.shape, dtype=logits.dtype)
    for row, sequence in enumerate(tokens):
        limit = _since_breaker(sequence, breakers, context.tokenizer)
        for token, n in _continuations(sequence, limit).items():
            if n >= allowed_length and token < logits.shape[-1]:
                penalties[row, token] = _power(multiplier, base, n - allowed_length)
    return logits - penalties.to(logits.device)


def _power(multiplier: float, base: float, exponent: int) -> float:
    try:
        return min(multiplier * base**exponent, MAX_PENALTY)
    except OverflowError:
        return MAX_PENALTY


def _continuations(tokens: list[int], limit: int) -> dict[int, int]:
    """Return, for each token, the longest end of `tokens` (at most `limit`) it followed before.

    The Z algorithm on the reversed sequence: linear in its length.
    """
    reverse = tokens[::-1]
    n = len(reverse)
    common = [0] * n  # of reverse[i:] and reverse
    left = right = 0
    longest: dict[int, int] = {}
    for i in range(1, n):
        length = min(right - i, common[i - left]) if i < right else 0
        while i + length < n and reverse[length] == reverse[i + length]:
            length += 1
        common[i] = length
        if i + length > right:
            left, right = i, i + length
        follower = reverse[i - 1]
        longest[follower] = max(longest.get(follower, 0), min(length, limit))
    return longest


def _since_breaker(tokens: list[int], breakers: str, tokenizer: Any) -> int:
    """Return how many tokens began behind the end of the last breaker, all if there is none."""
    if tokenizer is None or not hasattr(tokenizer, "token_bytes"):
        return len(tokens)  # pictures and sounds have no text to break
    spelled = [tokenizer.token_bytes(token) for token in tokens]
    text = b"".join(spelled)
    end = 0
    for piece in read_pieces(breakers):
        if isinstance(piece, str) and (found := text.rfind(piece.encode())) >= 0:
            end = max(end, found + len(piece.encode()))
    starts = accumulate((len(s) for s in spelled[:-1]), initial=0)
    return sum(start >= end for start in starts) if end else len(tokens)


def _last(tokens: Tensor, last_n: int) -> Tensor:
    return tokens if last_n < 0 else tokens[:, max(0, tokens.shape[1] - last_n) :]


def _counts(logits: Tensor, context: Context) -> Tensor:
    """Return how often each token was made since the prompt (B, V)."""
    ones = torch.ones_like(context.made, dtype=logits.dtype)
    return torch.zeros_like(logits).scatter_add(1, context.made, ones)
