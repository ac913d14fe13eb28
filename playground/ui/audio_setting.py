"""What the sidebar of the Audio page has settled; every part of the page draws from it."""

from __future__ import annotations

from dataclasses import dataclass

from playground.decoding.lane import Lane
from playground.decoding.stepper import LONGEST
from playground.models.base import ARModel
from playground.tokenizers.audio import AudioTokenizer
from playground.ui.resources import Loaded


@dataclass(frozen=True)
class AudioSetting:
    """A model as decoders step it, how they decode, and for how long."""

    loaded: Loaded
    model: ARModel  # of `as_drawn`: told its class or text, guided
    told: int | str | None  # the class or the text; None: nothing
    guidance: float
    lane: Lane  # strategy, processors and seed
    seconds: float  # the longest that a sound may become

    @property
    def tokenizer(self) -> AudioTokenizer:
        return self.loaded.tokenizer

    @property
    def longest(self) -> int:
        """The most samples that a sound may have."""
        return min(round(self.seconds * self.tokenizer.sample_rate), LONGEST - 1)

    @property
    def slides(self) -> bool:
        """True if the model sees so little at once that a sound does not fit."""
        return self.model.context_length is not None
