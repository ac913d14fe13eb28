"""A sliding window over a text that is longer than the model's context."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile


def dropped_tokens(length: int, context_length: int | None) -> int:
    """Return how many tokens after BOS a sliding window has dropped from `length` tokens.

    A window that is full goes on from BOS and its newest half, so it slides once in half a
    context, not at every token: reading half a context again costs as much as making it.
    """
    if context_length is None or length <= context_length:
        return 0
    stride = context_length - max(1, context_length // 2) + 1
    return stride * (1 + (length - context_length - 1) // stride)


def slid_before(length: int, context_length: int | None) -> int:
    """Return how many tokens a sliding window drops on the way to `length` tokens."""
    return dropped_tokens(length, context_length) - dropped_tokens(length - 1, context_length)


def before_slide(length: int, count: int, context_length: int | None) -> int:
    """Return how many of `count` tokens after `length` are decided before the window slides."""
    if context_length is None:
        return count
    dropped = dropped_tokens(length, context_length)
    lengths = range(length, length + count)
    stay = takewhile(lambda n: dropped_tokens(n, context_length) == dropped, lengths)
    return sum(1 for _ in stay)


def visible_window(tokens: Sequence[int], context_length: int | None) -> tuple[int, ...]:
    """Return BOS and the tokens that a sliding window still shows the model."""
    return (tokens[0], *tokens[1 + dropped_tokens(len(tokens), context_length) :])
