"""What a comparison needs to know of texts, pictures or sounds, so that all go through one engine.

A Kind says what a comparison begins with, how long its lanes become, what a model is told, what
may be chosen, and which figures are told, of the lanes and of what people made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from playground.decoding.offered import Offer
from playground.evaluation.figures import Figures
from playground.evaluation.picture_figures import PictureFigures
from playground.evaluation.sound_figures import SoundFigures
from playground.models.base import ARModel

Prompt = str | Sequence[int]
Condition = int | str | None  # a class, a text to speak, or nothing
AnyFigures = Figures | PictureFigures | SoundFigures


class Loaded(Protocol):
    """A model with its tokenizer, and what its checkpoint tells besides."""

    model: ARModel
    tokenizer: Any
    info: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Real:
    """Pictures (N, size) or N sounds (T_i,) that people made, as tokens, and what each is of.

    They must be none that a model has learnt from: what a checkpoint keeps as its examples.
    """

    tokens: np.ndarray | Sequence[np.ndarray]
    labels: Sequence[int | str] = ()  # classes or texts; () where they are not known

    def of(self, label: Condition) -> np.ndarray | Sequence[np.ndarray]:
        """Return those of a class or text, all of them without one or if there are none such."""
        if label is None or len(self.labels) != len(self.tokens):
            return self.tokens
        own = [i for i, known in enumerate(self.labels) if known == label]
        if not own:
            return self.tokens
        is_array = isinstance(self.tokens, np.ndarray)
        return self.tokens[own] if is_array else [self.tokens[i] for i in own]


@dataclass(frozen=True)
class Scope:
    """What figures are asked about: the beginning, what is told, and how far the lanes came."""

    prefix: tuple[int, ...]  # BOS first
    label: Condition
    longest: int  # tokens behind the prefix
    samples: int  # of the largest lane


class Kind(Protocol):
    """What a comparison is of."""

    name: str  # a modality of the registry
    noun: str  # what its lanes make
    n_candidates: int  # that a Step keeps, whatever runs beside it
    offer: Offer

    def prefix(self, tokenizer: Any, prompt: Prompt) -> tuple[int, ...]:
        """Return the tokens that all lanes begin with, BOS first."""

    def room(self, tokenizer: Any, prefix: Sequence[int], asked: int | None) -> int:
        """Return how many tokens every lane makes; `asked` None: as many as is usual."""

    def label(self, loaded: Loaded, asked: str | int) -> Condition:
        """Return the class or the text that `asked` names, None for nothing."""

    def bind(self, loaded: Loaded, label: Condition) -> ARModel:
        """Return the model as decoders step it."""

    def sealed(self, combined: ARModel, tokenizer: Any) -> ARModel:
        """Return bound models that were combined, as decoders step them."""

    def guided(self, loaded: Loaded, label: Condition, settings: dict, prefix) -> ARModel:
        """Return the model guided towards what it is told."""

    def real(self, folder: Path, loaded: Loaded) -> str | Real:
        """Return what people made, of what the checkpoint in `folder` has not learnt from."""

    def figures(self, traces, model, judge, *, tokenizer, real) -> AnyFigures:
        """Return the figures of a lane, under `model` where its own is another."""

    def real_figures(self, real, model, judge, *, tokenizer, scope: Scope) -> AnyFigures:
        """Return the figures of what people made."""
