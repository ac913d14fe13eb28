"""Samples that were chosen by hand as a short text that a link can carry, and back.

All others are drawn again by the same noise, so these few are all that a link must hold.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping

import numpy as np

from playground.errors import PromptError
from playground.tokenizers.audio import AudioTokenizer
from playground.ui.kept_link import MAX_CHARACTERS, kind_of

MAX_FORCED = 250
_FORM = re.compile(r"([0-9a-f]{6})\.([A-Za-z0-9_-]*)")


def pack_forced(forced: Mapping[int, int], tokenizer: AudioTokenizer) -> str:
    """Return position -> level as text; empty if there are none.

    Raises:
        PromptError: there are too many for a link.
    """
    if not forced:
        return ""
    if len(forced) > MAX_FORCED:
        raise PromptError(
            f"{len(forced)} samples were chosen by hand, and a link carries at most {MAX_FORCED}. "
            "Download the trace instead."
        )
    numbers = np.array([position << 8 | level for position, level in sorted(forced.items())], ">u4")
    data = base64.urlsafe_b64encode(numbers.tobytes()).decode().rstrip("=")
    return f"{kind_of(tokenizer)}.{data}"


def unpack_forced(text: str, tokenizer: AudioTokenizer, most: int) -> dict[int, int]:
    """Return what `pack_forced` wrote for such a tokenizer; positions are 1 to `most`.

    Raises:
        PromptError: the text is too long, damaged, or of other sounds than the tokenizer's.
    """
    if not text:
        return {}
    found = _FORM.fullmatch(text) if len(text) <= MAX_CHARACTERS else None
    data = found[2] if found else ""
    n_bytes = len(data) * 3 // 4
    if found is None or not n_bytes or n_bytes % 4 or len(data) % 4 == 1:
        raise PromptError(
            f"The link keeps the samples that were chosen by hand as “{text[:20]}…”, which cannot "
            "be read. Copy the whole link; they are left out."
        )
    raw = base64.urlsafe_b64decode(data + "=" * (-len(data) % 4))
    numbers = np.frombuffer(raw, ">u4").astype(np.int64)
    positions, levels = numbers >> 8, numbers & 255
    is_ours = found[1] == kind_of(tokenizer) and levels.max() < tokenizer.levels
    if not is_ours or positions[0] < 1 or positions[-1] > most or (np.diff(positions) < 1).any():
        raise PromptError(
            "The link keeps samples of another kind of sound, or beyond the longest that is set. "
            "Choose the model and the duration that it was made with; they are left out."
        )
    return dict(zip(positions.tolist(), levels.tolist(), strict=True))
