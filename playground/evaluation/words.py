"""Text to units that metrics of texts count: words or characters, as numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence

COUNTED = ("words", "characters")


def cut(text: str, unit: str = "words") -> list[str]:
    """Return the words of a text (a sign that is no letter is one of its own), or its characters.

    `unit` is one of COUNTED.
    """
    return list(text) if unit == "characters" else re.findall(r"[\w'’]+|[^\w\s]", text)


def numbered(texts: Sequence[str], unit: str = "words") -> list[list[int]]:
    """Return the units of each text as numbers that are the same for the same unit."""
    known: dict[str, int] = {}
    return [[known.setdefault(one, len(known)) for one in cut(text, unit)] for text in texts]


def pieces(text: str, lengths: Sequence[int]) -> list[str]:
    """Return parts of `text` of so many characters each, spread evenly over it.

    They do not overlap; fewer than asked for where the text is too short, the longest asked for
    being the room that each is given.
    """
    longest = max(lengths, default=0)
    if longest == 0:
        return []
    count = min(len(lengths), len(text) // longest)
    room = len(text) // count if count else 0
    return [text[i * room : i * room + lengths[i]] for i in range(count)]
