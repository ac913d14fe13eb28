"""Texts, pictures and sounds, as the engine of comparisons knows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from playground.comparison.conditions import alphabet_of, condition_of, guided
from playground.comparison.contract import Condition, Kind, Loaded, Prompt, Real, Scope
from playground.data.images import read_examples
from playground.data.sounds import read_examples as read_clips
from playground.data.text import held_out_excerpt
from playground.decoding.decide import N_CANDIDATES
from playground.decoding.offered import PICTURES, REMOTE_TEXTS, SOUNDS, TEXTS
from playground.decoding.spec import ANY
from playground.errors import ConfigError, DataError, PromptError
from playground.evaluation.figures import Figures, figures, human_point
from playground.evaluation.judge import Judge
from playground.evaluation.picture_figures import (
    PictureFigures,
    picture_figures,
    real_picture_figures,
)
from playground.evaluation.sound_figures import SoundFigures, real_sound_figures, sound_figures
from playground.models.base import ARModel
from playground.models.conditioned import Conditioned, as_drawn
from playground.models.guided import Guided
from playground.tokenizers.audio import AudioTokenizer
from playground.tokenizers.image import ImageTokenizer
from playground.tokenizers.remote import RemoteTokenizer
from playground.tokenizers.seq2seq import Seq2SeqTokenizer
from playground.traces.trace import Trace

TEXT_GUIDANCE = 1.5  # where a lane does not say
USUAL_SECONDS, MAX_SECONDS = 0.5, 2.0  # of sounds that are compared


class Texts:
    """Continuations of a text, which end where the model or the visitor ends them."""

    name, noun = "text", "texts"
    prompt_is_told = False  # the prompt is what the model is told, and not how a text begins
    n_candidates = N_CANDIDATES
    offer = TEXTS

    def prefix(self, tokenizer: Any, prompt: Prompt) -> tuple[int, ...]:
        return (tokenizer.bos_token, *tokenizer.encode(prompt))

    def room(self, tokenizer: Any, prefix: Sequence[int], asked: int | None) -> int:
        return 100 if asked is None else asked

    def label(self, loaded: Loaded, asked: str | int) -> Condition:
        if asked not in ("", ANY):
            raise ConfigError(
                f"condition names the class {asked!r}; models of text know none. Leave it out."
            )
        return None

    def bind(self, loaded: Loaded, label: Condition) -> ARModel:
        return loaded.model

    def sealed(self, combined: ARModel, tokenizer: Any) -> ARModel:
        return combined

    def guided(self, loaded: Loaded, label: Condition, settings: dict, prefix) -> ARModel:
        tokens = tuple(loaded.tokenizer.encode(str(settings.pop("negative_prompt", ""))))
        settings = {"guidance_scale": TEXT_GUIDANCE, **settings}
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


class Drawn:
    """What pictures and sounds share: a model that is told something, and never starts anew."""

    def label(self, loaded: Loaded, asked: str | int) -> Condition:
        return condition_of(loaded, asked)

    def bind(self, loaded: Loaded, label: Condition) -> ARModel:
        return as_drawn(loaded.model, loaded.tokenizer.bos_token, label)

    def sealed(self, combined: ARModel, tokenizer: ImageTokenizer | AudioTokenizer) -> ARModel:
        return as_drawn(combined, tokenizer.bos_token)  # what two exclude, a mixture may let in

    def guided(self, loaded: Loaded, label: Condition, settings: dict, prefix) -> ARModel:
        return guided(loaded, label, settings)


class Pictures(Drawn):
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


class Sounds(Drawn):
    """Sounds of one length, told a class or a text, that may begin with the same part."""

    name, noun = "audio", "sounds"
    n_candidates = 4  # a second has thousands of Steps
    offer = SOUNDS

    def prefix(self, tokenizer: AudioTokenizer, prompt: Prompt) -> tuple[int, ...]:
        """Return BOS and the samples that are given.

        Raises:
            PromptError: it is no list of levels, or is longer than what is compared.
        """
        if isinstance(prompt, str):
            if prompt:
                raise PromptError(
                    f"A sound begins with samples, not with the text {prompt[:60]!r}. Leave the "
                    "prompt empty; what a model is to speak is its condition."
                )
            prompt = ()
        tokens = tuple(map(int, prompt))
        if any(not 0 <= token < tokenizer.levels for token in tokens):
            raise PromptError(
                f"A sound of this model has the levels 0 to {tokenizer.levels - 1}, and its "
                "beginning has others. Take it from a sound that its own tokenizer encoded."
            )
        most = round(MAX_SECONDS * tokenizer.sample_rate)
        if len(tokens) > most:
            raise PromptError(
                f"{len(tokens):,} samples are kept of a sound; at most {most:,} can be. Keep fewer."
            )
        return (tokenizer.bos_token, *tokens)

    def room(self, tokenizer: AudioTokenizer, prefix: Sequence[int], asked: int | None) -> int:
        return round(USUAL_SECONDS * tokenizer.sample_rate) if asked is None else asked

    def real(self, folder: Path, loaded: Loaded) -> Real:
        """Return the example sounds, with their texts where the model speaks, or their classes.

        Raises:
            DataError: the checkpoint keeps none.
            CheckpointError: they are damaged.
        """
        clips = read_clips(folder, loaded.tokenizer)
        if clips is None:
            raise DataError(
                f"{folder.name} keeps no example sounds, so there are no real ones to compare "
                "with. Train or download it again."
            )
        told = loaded.info.get("examples")
        name, kind = ("texts", str) if alphabet_of(loaded) else ("labels", int)
        labels = told.get(name) if isinstance(told, dict) else None
        fits = isinstance(labels, list) and len(labels) == len(clips)
        fits = fits and all(type(label) is kind for label in labels)
        return Real([loaded.tokenizer.quantise(clip) for clip in clips], labels if fits else ())

    def figures(
        self, traces: Sequence[Trace], model: ARModel | None, judge: Judge | None, *,
        tokenizer: AudioTokenizer, real: Sequence[np.ndarray] = (),
    ) -> SoundFigures:  # fmt: skip
        return sound_figures(traces, model, judge, tokenizer=tokenizer, real=real)

    def real_figures(
        self, real: Real, model: ARModel, judge: Judge | None, *, tokenizer: AudioTokenizer,
        scope: Scope,
    ) -> SoundFigures:  # fmt: skip
        """Return the figures of real sounds, of what is told, judged where the lanes decided."""
        return real_sound_figures(
            real.of(scope.label), model, judge, tokenizer=tokenizer,
            given=len(scope.prefix) - 1, length=scope.longest,
        )  # fmt: skip


class RemoteTexts(Texts):
    """Texts of a model on a server: what needs its inside, or its whole distribution, is not."""

    offer = REMOTE_TEXTS

    def real(self, folder: Path, loaded: Loaded) -> str:
        """Raise DataError: nobody knows here what the model has not learnt from."""
        raise DataError(
            "What a model on a server has learnt is not known here, so there is no text of people "
            "to compare with."
        )


class Translations(Texts):
    """Texts about a source, which is the prompt or a lane's own condition."""

    noun = "translations"
    prompt_is_told = True

    def prefix(self, tokenizer: Seq2SeqTokenizer, prompt: Prompt) -> tuple[int, ...]:
        return (tokenizer.bos_token, *tokenizer.start)

    def label(self, loaded: Loaded, asked: str | int) -> tuple[int, ...]:
        """Return the tokens of a source.

        Raises:
            PromptError: the tokenizer cannot read it.
        """
        return tuple(loaded.tokenizer.encode_source("" if asked == ANY else str(asked)))

    def bind(self, loaded: Loaded, label: Condition) -> ARModel:
        return self._told(loaded, loaded.model, label)

    def guided(self, loaded: Loaded, label: Condition, settings: dict, prefix) -> ARModel:
        settings.pop("negative_prompt", "")
        settings = {"guidance_scale": TEXT_GUIDANCE, **settings}
        return self._told(loaded, Guided(loaded.model, **settings), label)

    def _told(self, loaded: Loaded, model: ARModel, label: Condition) -> ARModel:
        bos, eos = loaded.tokenizer.bos_token, loaded.tokenizer.eos_token
        return Conditioned(model, loaded.model.encode(label), () if bos == eos else (bos,))


TEXT, PICTURE, SOUND, REMOTE_TEXT = Texts(), Pictures(), Sounds(), RemoteTexts()
TRANSLATION = Translations()
KINDS: dict[str, Kind] = {kind.name: kind for kind in (TEXT, PICTURE, SOUND)}  # by modality


def kind_of(tokenizer: Any) -> Kind:
    """Return what a comparison of models with this tokenizer is of."""
    if isinstance(tokenizer, ImageTokenizer):
        return PICTURE
    if isinstance(tokenizer, Seq2SeqTokenizer):
        return TRANSLATION
    if isinstance(tokenizer, RemoteTokenizer):
        return REMOTE_TEXT
    return SOUND if isinstance(tokenizer, AudioTokenizer) else TEXT
