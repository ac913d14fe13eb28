"""The first tokens of a picture as a short text that a link can carry, and back."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence

import numpy as np

from playground.errors import PromptError
from playground.tokenizers.image import ImageTokenizer

MAX_CHARACTERS = 2100  # 3,072 values of 16 levels fit; browsers and mail programs cut longer links
_FORM = re.compile(r"([0-9a-f]{6})\.([0-9]{1,5})\.([A-Za-z0-9_-]*)")


def pack_tokens(tokens: Sequence[int], tokenizer: ImageTokenizer) -> str:
    """Return `tokens`, BOS left out, as text: of what pictures, how many, and their bits.

    Empty if there are none.

    Raises:
        PromptError: the text would be too long for a link.
    """
    if not tokens:
        return ""
    values = np.array(tokens, np.uint8)
    bits = np.unpackbits(values[:, None], axis=1)[:, -_bits(tokenizer) :]
    data = base64.urlsafe_b64encode(np.packbits(bits).tobytes()).decode().rstrip("=")
    text = f"{_kind(tokenizer)}.{len(tokens)}.{data}"
    if len(text) > MAX_CHARACTERS:
        raise PromptError(
            f"{len(tokens):,} values need {len(text):,} characters, and a link carries at most "
            f"{MAX_CHARACTERS:,}. Download the trace instead."
        )
    return text


def unpack_tokens(text: str, tokenizer: ImageTokenizer) -> tuple[int, ...]:
    """Return the tokens that `pack_tokens` wrote for such pictures.

    Raises:
        PromptError: the text is too long, damaged, or of other pictures than the tokenizer's.
    """
    if not text:
        return ()
    found = _FORM.fullmatch(text) if len(text) <= MAX_CHARACTERS else None
    if found is None:
        raise PromptError(
            f"The link keeps the beginning of a picture as “{text[:20]}…”, which cannot be read. "
            "Copy the whole link; the picture begins with nothing."
        )
    kind, count, data = found[1], int(found[2]), found[3]
    if kind != _kind(tokenizer) or not 0 < count <= tokenizer.size:
        raise PromptError(
            "The link keeps the beginning of another kind of picture than this model draws. "
            "Choose the model that it was made with; the picture begins with nothing."
        )
    n_bits = count * _bits(tokenizer)
    raw = base64.urlsafe_b64decode(data + "=" * (-len(data) % 4)) if len(data) % 4 != 1 else b""
    if len(raw) != -(-n_bits // 8):
        raise PromptError(
            f"The link says that it keeps {count} values, and has {len(data)} characters for them. "
            "Copy the whole link; the picture begins with nothing."
        )
    bits = np.unpackbits(np.frombuffer(raw, np.uint8))[:n_bits].reshape(count, -1)
    values = bits @ (1 << np.arange(bits.shape[1])[::-1])
    if values.max() >= tokenizer.levels:
        raise PromptError(
            f"The link keeps a level {values.max()}; this model has 0 to {tokenizer.levels - 1}. "
            "Copy the whole link; the picture begins with nothing."
        )
    return tuple(values.tolist())


def _bits(tokenizer: ImageTokenizer) -> int:
    return (tokenizer.levels - 1).bit_length()


def _kind(tokenizer: ImageTokenizer) -> str:
    """Return a mark of size, levels and order: tokens of one kind mean nothing to another."""
    told = json.dumps(tokenizer.to_json(), sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:6]
