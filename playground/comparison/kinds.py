"""Where a comparison of texts and one of pictures differ; all else is one engine.

A Kind says what a comparison begins with, how long its lanes become, how a model is told its
class, what may be chosen, and which figures are told, of the lanes and of what people made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from playground.data.images import read_examples
from playground.data.text import held_out_excerpt
from playground.decoding.decide import N_CANDIDATES
from playground.decoding.offered import PICTURES, TEXTS, Offer
from playground.decoding.spec import ANY, MAX_CLASS
from playground.errors import ConfigError, DataError, PromptError
from playground.evaluation.figures import Figures, figures, human_point
from playground.evaluation.judge import Judge
from playground.evaluation.picture_figures import (
    PictureFigures,
    picture_figures,
    real_picture_figures,
)
from playground.models.base import ARModel
from playground.models.conditioned import as_drawn, without_wrappers
from playground.models.guided import Guided
from playground.tokenizers.image import ImageTokenizer
from playground.traces.trace import Trace

Prompt = str | Sequence[int]
GUIDANCE = 1.5  # where a lane does not say
PICTURE_GUIDANCE = 2.0


class Loaded(Protocol):
    """A model with its tokenizer, and what its checkpoint tells besides."""

    model: ARModel
    tokenizer: Any
    info: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Real:
    """Pictures that people made, as tokens (N, size), and the class of each, where they have one.

    They must be none that a model has learnt from: what a checkpoint keeps as its examples.
    """

    tokens: np.ndarray
    labels: Sequence[int] = ()

    def of(self, label: int | None) -> np.ndarray:
        """Return those of a class, all of them without one or where there are none such."""
        if label is None or len(self.labels) != len(self.tokens):
            return self.tokens
        own = self.tokens[np.array(self.labels) == label]
        return own if len(own) else self.tokens


@dataclass(frozen=True)
class Scope:
    """What figures are asked about: the beginning, its class, and how far the lanes came."""

    prefix: tuple[int, ...]  # BOS first
    label: int | None
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

    def label(self, loaded: Loaded, asked: str | int) -> int | None:
        """Return the class that `asked` names, None for no class."""

    def bind(self, loaded: Loaded, label: int | None) -> ARModel:
        """Return the model as decoders step it."""

    def sealed(self, combined: ARModel, tokenizer: Any) -> ARModel:
        """Return bound models that were combined, as decoders step them."""

    def guided(self, loaded: Loaded, label: int | None, settings: dict, prefix) -> ARModel:
        """Return the model guided towards what it is told."""

    def real(self, folder: Path, loaded: Loaded) -> str | Real:
        """Return what people made, of what the checkpoint in `folder` has not learnt from."""

    def figures(self, traces, model, judge, *, tokenizer, real) -> Figures | PictureFigures:
        """Return the figures of a lane, under `model` where its own is another."""

    def real_figures(self, real, model, judge, *, tokenizer, scope: Scope):
        """Return the figures of what people made."""


class Texts:
    """Continuations of a text, which end where the model or the visitor ends them."""

    name, noun = "text", "texts"
    n_candidates = N_CANDIDATES
    offer = TEXTS

    def prefix(self, tokenizer: Any, prompt: Prompt) -> tuple[int, ...]:
        return (tokenizer.bos_token, *tokenizer.encode(prompt))

    def room(self, tokenizer: Any, prefix: Sequence[int], asked: int | None) -> int:
        return 100 if asked is None else asked

    def label(self, loaded: Loaded, asked: str | int) -> int | None:
        if asked not in ("", ANY):
            raise ConfigError(
                f"condition names the class {asked!r}; models of text know none. Leave it out."
            )
        return None

    def bind(self, loaded: Loaded, label: int | None) -> ARModel:
        return loaded.model

    def sealed(self, combined: ARModel, tokenizer: Any) -> ARModel:
        return combined

    def guided(self, loaded: Loaded, label: int | None, settings: dict, prefix) -> ARModel:
        tokens = tuple(loaded.tokenizer.encode(str(settings.pop("negative_prompt", ""))))
        settings = {"guidance_scale": GUIDANCE, **settings}
        return Guided(loaded.model, prompt_length=len(prefix), negative_prompt=tokens, **settings)

    def real(self, folder: Path, loaded: Loaded) -> str:
        """Return text.

        Raises:
            DataError: the checkpoint keeps none.
        """
        return held_out_excerpt(folder)

    def figures(
        self, traces: Sequence[Trace], model: ARModel | None, judge: Judge | None, *,
        tokenizer: Any, real: Any = None,
    ) -> Figures:  # fmt: skip
        return figures(traces, model, judge, tokenizer=tokenizer)

    def real_figures(
        self, real: str, model: ARModel, judge: Judge | None, *, tokenizer: Any, scope: Scope
    ) -> Figures:
        """Return the figures of real text in pieces as long as the lanes' texts are.

        What depends on how many texts there are (distinct-n, self-BLEU) is that of as many pieces
        as the largest lane has samples; the rest is steadier with 16.
        """
        length = max(1, scope.longest)
        options = {"judge": judge, "prompt_length": len(scope.prefix)}
        many = human_point(real, tokenizer, model, length, **options)
        few = human_point(real, tokenizer, model, length, pieces=scope.samples, **options)
        counted = ("samples", "distinct_1", "distinct_2", "distinct_3", "self_bleu", "zipf")
        return replace(many, **{name: getattr(few, name) for name in counted})


class Pictures:
    """Pictures of one size, of a class or of any, that may begin with the same top part."""

    name, noun = "image", "pictures"
    n_candidates = 8  # a picture has many Steps, and a contact sheet has many pictures
    offer = PICTURES

    def prefix(self, tokenizer: ImageTokenizer, prompt: Prompt) -> tuple[int, ...]:
        """Return BOS and the values that are given, in the order in which they are decided.

        Raises:
            PromptError: it is no list of tokens, or leaves nothing to decide.
        """
        if isinstance(prompt, str):
            if prompt:
                raise PromptError(
                    f"A picture begins with pixels, not with the text {prompt[:60]!r}. Leave the "
                    "prompt empty."
                )
            prompt = ()
        tokens = tuple(map(int, prompt))
        if any(not 0 <= token < tokenizer.levels for token in tokens):
            raise PromptError(
                f"A picture of this model has the levels 0 to {tokenizer.levels - 1}, and its "
                "beginning has others. Take it from a picture that its own tokenizer encoded."
            )
        if len(tokens) >= tokenizer.size:
            raise PromptError(
                f"{len(tokens)} values are kept of a picture of {tokenizer.size}, so that nothing "
                "is left to decide. Keep fewer rows."
            )
        return (tokenizer.bos_token, *tokens)

    def room(self, tokenizer: ImageTokenizer, prefix: Sequence[int], asked: int | None) -> int:
        left = tokenizer.size - len(prefix) + 1
        return left if asked is None else min(left, asked)

    def label(self, loaded: Loaded, asked: str | int) -> int | None:
        """Return the number of a class.

        Raises:
            ConfigError: the model knows no such class.
        """
        if asked in ("", ANY):
            return None
        known = classes_of(loaded)
        if not known:
            raise ConfigError(
                f"condition names the class {asked!r}, and this model knows no classes. Choose "
                f"{ANY!r}, or a model that is told one."
            )
        if isinstance(asked, str):
            names = [name.casefold() for name in known]
            if asked.casefold() in names:
                return names.index(asked.casefold())
            is_number = asked.isascii() and asked.isdigit() and len(asked) <= len(str(MAX_CLASS))
            asked = int(asked) if is_number else asked
        if isinstance(asked, int) and 0 <= asked < len(known):
            return asked
        raise ConfigError(
            f"This model knows no class {str(asked)[:60]!r}. Choose {ANY!r}, a number from 0 to "
            f"{len(known) - 1}, or one of {', '.join(known[:20])}."
        )

    def bind(self, loaded: Loaded, label: int | None) -> ARModel:
        return as_drawn(loaded.model, loaded.tokenizer.bos_token, label)

    def sealed(self, combined: ARModel, tokenizer: ImageTokenizer) -> ARModel:
        return as_drawn(combined, tokenizer.bos_token)  # what two exclude, a mixture may let in

    def guided(self, loaded: Loaded, label: int | None, settings: dict, prefix) -> ARModel:
        if label is None:
            raise ConfigError(
                "Guidance leads towards a class, and this lane is told none. Choose a class for "
                "the lane or for all, or take the guidance out."
            )
        if "negative_prompt" in settings:
            raise ConfigError(
                "negative_prompt is text, which leads no picture anywhere. Leave it out."
            )
        scale = settings.pop("guidance_scale", PICTURE_GUIDANCE)
        if settings:
            raise TypeError(", ".join(settings))
        return as_drawn(loaded.model, loaded.tokenizer.bos_token, label, scale)

    def real(self, folder: Path, loaded: Loaded) -> Real:
        """Return the example pictures.

        Raises:
            DataError: the checkpoint keeps none.
            CheckpointError: they are damaged.
        """
        pixels = read_examples(folder, loaded.tokenizer)
        if pixels is None:
            raise DataError(
                f"{folder.name} keeps no example pictures, so there are no real ones to compare "
                "with. Train or download it again."
            )
        told = loaded.info.get("examples")
        labels = told.get("labels") if isinstance(told, dict) else None
        fits = isinstance(labels, list) and len(labels) == len(pixels)
        fits = fits and all(type(label) is int for label in labels)
        tokens = np.array([loaded.tokenizer.encode(picture) for picture in pixels], np.int64)
        return Real(tokens, labels if fits else ())

    def figures(
        self, traces: Sequence[Trace], model: ARModel | None, judge: Judge | None, *,
        tokenizer: ImageTokenizer, real: np.ndarray | None = None,
    ) -> PictureFigures:  # fmt: skip
        return picture_figures(traces, model, judge, tokenizer=tokenizer, real=real)

    def real_figures(
        self, real: Real, model: ARModel, judge: Judge | None, *, tokenizer: ImageTokenizer,
        scope: Scope,
    ) -> PictureFigures:  # fmt: skip
        """Return the figures of real pictures of the class, judged where the lanes decided."""
        return real_picture_figures(
            real.of(scope.label), model, judge, tokenizer=tokenizer,
            given=len(scope.prefix) - 1, length=scope.longest,
        )  # fmt: skip


TEXT, PICTURE = Texts(), Pictures()


def kind_of(tokenizer: Any) -> Kind:
    """Return what a comparison of models with this tokenizer is of."""
    return PICTURE if isinstance(tokenizer, ImageTokenizer) else TEXT


def classes_of(loaded: Loaded) -> tuple[str, ...]:
    """Return the names of the classes that a model is told, their numbers where it has none."""
    count = getattr(getattr(without_wrappers(loaded.model), "config", None), "n_class", 0)
    names = loaded.info.get("classes")
    is_told = isinstance(names, list) and all(isinstance(n, str) and n for n in names)
    if is_told and len(names) == count:
        return tuple(name[:60] for name in names)
    return _numbers(count)


@lru_cache(8)
def _numbers(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))
