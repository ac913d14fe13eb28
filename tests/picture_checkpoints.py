"""Small models of pictures as checkpoints on disk, for what reads them from there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from playground.checkpoints import save
from playground.data.images import EXAMPLES, examples_sheet
from playground.tokenizers.image import ImageTokenizer
from tests.helpers import PICTURE, picture_model

CLASSES = ("cat", "dog", "bird", "fish")
LABELS = [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
TOKENIZER = ImageTokenizer(PICTURE["height"], PICTURE["width"], 1, PICTURE["levels"])


def examples() -> np.ndarray:
    """Pictures (10, 6, 7, 1): stripes of several widths, each by its own level."""
    columns = np.arange(PICTURE["width"])
    shown = [TOKENIZER.value(level) for level in range(TOKENIZER.levels)]
    rows = [np.where(columns % (2 + n % 3) == 0, shown[n % 5], 0) for n in range(len(LABELS))]
    pictures = np.repeat(np.array(rows, np.uint8)[:, None], PICTURE["height"], axis=1)
    return pictures[..., None]


def write_checkpoint(folder: Path, family: str = "gated-pixelcnn", **sizes) -> Path:
    """Write a small model of 6x7 pictures of five levels; `n_class=4` gives it CLASSES."""
    info = {
        "modality": "image",
        "classes": list(CLASSES) if sizes.get("n_class") else [],
        "examples": {"labels": LABELS, "classes": list(CLASSES)},
    }
    save(folder, picture_model(family, channels=16, **sizes), TOKENIZER, info=info)
    examples_sheet(examples()).save(folder / EXAMPLES)
    return folder
