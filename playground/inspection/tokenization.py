"""How a tokenizer cuts a text, and how two of them differ.

It shows what the model reads in place of letters. It does not show how the model was trained to
see them: a rare piece may have been met a few times only (Land & Bartolo 2024, arXiv:2405.05417).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from playground.errors import PromptError

MAX_TEXT = 200_000  # characters


@dataclass(frozen=True)
class CutPiece:
    """One token and the characters `start` .. `end` of the text that it makes up, or is part of.

    Pieces of a character (`is_part`) all name the whole of it.
    """

    token: int
    label: str  # visible name
    start: int
    end: int
    num_bytes: int  # that it adds to the text, in UTF-8
    is_part: bool  # bytes that are no whole characters on their own, as by byte fallback
    is_special: bool  # stands for no text: start, end, padding


@dataclass(frozen=True)
class Cut:
    """A text as a tokenizer cuts it, without BOS."""

    text: str
    pieces: tuple[CutPiece, ...]

    @property
    def num_bytes(self) -> int:
        return len(self.text.encode())

    @property
    def characters_per_token(self) -> float:
        """Characters a token stands for on average; 0 of an empty text."""
        return len(self.text) / max(1, len(self.pieces))

    @property
    def bytes_per_token(self) -> float:
        return self.num_bytes / max(1, len(self.pieces))

    @property
    def parts(self) -> int:
        """How many tokens are only part of a character."""
        return sum(piece.is_part for piece in self.pieces)

    @property
    def boundaries(self) -> frozenset[int]:
        """Positions between characters where a token ends, those of 0 and the end included."""
        ends = {piece.end for piece, after in pairwise(self.pieces) if after.start >= piece.end}
        return frozenset(ends | {0, len(self.text)})


@dataclass(frozen=True)
class Segment:
    """Characters `start` .. `end`, between two neighbouring boundaries that both cuts have."""

    start: int
    end: int
    a: tuple[CutPiece, ...]
    b: tuple[CutPiece, ...]

    @property
    def is_alike(self) -> bool:
        """Whether both see one piece here."""
        return len(self.a) == len(self.b) == 1


@dataclass(frozen=True)
class SideBySide:
    """A text cut by two tokenizers."""

    a: Cut
    b: Cut
    segments: tuple[Segment, ...]

    @property
    def agreement(self) -> float:
        """Common boundaries by all boundaries (Jaccard), those of the ends left out; 1 if none."""
        ends = {0, len(self.a.text)}
        union = (self.a.boundaries | self.b.boundaries) - ends
        return len((self.a.boundaries & self.b.boundaries) - ends) / len(union) if union else 1.0


def cut(tokenizer: Any, text: str) -> Cut:
    """Return `text` as `tokenizer` cuts it; any tokenizer of text.

    Raises:
        PromptError: the tokenizer cannot spell the text, or it is too long.
    """
    if len(text) > MAX_TEXT:
        raise PromptError(
            f"The text has {len(text):,} characters, and at most {MAX_TEXT:,} are cut. Shorten it."
        )
    if hasattr(tokenizer, "pieces"):
        return Cut(text, tuple(_told(tokenizer, piece) for piece in tokenizer.pieces(text)))
    return Cut(text, tuple(_by_bytes(tokenizer, text)))


def ends_of(tokenizer: Any, text: str) -> list[int]:
    """Return how many characters are read after BOS (0) and after each token of `text`."""
    ends = [0]
    for piece in cut(tokenizer, text).pieces:
        ends.append(max(ends[-1], piece.end))
    return ends


def side_by_side(a: Any, b: Any, text: str) -> SideBySide:
    """Return how two tokenizers cut `text`, aligned at the boundaries that they share.

    Raises:
        PromptError: one of them cannot spell the text, or it is too long.
    """
    cuts = cut(a, text), cut(b, text)
    common = sorted(cuts[0].boundaries & cuts[1].boundaries)
    spans = list(pairwise(common))
    of_a, of_b = (_within(found.pieces, spans) for found in cuts)
    segments = (
        Segment(start, end, x, y) for (start, end), x, y in zip(spans, of_a, of_b, strict=True)
    )
    return SideBySide(*cuts, tuple(segments))


def _within(
    pieces: Sequence[CutPiece], spans: Sequence[tuple[int, int]]
) -> list[tuple[CutPiece, ...]]:
    """Return the pieces of each span; both are in order, and no piece crosses a span's end."""
    found, at = [], 0
    for index, (_, end) in enumerate(spans):
        first = at
        while at < len(pieces) and (pieces[at].end <= end or index + 1 == len(spans)):
            at += 1
        found.append(tuple(pieces[first:at]))
    return found


def _by_bytes(tokenizer: Any, text: str) -> Iterator[CutPiece]:
    """Yield the pieces of a tokenizer that tells the bytes of a token, as ours do."""
    starts = {}  # byte where each character starts -> its number
    place = 0
    for number, character in enumerate(text):
        starts[place] = number
        place += len(character.encode())
    starts[place] = len(text)
    place = 0
    for token in tokenizer.encode(text):
        size = len(tokenizer.token_bytes(token))
        first, last = place, place + size
        is_part = first not in starts or last not in starts
        while first not in starts:
            first -= 1
        while last not in starts:
            last += 1
        yield CutPiece(
            token, tokenizer.label(token), starts[first], starts[last], size, is_part, size == 0
        )
        place += size


def _told(tokenizer: Any, piece: Any) -> CutPiece:
    """Return a piece of a tokenizer that tells where its tokens are."""
    size = len(tokenizer.token_bytes(piece.token))
    return CutPiece(
        piece.token,
        tokenizer.label(piece.token),
        piece.start,
        piece.end,
        size,
        piece.is_byte,
        tokenizer.is_special(piece.token),
    )
