"""What servers answer, in their several shapes, as lists of tokens with log p.

llama.cpp's own route tells ids, texts, bytes; the routes that follow OpenAI tell either
`logprobs.content` (a list a position) or the older `logprobs.top_logprobs` (a dictionary a
position, whose keys are texts, or "token_id:7" from vLLM). Everything is foreign: an answer that is
not of these shapes raises RemoteError, and no half of it is used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from playground.errors import RemoteError

ID = "token_id:"
MOST_ID = 2**24
SURPLUS = 1.01  # probabilities may add up to so much, by rounding


@dataclass(frozen=True)
class Entry:
    """One token that a server lists; what it does not tell is None."""

    token: int | None
    spelled: bytes | None
    logprob: float


@dataclass(frozen=True)
class Position:
    """What a server lists of one position, and which token stands there."""

    listed: tuple[Entry, ...]
    given: Entry | None = None  # of an echo; None at the first, of which nothing was expected


def next_tokens(answer: Any) -> Position:
    """Return what may follow, from the answer to a request for one token.

    Raises:
        RemoteError: the answer tells no such thing.
    """
    with _shape("the probabilities of the next token"):
        if answer.get("truncated") is True:
            raise RemoteError("The text is longer than the model server reads. Shorten it.")
        found = answer.get("completion_probabilities", answer.get("probs"))
        if found is None:
            logprobs = answer["choices"][0]["logprobs"]
            found = logprobs.get("content")
            if found is None:
                return Position(_of_mapping(logprobs["top_logprobs"][-1]))
        return Position(_of_list(found[-1]["top_logprobs"]))


def echoed(answer: Any) -> list[Position]:
    """Return every position of an echoed prompt, and last what follows it.

    Raises:
        RemoteError: the server has echoed nothing, or not its probabilities.
    """
    with _shape("the probabilities of an echoed prompt"):
        logprobs = answer["choices"][0]["logprobs"]
        rows = zip(
            logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True
        )
        found = []
        for name, logprob, listed in rows:
            known = listed is not None and logprob is not None
            entry = _entry(name, logprob if known else 0.0)
            found.append(Position(_of_mapping(listed) if known else (), entry))
        return found


def token_list(answer: Any) -> list[tuple[int, bytes | None]]:
    """Return ids, and bytes where they are told, from the answer of a tokenizer.

    Raises:
        RemoteError: it holds none.
    """
    with _shape("tokens"):
        return [_piece(entry) for entry in answer["tokens"]]


def detokenized(answer: Any) -> str:
    """Return the text that tokens spell.

    Raises:
        RemoteError: the answer holds none.
    """
    with _shape("a text"):
        text = answer.get("content", answer.get("prompt"))
        if not isinstance(text, str):
            raise TypeError("no text")
        return text


def models(answer: Any) -> list[dict]:
    """Return what a server says of its models, each with an id.

    Raises:
        RemoteError: it names none.
    """
    with _shape("the names of its models"):
        found = [entry for entry in answer["data"] if isinstance(entry["id"], str) and entry["id"]]
        if not found:
            raise ValueError("none")
        return found


def whole(value: Any, low: int, high: int) -> int | None:
    """Return `value` if it is a whole number in [low, high]."""
    return value if type(value) is int and low <= value <= high else None


class _shape:  # noqa: N801 - reads as a function
    """Turn whatever goes wrong in an answer of another shape into a RemoteError."""

    def __init__(self, what: str):
        self.what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind, error, _) -> None:
        foreign = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError)
        if isinstance(error, foreign):
            told = f"{kind.__name__}: {error}"[:120]
            raise RemoteError(
                f"The answer of the model server does not hold {self.what} ({told}). It must be an "
                "OpenAI-compatible completions server that tells log-probabilities."
            ) from error


def _of_list(entries: Sequence[dict]) -> tuple[Entry, ...]:
    found = [
        Entry(
            None if entry.get("id") is None else _id(entry["id"]),
            _bytes(entry),
            _logprob(entry["logprob"]),
        )
        for entry in entries
    ]
    return _checked(found)


def _of_mapping(entries: dict[str, float]) -> tuple[Entry, ...]:
    return _checked([_entry(name, logprob) for name, logprob in entries.items()])


def _entry(name: str, logprob: Any) -> Entry:
    if name.startswith(ID):
        return Entry(_id(int(name.removeprefix(ID)[:9])), None, _logprob(logprob))
    return Entry(None, name.encode("utf-8", "replace"), _logprob(logprob))


def _checked(entries: list[Entry]) -> tuple[Entry, ...]:
    """Return the entries, each token once, the likeliest first."""
    kept: dict[Any, Entry] = {}
    for entry in sorted(entries, key=lambda e: -e.logprob):  # stable: ties stay as they were told
        kept.setdefault(entry.token if entry.token is not None else entry.spelled, entry)
    if not kept:
        raise ValueError("an empty list")
    total = math.fsum(math.exp(entry.logprob) for entry in kept.values())
    if total > SURPLUS:
        raise ValueError(f"probabilities that add up to {total:.3f}")
    return tuple(kept.values())


def _logprob(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise TypeError(f"log p = {str(value)[:20]}")
    if value > math.log(SURPLUS):
        raise ValueError(f"log p = {value:g} above 0")
    return max(-1e4, min(0.0, float(value)))


def _id(value: Any) -> int:
    if whole(value, 0, MOST_ID) is None:
        raise ValueError(f"the token id {str(value)[:20]}")
    return value


def _bytes(entry: dict) -> bytes:
    told = entry.get("bytes")
    if told is not None:
        return bytes(told)
    return entry["token"].encode("utf-8", "replace")


def _piece(entry: Any) -> tuple[int, bytes | None]:
    """Return what llama.cpp tells with pieces ({"id", "piece": text or bytes}), or a bare id."""
    if not isinstance(entry, dict):
        return _id(entry), None
    piece = entry.get("piece")
    if isinstance(piece, str):
        return _id(entry["id"]), piece.encode("utf-8", "replace")
    return _id(entry["id"]), None if piece is None else bytes(piece)
