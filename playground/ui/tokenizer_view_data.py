"""What the tokenizer view shows of a text that was cut, as values: figures, a table, boxes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from playground.checkpoints import read_config, tokenizer_of
from playground.inspection.tokenization import Cut, CutPiece
from playground.registry import ModelCard
from playground.tokenizers.pretrained import MAX_VOCAB, PretrainedTokenizer

DRAWN = 1500  # boxes; more take a browser seconds, and the table has all of them
COLUMNS = ("number", "token", "piece", "characters from", "to", "bytes", "is")


def tokenizer_of_card(card: ModelCard) -> Any:
    """Return the tokenizer of a model without its weights.

    Raises:
        CheckpointError: it cannot be read.
    """
    if (card.folder / "tokenizer.json").is_file():
        return PretrainedTokenizer.from_folder(card.folder, MAX_VOCAB)
    return tokenizer_of(read_config(card.folder).get("tokenizer") or {"type": None})


def cut_tokens(tokenizer: Any, tokens: Sequence[int]) -> Cut:
    """Return tokens as pieces of the text that they spell; special ones stand for none of it."""
    spelled = [tokenizer.token_bytes(token) for token in tokens]
    text = b"".join(spelled).decode(errors="replace")
    ends = list(accumulate(len(character.encode()) for character in text))  # in bytes
    pieces, before = [], 0
    for token, data in zip(tokens, spelled, strict=True):
        after = before + len(data)
        start, end = bisect_right(ends, before), bisect_left(ends, after) + 1 if data else 0
        first = ends[start - 1] if start else 0
        is_part = bool(data) and (first != before or after not in ends[start:end])
        pieces.append(CutPiece(token, tokenizer.label(token), start, end if data else start,
                               len(data), is_part, tokenizer.is_special(token)))  # fmt: skip
        before = after
    return Cut(text, tuple(pieces))


def kind_of(piece: CutPiece) -> str:
    """Return what a piece is besides text, in words; empty if it is whole characters."""
    if piece.is_special:
        return "special"
    return "part of a character" if piece.is_part else ""


def table(cut: Cut) -> list[dict]:
    """Return one row a token."""
    return [
        dict(zip(COLUMNS, (number, p.token, p.label, p.start, p.end, p.num_bytes, kind_of(p)),
                 strict=True))
        for number, p in enumerate(cut.pieces, start=1)
    ]  # fmt: skip


def boxes(
    cut: Cut, title: str, *, bos: tuple[int, str] | None = None, other: Cut | None = None,
    ids: bool = True,
) -> dict:  # fmt: skip
    """Return what the component draws.

    Args:
        bos: the start token and its label, where it is drawn in front.
        other: the same text in other pieces; a border that it does not have is marked.
        ids: whether every box shows its token's number.
    """
    known = other.boundaries if other is not None else None
    texts, tokens, kinds, tips = [], [], [], []
    if bos is not None:
        texts.append(bos[1])
        tokens.append(bos[0])
        kinds.append("s")
        tips.append("what every sequence begins with; it stands for no text")
    before = 0
    for piece in cut.pieces[:DRAWN]:
        marks = "p" if piece.is_part and not piece.is_special else ""
        marks += "s" if piece.is_special else ""
        starts_anew = piece.start >= before  # the second byte of a character has no border here
        marks += "d" if known is not None and starts_anew and piece.start not in known else ""
        marks += "n" if cut.text[piece.start : piece.end].endswith("\n") else ""
        before = piece.end
        texts.append(piece.label)
        tokens.append(piece.token)
        kinds.append(marks)
        tips.append(_tip(cut, piece))
    left = len(cut.pieces) - DRAWN
    return {
        "title": title,
        "texts": texts, "tokens": tokens, "kinds": kinds, "tips": tips, "ids": ids,
        "more": f"and {left:,} more, which the table has" if left > 0 else "",
        "alt": f"{title}: {len(cut.pieces)} tokens. Arrow keys read them one by one.",
    }  # fmt: skip


def _tip(cut: Cut, piece: CutPiece) -> str:
    if piece.is_special:
        return "special: it stands for no text"
    size = f"{piece.num_bytes} byte{'s' if piece.num_bytes != 1 else ''}"
    if piece.is_part:
        whole = cut.text[piece.start : piece.end]
        return (
            f"{size} of “{whole[:8]}”, character {piece.start + 1}, which has no token of its own"
        )
    if piece.end - piece.start == 1:
        return f"{size}, character {piece.start + 1}"
    return f"{size}, characters {piece.start + 1} to {piece.end}"
