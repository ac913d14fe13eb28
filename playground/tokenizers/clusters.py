"""Pictures of one token a pixel: the nearest of a few hundred colours.

ImageGPT (Chen et al. 2020, "Generative Pretraining from Pixels", section 3.2) looks a pixel's
colour up among 512, the centres of k-means clusters over the colours of ImageNet, so that a
picture of 32x32 pixels is 1,024 tokens and not three times as many.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from playground.errors import CheckpointError, PlaygroundError
from playground.tokenizers.image import MAX_DIMENSIONS, MAX_SIDE, ImageTokenizer

MAX_CLUSTERS = 4096
MAX_BYTES = 2 * 2**20  # of preprocessor_config.json
AT_ONCE = 4096  # pixels that are compared with all colours in one go
LUMA = np.array([0.299, 0.587, 0.114])  # how bright red, green and blue are to the eye (BT.601)


class ClusterTokenizer(ImageTokenizer):
    """One token a colour of `clusters` (K, 3), then BOS; row by row.

    It is an ImageTokenizer of one value a pixel (`channels` is 1), whose pictures have three
    colours all the same: `shape` says so.

    Args:
        clusters: red, green and blue from -1 to 1, as ImageGPT's processor has them.

    Raises:
        CheckpointError: they are not.
    """

    def __init__(self, clusters: Any, height: int, width: int):
        clusters = _clusters(clusters)
        super().__init__(height, width)
        self.clusters, self.levels = clusters, len(clusters)
        self.bos_token, self.vocab_size = self.levels, self.levels + 1
        self.colors = np.rint(127.5 * (clusters + 1.0)).astype(np.uint8)  # (K, 3)
        self._values = np.rint(self.colors @ LUMA).astype(np.uint8)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and colours of a picture as an array."""
        return (self.height, self.width, 3)

    def quantise(self, pixels: np.ndarray) -> np.ndarray:
        """Return the numbers (...) of the colours that are nearest to bytes (..., 3)."""
        flat = pixels.reshape(-1, 3) / 127.5 - 1.0
        own = np.square(self.clusters).sum(1)
        parts = [flat[i : i + AT_ONCE] for i in range(0, len(flat), AT_ONCE)]
        found = [(own - 2.0 * (part @ self.clusters.T)).argmin(1) for part in parts]
        return np.concatenate([np.empty(0, np.int64), *found]).reshape(pixels.shape[:-1])

    def decode(self, tokens: Sequence[int], unknown: int = 0) -> np.ndarray:
        """Return the picture (H, W, 3) of `tokens`, BOS left out; `unknown` grey behind them."""
        known = [token for token in tokens if 0 <= token < self.levels][: self.size]
        pixels = np.full((self.size, 3), unknown, np.uint8)
        pixels[self.places[: len(known)]] = self.colors[np.array(known, np.int64)]
        return pixels.reshape(self.shape)

    def label(self, token: int) -> str:
        """Return a short name of one token: its colour as a web page writes it."""
        if token == self.bos_token:
            return "⟨start⟩"
        return "#" + "".join(f"{value:02x}" for value in self.colors[token])

    def to_json(self) -> dict:
        """Return what tells one tokenizer from another; the colours as a digest."""
        digest = hashlib.sha256(self.colors.tobytes()).hexdigest()[:16]
        return {"type": "clusters", "height": self.height, "width": self.width, "colors": digest}

    @classmethod
    def from_preprocessor(cls, data: dict) -> ClusterTokenizer:
        """Return the tokenizer that a `preprocessor_config.json` describes.

        Raises:
            CheckpointError: it has no clusters, or another size than pictures have.
        """
        size = data.get("size", 32)
        if isinstance(size, dict):
            size = (size.get("height"), size.get("width"))
        sides = tuple(size) if isinstance(size, tuple | list) else (size, size)
        if len(sides) != 2 or not all(
            isinstance(n, int) and not isinstance(n, bool) and 0 < n <= MAX_SIDE for n in sides
        ):
            raise CheckpointError(
                f"preprocessor_config.json says the size {str(size)[:60]!r}, which must be one or "
                f"two numbers from 1 to {MAX_SIDE}. Use another model."
            )
        try:
            return cls(data.get("clusters"), *sides)
        except CheckpointError:
            raise
        except PlaygroundError as error:
            raise CheckpointError(f"The image tokenizer is damaged: {error}") from error


def read_clusters(folder: Path, n_positions: int, vocab_size: int) -> ClusterTokenizer:
    """Return the tokenizer of a snapshot of ImageGPT.

    Args:
        n_positions: how many pixels the model knows places for.
        vocab_size: of the model, its start token counted.

    Raises:
        CheckpointError: `preprocessor_config.json` is missing, damaged, or not the model's.
    """
    path = folder / "preprocessor_config.json"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CheckpointError(
                f"preprocessor_config.json is larger than {MAX_BYTES >> 20} MB. Use another model."
            )
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(
            f"preprocessor_config.json cannot be read ({error.strerror}); it has the colours that "
            "the model's tokens stand for. Use another model."
        ) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"preprocessor_config.json is not JSON ({error}). Use another model."
        ) from error
    if not isinstance(data, dict):
        raise CheckpointError("preprocessor_config.json is no dictionary. Use another model.")
    if "size" not in data and math.isqrt(n_positions) ** 2 == n_positions:
        data = data | {"size": math.isqrt(n_positions)}
    tokenizer = ClusterTokenizer.from_preprocessor(data)
    if tokenizer.vocab_size != vocab_size or tokenizer.size != n_positions:
        raise CheckpointError(
            f"preprocessor_config.json has {tokenizer.levels} colours and pictures of "
            f"{tokenizer.width}x{tokenizer.height} pixels; the model knows {vocab_size - 1} "
            f"colours and {n_positions} pixels. Use another model."
        )
    return tokenizer


def _clusters(clusters: Any) -> np.ndarray:
    """Return clusters as an array (K, 3); they come from outside."""
    is_list = isinstance(clusters, np.ndarray | list | tuple)
    if not is_list or not 2 <= len(clusters) <= min(MAX_CLUSTERS, MAX_DIMENSIONS):
        raise CheckpointError(
            f"The colours of the tokens must be a list of 2 to {MAX_CLUSTERS}, got "
            f"{len(clusters) if is_list else type(clusters).__name__}. Use another model."
        )
    if not all(isinstance(row, np.ndarray | list | tuple) and len(row) == 3 for row in clusters):
        raise CheckpointError("A colour must be three numbers. Use another model.")
    try:
        found = np.array(clusters, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(
            f"The colours of the tokens are no numbers ({error}). Use another model."
        ) from error
    if not (np.abs(found) <= 1.0).all():  # false for NaN too
        raise CheckpointError("The colours of the tokens must lie from -1 to 1. Use another model.")
    return found
