"""The first tokens of something as a short text that a link can carry, and back."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from playground.errors import PromptError

MAX_CHARACTERS = 2100  # 3,072 values of 16 levels fit; browsers and mail programs cut longer links
_FORM = re.compile(r"([0-9a-f]{6})\.([0-9]{1,5})\.([A-Za-z0-9_-]*)")


def pack_tokens(tokens: Sequence[int], tokenizer: Any) -> str:
    """Return `tokens`, BOS left out, as text: of what kind, how many, and their bits.

    Empty if there are none.

    Raises:
        PromptError: the text would be too long for a link.
    """
    if not tokens:
        return ""
    values = np.array(tokens, np.uint8)
    bits = np.unpackbits(values[:, None], axis=1)[:, -_bits(tokenizer) :]
    data = base64.urlsafe_b64encode(np.packbits(bits).tobytes()).decode().rstrip("=")
    text = f"{kind_of(tokenizer)}.{len(tokens)}.{data}"
    if len(text) > MAX_CHARACTERS:
        raise PromptError(
            f"{len(tokens):,} values need {len(text):,} characters, and a link carries at most "
            f"{MAX_CHARACTERS:,}. Download the trace instead."
        )
    return text


def unpack_tokens(text: str, tokenizer: Any, most: int, what: str) -> tuple[int, ...]:
    """Return the tokens that `pack_tokens` wrote for such a tokenizer, `most` of them at most.

    `what` they are of, as messages call it: "picture", "sound".

    Raises:
        PromptError: the text is too long, damaged, or of another kind than the tokenizer's.
    """
    if not text:
        return ()
    found = _FORM.fullmatch(text) if len(text) <= MAX_CHARACTERS else None
    if found is None:
        raise PromptError(
            f"The link keeps the beginning of a {what} as “{text[:20]}…”, which cannot be read. "
            f"Copy the whole link; the {what} begins with nothing."
        )
    kind, count, data = found[1], int(found[2]), found[3]
    if kind != kind_of(tokenizer) or not 0 < count <= most:
        raise PromptError(
            f"The link keeps the beginning of another kind of {what} than this model makes. Choose "
            f"the model that it was made with; the {what} begins with nothing."
        )
    n_bits = count * _bits(tokenizer)
    raw = base64.urlsafe_b64decode(data + "=" * (-len(data) % 4)) if len(data) % 4 != 1 else b""
    if len(raw) != -(-n_bits // 8):
        raise PromptError(
            f"The link says that it keeps {count} values, and has {len(data)} characters for them. "
            f"Copy the whole link; the {what} begins with nothing."
        )
    bits = np.unpackbits(np.frombuffer(raw, np.uint8))[:n_bits].reshape(count, -1)
    values = bits @ (1 << np.arange(bits.shape[1])[::-1])
    if values.max() >= tokenizer.levels:
        raise PromptError(
            f"The link keeps a level {values.max()}; this model has 0 to {tokenizer.levels - 1}. "
            f"Copy the whole link; the {what} begins with nothing."
        )
    return tuple(values.tolist())


def kind_of(tokenizer: Any) -> str:
    """Return a mark of what tokens stand for: those of one kind mean nothing to another."""
    told = json.dumps(tokenizer.to_json(), sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:6]


def _bits(tokenizer: Any) -> int:
    return (tokenizer.levels - 1).bit_length()
