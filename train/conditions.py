"""What a model of pictures is told of each beside the pixels before it: a class, a small picture.

Each kind knows what it is of all pictures, how a step hides it from some of them, and what a
contact sheet shows.
"""

from collections.abc import Sequence

import numpy as np
import torch

from playground.data.images import Pictures
from playground.models.super_resolution import area_average

DRAWN = 20  # pictures on a contact sheet
ENLARGED, SAMPLES = 10, 4  # small pictures on one, and large ones drawn of each


class Classes:
    """The class (B,) of each picture, `n_class` for none in particular; 0 classes: nothing."""

    name, columns, count = "class", 10, DRAWN
    caption = "pictures that it drew"

    def __init__(self, pictures: Pictures, n_class: int):
        self.n_class = n_class
        self.names: Sequence[str] = pictures.classes if n_class else ()
        self.says = f"{n_class} classes"
        self.train = torch.from_numpy(pictures.train_labels)
        self.test = torch.from_numpy(pictures.test_labels) if n_class else None
        self.drawn = torch.arange(DRAWN) % n_class if n_class else None

    def of_batch(self, labels: torch.Tensor, is_told: torch.Tensor, flip, device):
        """Return the condition that a step trains with."""
        labels = torch.where(is_told, labels, self.n_class)
        return labels.to(device) if self.n_class else None

    def sheet(self, drawn: np.ndarray) -> np.ndarray:
        """Return the pictures of a contact sheet."""
        return drawn


class SmallPictures:
    """Each picture `factor` times smaller (B, h, w, colors): averages of its bytes.

    Raises:
        ConfigError: `factor` does not divide both sides of the pictures.
    """

    name, names = "small picture", ()
    caption = f"what it was told, {SAMPLES} pictures that it drew, and the truth"

    def __init__(self, pictures: Pictures, factor: int):
        self.train = torch.from_numpy(area_average(pictures.train, factor))
        self.test = torch.from_numpy(area_average(pictures.test, factor))
        self.says = f"pictures of {self.test.shape[2]}x{self.test.shape[1]} pixels"
        self.truth = pictures.test[:ENLARGED]
        self.columns, self.count = len(self.truth), SAMPLES * len(self.truth)
        self.drawn = self.test[:ENLARGED].repeat(SAMPLES, 1, 1, 1)

    def of_batch(self, small: torch.Tensor, is_told: torch.Tensor, flip, device):
        """Return the small pictures, mirrored where `flip` (B,) says so, and which are told."""
        if flip is not None:
            small = torch.where(flip.view(-1, 1, 1, 1), small.flip(2), small)
        return small.to(device), is_told.to(device)

    def sheet(self, drawn: np.ndarray) -> np.ndarray:
        """Return the pictures of a contact sheet: a row told, the rows drawn, a row of truth."""
        factor = self.truth.shape[1] // self.test.shape[1]
        told = self.test[:ENLARGED].numpy().repeat(factor, 1).repeat(factor, 2)
        return np.concatenate((told, drawn, self.truth))
