"""A picture as a file: PNG, and an animated GIF of how it was drawn."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from playground.tokenizers.image import ImageTokenizer
from playground.ui.picture_components import DECIDED
from playground.ui.picture_input import known_after

FRAMES = 64  # of a GIF: two a row of a picture of 32 rows
FRAME_MS, HOLD_MS = 80, 3000
HATCH = ((96, 100, 108), (124, 128, 136))  # what is not decided yet
COLORS = 256  # of a GIF


def png(pixels: np.ndarray, scale: int = 1) -> bytes:
    """Return a picture (H, W, 1 or 3) of bytes as PNG, each pixel a square of `scale` pixels."""
    large = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    out = io.BytesIO()
    Image.fromarray(large[:, :, 0] if large.shape[2] == 1 else large).save(out, "PNG")
    return out.getvalue()


def gif(tokenizer: ImageTokenizer, tokens: Sequence[int], scale: int = 8) -> bytes:
    """Return how `tokens`, BOS left out, were drawn; the last frame is held.

    A GIF has 256 colours: of a picture with more, each is shown by the nearest of 254.
    """
    picture = tokenizer.decode(tokens)
    colors, index = _palette(np.broadcast_to(picture, (*picture.shape[:2], 3)))
    grid = np.indices((tokenizer.height * scale, tokenizer.width * scale)).sum(0)
    hatch = np.where(grid // max(1, scale // 2) % 2, len(colors) - 1, len(colors) - 2)
    frames = []
    for count in _counts(tokenizer, len(tokens)):
        known = known_after(tokenizer, count) == DECIDED
        shown, drawn = (a.repeat(scale, 0).repeat(scale, 1) for a in (known, index))
        frames.append(Image.fromarray(np.where(shown, drawn, hatch).astype(np.uint8), "P"))
        frames[-1].putpalette(colors.astype(np.uint8).ravel().tolist())
    durations = [FRAME_MS] * (len(frames) - 1) + [HOLD_MS]
    out = io.BytesIO()
    frames[0].save(
        out, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0,
        optimize=False, disposal=1,
    )  # fmt: skip
    return out.getvalue()


def _counts(tokenizer: ImageTokenizer, made: int) -> list[int]:
    """Return how many tokens each frame shows: whole pixels, and all of them in the end."""
    pixels = made // tokenizer.channels
    each = max(1, -(-tokenizer.height * tokenizer.width // FRAMES))
    return [n * tokenizer.channels for n in (*range(0, pixels, each), pixels)]


def _palette(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return colours (N, 3), the last two the hatch, and the index (H, W) of each pixel's."""
    most = COLORS - len(HATCH)
    colors, index = np.unique(picture.reshape(-1, 3), axis=0, return_inverse=True)
    if len(colors) > most:
        few = Image.fromarray(picture).quantize(most, Image.Quantize.MEDIANCUT)
        chosen = np.array(few.getpalette()[: 3 * most]).reshape(-1, 3)
        apart = np.square(colors[:, None].astype(np.int64) - chosen[None]).sum(-1)
        colors, index = chosen, apart.argmin(1)[index.ravel()]
    return np.vstack([colors, HATCH]), index.reshape(picture.shape[:2])
