"""How far a tokenizer.json may blow up a text before it is cut: some lines there can fill a memory.

Forty steps that each write "aa" for "a" make a tera of one letter. So the steps are tried one after
the other on parts that are sure to fit, before the library runs all of them at once.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer as Backend

from playground.errors import CheckpointError, PromptError

MAX_GROWN = 2**23  # characters of a text on its way through the steps
LEAST_GROWN, MAX_TIMES = 2**16, 64  # short texts may grow to this and so many times their length
MAX_STEPS = 64  # of published tokenizers the longest known chain has about ten
MAX_FACTOR = 256  # by which cutting, or putting together, may lengthen a text
# Characters that one may become: Unicode's decompositions, bytes as letters, room around a sign.
LONGEST = {"NFC": 3, "NFD": 4, "Lowercase": 3, "ByteLevel": 4, "Strip": 1, "StripAccents": 1}
USUAL = 18
BACK = ("decoder", "ByteLevel")  # letters back to bytes: shorter


@dataclass(frozen=True)
class Growth:
    """The steps that change a text before it is cut, and by what each may lengthen it at most."""

    steps: tuple[tuple[Backend, int], ...]

    @property
    def most(self) -> int:
        """Return the factor of all steps, capped."""
        found = 1
        for _, factor in self.steps:
            found = min(MAX_GROWN, found * factor)
        return found

    def check(self, text: str) -> None:
        """Find out whether `text` stays within MAX_GROWN on its way, without ever going beyond.

        Raises:
            PromptError: it does not.
        """
        limit = min(MAX_GROWN, LEAST_GROWN + MAX_TIMES * len(text))
        if len(text) * self.most <= limit:
            return
        for step, factor in self.steps:
            size, parts, total = limit // factor, [], 0
            for at in range(0, len(text), max(1, size)):
                total = total if size else limit + 1
                if total <= limit:
                    parts.append(step.normalizer.normalize_str(text[at : at + size]))
                    total += len(parts[-1])
                if total > limit:
                    raise PromptError(
                        "This model's tokenizer makes the text longer than can be held: it grows "
                        f"beyond {limit:,} characters on its way. Write a shorter text, or "
                        "choose another model: this one's tokenizer.json may be meant to do harm."
                    )
            text = "".join(parts)


def growth_of(told: dict[str, Any]) -> Growth:
    """Return how a tokenizer.json lengthens texts, after a look at all that it does with them.

    Raises:
        CheckpointError: it has too many steps, some of them are damaged, or they lengthen too much.
    """
    steps = _flat(told.get("normalizer"), "normalizers")
    for part, key in (("pre_tokenizer", "pretokenizers"), ("decoder", "decoders")):
        factor = 1
        for step in _flat(told.get(part), key):
            grows = step.get("type") in ("Replace", "ByteLevel")
            factor *= _factor(step) if grows and (part, step["type"]) != BACK else 1
            if factor > MAX_FACTOR:
                raise CheckpointError(
                    f"The {part} in tokenizer.json can make a text more than {MAX_FACTOR} times as "
                    "long, which would fill the memory. Choose another model."
                )
    growth = Growth(tuple((_alone(step), _factor(step)) for step in steps))
    added = told.get("added_tokens")
    texts = [a.get("content") for a in added if isinstance(a, dict) and a.get("normalized")] if (
        isinstance(added, list)) else []  # fmt: skip
    try:
        growth.check("".join(t for t in texts if isinstance(t, str)))
    except PromptError as error:
        raise CheckpointError(
            f"The pieces that tokenizer.json adds become more than {MAX_TIMES} times as long by "
            "its own steps, which would fill the memory. Choose another model."
        ) from error
    return growth


def _flat(told: Any, key: str) -> list[dict[str, Any]]:
    """Return the steps of a part, those within sequences too."""
    found, left = [], [told]
    while left:
        step = left.pop()
        if isinstance(step, dict) and isinstance(step.get(key), list):
            left += reversed(step[key])
        elif isinstance(step, dict):
            found.append(step)
        if len(found) + len(left) > MAX_STEPS:
            raise CheckpointError(
                f"tokenizer.json has more than {MAX_STEPS} {key} one after another, which no "
                "published tokenizer needs. Choose another model."
            )
    return found


def _factor(step: dict[str, Any]) -> int:
    """Return how many characters one may become at most."""
    kind = step.get("type")
    if kind == "Replace":
        content, pattern = step.get("content"), step.get("pattern")
        written = len(content) if isinstance(content, str) else 0
        literal = pattern.get("String") if isinstance(pattern, dict) else None
        if isinstance(literal, str) and literal:
            return max(1, -(-written // len(literal)))
        return 1 + 2 * written  # a pattern may match before and behind every character
    if kind == "Prepend":
        told = step.get("prepend")
        return 1 + (len(told) if isinstance(told, str) else 0)
    if kind == "Precompiled":
        try:
            data = base64.b64decode(step.get("precompiled_charsmap") or "")
        except (binascii.Error, TypeError, ValueError):
            return USUAL  # the library will refuse it
        written = data[4 + int.from_bytes(data[:4], "little") :]  # behind the trie
        return max(1, *map(len, written.split(b"\0")))
    return LONGEST.get(kind, USUAL)


def _alone(step: dict[str, Any]) -> Backend:
    """Return a tokenizer that has one step."""
    form = {"version": "1.0", "added_tokens": [], "normalizer": step,
            "model": {"type": "WordLevel", "vocab": {}, "unk_token": ""}}  # fmt: skip
    return Backend.from_str(json.dumps(form))
