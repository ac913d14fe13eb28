"""Pictures in and out of a comparison: the part that all lanes keep, and contact sheets."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from playground.comparison.engine import LaneResult
from playground.data.images import contact_sheet
from playground.errors import check_whole
from playground.tokenizers.image import ImageTokenizer

EMPTY = 128  # grey of what is not decided, and of a place on a sheet without a picture
SCALES = (1, 32)


def kept_part(tokenizer: ImageTokenizer, picture: np.ndarray, rows: int | None) -> list[int]:
    """Return the tokens that are kept of a picture (H, W, channels): as many as `rows` have.

    They are the first in the order in which the model decides: the top rows of a raster. None
    keeps half.

    Raises:
        ConfigError: there are not so many rows, or nothing would be left to decide.
    """
    rows = tokenizer.height // 2 if rows is None else rows
    check_whole("the number of rows to keep", rows, 0, tokenizer.height - 1)
    return tokenizer.encode(picture)[: rows * tokenizer.width * tokenizer.channels]


def drawn(tokenizer: ImageTokenizer, results: Sequence[LaneResult]) -> list[list[np.ndarray]]:
    """Return the pictures (H, W, channels) of every lane, what is not decided in grey."""
    return [[tokenizer.decode(t.tokens, EMPTY) for t in result.traces] for result in results]


def sheet_png(pictures: Sequence[Sequence[np.ndarray]], scale: int = 4) -> bytes:
    """Return a contact sheet as PNG: one row for each list of pictures (H, W, channels).

    Raises:
        ConfigError: `scale`, the pixels of the file for each of a picture, is out of range.
    """
    check_whole("scale", scale, *SCALES)
    columns = max(map(len, pictures))
    places = np.full((len(pictures), columns, *pictures[0][0].shape), EMPTY, np.uint8)
    for row, found in enumerate(pictures):
        places[row, : len(found)] = found
    out = io.BytesIO()
    contact_sheet(places.reshape(-1, *places.shape[2:]), columns, scale).save(out, "PNG")
    return out.getvalue()
