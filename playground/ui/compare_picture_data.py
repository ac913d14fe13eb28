"""Pictures that grow, as arrays: what is decided of them, and how surprising it was.

Nothing here knows of streamlit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from playground.evaluation.picture_figures import std_map, values_of
from playground.tokenizers.image import ImageTokenizer


def scale_of(tokenizer: ImageTokenizer, size: int) -> int:
    """Return how many screen pixels a pixel gets so that the picture is about `size` of them."""
    return max(1, round(size / max(tokenizer.height, tokenizer.width)))


def known_of(tokenizer: ImageTokenizer, made: int) -> np.ndarray:
    """Return which pixels (H, W) are known after the first `made` values: 1, or 2 for in part."""
    counts = _sums(tokenizer, 0, [1.0] * made)
    known = np.where(counts == tokenizer.channels, 1, np.where(counts > 0, 2, 0))
    return known.astype(np.uint8)


def kept_of(tokenizer: ImageTokenizer, given: int) -> np.ndarray | None:
    """Return which pixels (H, W) all pictures were given; None if none was."""
    return (known_of(tokenizer, given) == 1).astype(np.uint8) if given else None


def surprisal_map(tokenizer: ImageTokenizer, bits: Sequence[float], given: int) -> np.ndarray:
    """Return the bits (H, W) of each pixel, its colours together; NaN where none was decided.

    `bits` are those of the values behind the first `given`.
    """
    decided = _sums(tokenizer, given, [1.0] * len(bits)) > 0
    return np.where(decided, _sums(tokenizer, given, bits), np.nan)


def spread(
    tokenizer: ImageTokenizer, rows: Sequence[Sequence[int]], given: Sequence[int]
) -> np.ndarray:
    """Return a picture (H, W, channels) of how far several pictures are apart at each place.

    Black where they are the same, white for half black and half white. `rows` are their tokens
    behind the `given` ones that all begin with.
    """
    sequences = [(*given, *row) for row in rows]
    if tokenizer.channels != tokenizer.shape[2]:  # a token tells all three colours of a pixel
        shortest = min(map(len, sequences))
        pictures = [tokenizer.decode(tokens[:shortest]) for tokens in sequences]
        return np.round(2 * np.stack(pictures).astype(np.float64).std(axis=0)).astype(np.uint8)
    values = std_map(values_of(sequences, [0] * len(sequences), tokenizer))
    found = np.zeros(tokenizer.size, np.uint8)
    found[tokenizer.places[: len(values)]] = np.round(2 * values)
    return found.reshape(tokenizer.shape)


def _sums(tokenizer: ImageTokenizer, first: int, values: Sequence[float]) -> np.ndarray:
    """Return (H, W) the sums of the values that stand, from the `first` token on, in a pixel."""
    found = np.zeros(tokenizer.height * tokenizer.width)
    places = tokenizer.places[first : first + len(values)] // tokenizer.channels
    np.add.at(found, places, values)
    return found.reshape(tokenizer.height, tokenizer.width)
