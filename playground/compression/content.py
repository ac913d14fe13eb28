"""What is packed: a text, a picture or a sound, as tokens and what tokens cannot tell.

A text comes back byte for byte, whatever it holds: characters that the tokenizer does not know,
and bytes that are no UTF-8, are taken out, kept beside with their places, and put back. A picture
or a sound is packed as the model sees it, reduced to its levels; from there on nothing is lost. A
grey picture of bytes is exactly what a model of 256 levels sees.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from playground.compression.container import inflate
from playground.errors import CompressionError, PromptError
from playground.tokenizers.pretrained import PretrainedTokenizer
from playground.tokenizers.text import CharTokenizer

KINDS = {
    "characters": "text", "byte-pair": "text", "pretrained": "text", "image": "image",
    "audio": "audio",
}  # fmt: skip
LARGEST_TEXT = 2**22  # bytes
MAX_EXCEPTION_BYTES = 2**26  # inflated; a byte that is kept beside takes up to 16


@dataclass(frozen=True)
class Content:
    """Something taken apart: its tokens, BOS left out, and the deflated rest."""

    modality: str
    tokens: tuple[int, ...]
    raw: bytes  # what is to come back: a text's bytes, or a byte for every level
    exceptions: bytes = b""
    count_exceptions: int = 0


def modality_of(tokenizer: Any) -> str:
    """Return text, image or audio.

    Raises:
        CompressionError: the tokens are those of a model on a server.
    """
    kind = tokenizer.to_json()["type"]
    if kind not in KINDS:
        raise CompressionError(
            "A model on a server cannot pack: whoever unpacks must compute the same numbers to the "
            "last bit. Use a model that computes here."
        )
    return KINDS[kind]


def alphabet_of(tokenizer: Any) -> int:
    """Return n where the tokens 0 to n - 1 can be packed: those before BOS, in our own."""
    return getattr(tokenizer, "alphabet", tokenizer.bos_token)


def take_apart(tokenizer: Any, thing: Any) -> Content:
    """Return the content of a text (str or bytes), of a picture, or of samples (T,) in [-1, 1].

    Raises:
        CompressionError: the text is too long, or the tokenizer does not give it back.
        PromptError: the tokenizer cannot read it.
    """
    modality = modality_of(tokenizer)
    if modality != "text":
        return of_tokens(tokenizer, tokenizer.encode(thing))
    try:
        raw = thing.encode() if isinstance(thing, str) else bytes(thing)
    except UnicodeEncodeError as error:
        raise PromptError(
            f"Character {error.start + 1} of the text is half of a surrogate pair, which is no "
            "character. Delete it."
        ) from None
    if len(raw) > LARGEST_TEXT:
        raise CompressionError(
            f"The text has {len(raw):,} bytes; at most {LARGEST_TEXT:,} are packed. Split it."
        )
    text = raw.decode("utf-8", "surrogateescape")
    is_known = _knows(tokenizer)
    known, places, taken = [], [], []
    for place, character in enumerate(text):
        if is_known(character):
            known.append(character)
        else:
            places.append(place)
            taken.append(character)
    tokens = tuple(tokenizer.encode("".join(known)))
    if isinstance(tokenizer, PretrainedTokenizer):
        _check_exact(tokenizer, "".join(known), tokens)
    exceptions = _deflated(places, "".join(taken)) if places else b""
    return Content(modality, tokens, raw, exceptions, len(places))


def of_tokens(tokenizer: Any, tokens) -> Content:
    """Return the content whose tokens are given.

    Raises:
        CompressionError: one of them is no token of an object: a start or end token, or none.
    """
    tokens = tuple(map(int, tokens))
    if any(not 0 <= token < alphabet_of(tokenizer) for token in tokens):
        raise CompressionError(
            f"Only the tokens 0 to {alphabet_of(tokenizer) - 1} can be packed: start and end are "
            "told by the file itself. Leave the others out."
        )
    modality = modality_of(tokenizer)
    return Content(modality, tokens, _raw(tokenizer, modality, tokens))


def put_together(tokenizer: Any, tokens: list[int], exceptions: bytes = b"") -> bytes:
    """Return `raw` of the content that was taken apart to this.

    Raises:
        CompressionError: the exceptions are damaged.
    """
    modality = modality_of(tokenizer)
    raw = _raw(tokenizer, modality, tokens)
    if not exceptions:
        return raw
    places, taken = _inflated(exceptions)
    text = raw.decode("utf-8", "surrogateescape")
    length = len(text) + len(places)
    if places[-1] >= length:
        raise CompressionError(
            f"The packed file is damaged: it keeps a character for place {places[-1]:,} of a text "
            f"of {length:,}. Use the file as `compress` wrote it."
        )
    parts, used, before = [], 0, 0
    for place, character in zip(places, taken, strict=True):
        upto = used + place - before
        parts += [text[used:upto], character]
        used, before = upto, place + 1
    try:
        return "".join([*parts, text[used:]]).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise CompressionError(
            f"The packed file is damaged: place {error.start:,} of its text holds half of a "
            "surrogate pair. Use the file as `compress` wrote it."
        ) from None


def _knows(tokenizer: Any) -> Callable[[str], bool]:
    if isinstance(tokenizer, CharTokenizer):
        return frozenset(tokenizer.symbols).__contains__
    if isinstance(tokenizer, PretrainedTokenizer):
        _check_exact(tokenizer, "a", tuple(tokenizer.encode("a")))
        return cache(lambda character: _spells(tokenizer, character))
    return lambda character: not "\ud800" <= character <= "\udfff"  # bytes spell any other


def _spells(tokenizer: PretrainedTokenizer, character: str) -> bool:
    """True if the pieces of `character` give it back; vocabularies may lack some bytes."""
    if "\ud800" <= character <= "\udfff":
        return False
    return _raw(tokenizer, "text", tokenizer.encode(character)) == character.encode()


def _check_exact(tokenizer: PretrainedTokenizer, text: str, tokens: tuple[int, ...]) -> None:
    if _raw(tokenizer, "text", tokens) != text.encode():
        raise CompressionError(
            "This model's tokenizer changes texts (it normalises them, or begins them with a "
            "blank), so they would not come back as they were. Choose a model with byte-level "
            "pieces, such as GPT-2's or SmolLM's."
        )


def _raw(tokenizer: Any, modality: str, tokens) -> bytes:
    if modality == "text":
        return b"".join(map(tokenizer.token_bytes, tokens))
    return np.array(tokens, np.uint8).tobytes()  # levels are 256 at most


def _deflated(places: list[int], taken: str) -> bytes:
    gaps = np.diff(places, prepend=-1) - 1
    return zlib.compress(json.dumps([gaps.tolist(), taken], separators=(",", ":")).encode(), 9)


def _inflated(exceptions: bytes) -> tuple[list[int], str]:
    """Return ascending places and the character of each.

    Raises:
        CompressionError: it is not what `_deflated` wrote.
    """
    try:
        gaps, taken = json.loads(inflate(exceptions, MAX_EXCEPTION_BYTES))
        is_right = all(type(gap) is int and 0 <= gap <= LARGEST_TEXT for gap in gaps)
        is_right = is_right and isinstance(taken, str) and len(taken) == len(gaps) > 0
    except (ValueError, TypeError, RecursionError):
        is_right = False
    if not is_right:
        raise CompressionError(
            "The packed file is damaged: the characters that it keeps beside cannot be read. Use "
            "the file as `compress` wrote it."
        )
    return (np.cumsum(np.array(gaps, np.int64) + 1) - 1).tolist(), taken
