"""Processors that favour or forbid tokens by name or by place: lists, lengths, endings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from playground.decoding import pieces
from playground.decoding.context import Context
from playground.errors import ConfigError

Sequence = tuple[int, ...]
MAX_FACTOR = 1e9  # beyond it a factor that grows with the length makes no difference


def remove(logits: Tensor, removed: Tensor) -> Tensor:
    """Remove the tokens marked in `removed` (B, V), except from rows that would lose the last."""
    left = logits.masked_fill(removed, -torch.inf)
    is_empty = (left == -torch.inf).all(-1, keepdim=True)
    return torch.where(is_empty, logits, left)


def logit_bias(logits: Tensor, context: Context, text: str) -> Tensor:
    """Add its bias to every token named; of a sequence, to its last token behind the others.

    `logit_bias` of the OpenAI API for one token, `sequence_bias` of transformers for several.
    """
    known = dict(pieces.biases(text, context.tokenizer))
    total = torch.zeros_like(logits)
    for ends, group, matches in _completions(known, context.tokens, logits.shape[-1]):
        values = torch.tensor([known[s] for s in group], dtype=logits.dtype, device=logits.device)
        total.index_add_(1, ends, matches * values)
    return logits + total


read_biases, read_words = pieces.read_biases, pieces.read_pieces


def check_bias(tokenizer: Any, text: str) -> None:
    pieces.biases(text, tokenizer)


def bad_words(logits: Tensor, context: Context, text: str) -> Tensor:
    """Remove the token that would complete one of the sequences, as `bad_words_ids` does.

    It forbids sequences of tokens: other pieces may spell the same text. The end token alone is
    no word and stays, as in transformers.
    """
    words = pieces.sequences("bad_words", text, context.tokenizer)
    words = tuple(w for w in words if w != (context.eos_token,))
    removed = torch.zeros_like(logits, dtype=torch.bool)
    for ends, _, matches in _completions(words, context.tokens, logits.shape[-1]):
        removed |= torch.zeros_like(logits).index_add(1, ends, matches.to(logits.dtype)) > 0
    return remove(logits, removed)


def check_bad_words(tokenizer: Any, text: str) -> None:
    pieces.sequences("bad_words", text, tokenizer)


def suppress_tokens(logits: Tensor, context: Context, text: str) -> Tensor:
    """Remove single tokens everywhere."""
    known = pieces.sequences("suppress_tokens", text, context.tokenizer)
    tokens = [s[0] for s in known if s[0] < logits.shape[-1]]
    removed = torch.zeros(logits.shape[-1], dtype=torch.bool, device=logits.device)
    removed[tokens] = True
    return remove(logits, removed.expand_as(logits))


def check_suppressed(tokenizer: Any, text: str) -> None:
    for piece in pieces.read_pieces(text):
        spelled = pieces.spell("suppress_tokens", piece, tokenizer)
        if len(spelled) != 1:
            raise ConfigError(
                f"suppress_tokens must name one token a line; {str(piece)[:60]!r} is "
                f"{len(spelled)} tokens. Use bad_words for sequences."
            )


def min_length(logits: Tensor, context: Context, length: int) -> Tensor:
    """Forbid the end token while prompt and continuation are shorter than `length` tokens."""
    return _no_end(logits, context) if context.tokens.shape[1] < length else logits


def min_new_tokens(logits: Tensor, context: Context, length: int) -> Tensor:
    """Forbid the end token until `length` tokens were made."""
    return _no_end(logits, context) if context.made.shape[1] < length else logits


def exponential_decay(logits: Tensor, context: Context, factor: float, start: int) -> Tensor:
    """Raise the end token by |z| (factor^n - 1), n the number of tokens made beyond `start`.

    As `exponential_decay_length_penalty` in transformers, there (start_index, decay_factor).
    """
    beyond = context.made.shape[1] - start
    if context.eos_token is None or beyond <= 0:
        return logits
    try:
        growth = min(factor**beyond, MAX_FACTOR) - 1
    except OverflowError:
        growth = MAX_FACTOR
    end = logits[:, context.eos_token]
    raised = torch.where(end == -torch.inf, end, end + end.abs() * growth)
    index = torch.tensor([context.eos_token], device=logits.device)
    return logits.index_copy(1, index, raised[:, None])


def _no_end(logits: Tensor, context: Context) -> Tensor:
    if context.eos_token is None:
        return logits
    tokens = torch.arange(logits.shape[-1], device=logits.device)
    return remove(logits, (tokens == context.eos_token).expand_as(logits))


def _completions(
    known: Iterable[Sequence], tokens: Tensor, vocab_size: int
) -> Iterator[tuple[Tensor, list[Sequence], Tensor]]:
    """Yield, for each length of sequence, last tokens (S,), sequences, and matches (B, S).

    A row matches where `tokens` (B, T) ends with all of a sequence but its last token.
    """
    by_length: dict[int, list[Sequence]] = defaultdict(list)
    for sequence in known:
        if sequence[-1] < vocab_size:
            by_length[len(sequence) - 1].append(sequence)
    for n, group in by_length.items():
        if n > tokens.shape[1]:
            continue
        wanted = torch.tensor([s[:n] for s in group], dtype=tokens.dtype, device=tokens.device)
        tail = tokens[:, tokens.shape[1] - n :]
        matches = (tail[:, None] == wanted[None]).all(-1)  # (B, S)
        yield torch.tensor([s[-1] for s in group], device=tokens.device), group, matches
