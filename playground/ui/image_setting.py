"""What the sidebar of the Image page has settled; every part of the page draws from it."""

from __future__ import annotations

from dataclasses import dataclass

from playground.decoding.lane import Lane
from playground.models.base import ARModel
from playground.ui.resources import Loaded


@dataclass(frozen=True)
class ImageSetting:
    """A model as decoders step it, and how they decode."""

    loaded: Loaded
    model: ARModel  # of `as_drawn`: told its class, guided
    label: int | None  # the class it is told; None: none, or it knows no classes
    guidance: float
    lane: Lane  # strategy, processors and seed
