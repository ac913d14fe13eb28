"""What a model needs for things it has not read, unit by unit: windows, pictures, sounds.

A unit is what is drawn anew by the bootstrap. Windows of a text are cut by characters, at blanks,
so they are the same for every model whatever its tokens are: bits per character compare, bits and
perplexity per token compare only between models of the same tokens. Each window is judged behind
the one before it, which all models are given alike; how much of that a model can see is its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from playground.errors import DataError, PlaygroundError, PromptError, check_whole
from playground.evaluation.bits_per_dim import surprisal_of_pictures
from playground.evaluation.bits_per_sample import surprisal_of_sound
from playground.evaluation.bootstrap import Interval, ratio_interval
from playground.evaluation.judge import judge
from playground.models.base import ARModel

WINDOW = 400  # characters
MOST_CHARACTERS = 40_000
WINDOW_S = 0.25  # of a single sound


@dataclass(frozen=True)
class Unit:
    """What one unit cost."""

    bits: float
    tokens: int  # decisions of the model
    size: int  # characters, values of pixels, or samples


@dataclass(frozen=True)
class Measured:
    """All units of one model."""

    units: tuple[Unit, ...]

    def per_size(self, seed: int = 0) -> Interval:
        """Return the bits per character, dimension or sample."""
        return ratio_interval(self._bits, [unit.size for unit in self.units], seed=seed)

    def perplexity(self, seed: int = 0) -> Interval:
        """Return 2 to the bits per token; the interval's ends are those of the bits."""
        bits = ratio_interval(self._bits, [unit.tokens for unit in self.units], seed=seed)
        ends = [None if end is None else _power(end) for end in (bits.low, bits.high)]
        return Interval(_power(bits.value), *ends, bits.units)

    @property
    def _bits(self) -> list[float]:
        return [unit.bits for unit in self.units]

    @property
    def tokens(self) -> int:
        return sum(unit.tokens for unit in self.units)

    @property
    def size(self) -> int:
        return sum(unit.size for unit in self.units)


def _power(bits: float) -> float:
    return 2.0**bits if bits < 1000 else math.inf


def windows_of(text: str, characters: int = WINDOW) -> list[str]:
    """Cut a text into windows of about so many characters; together they are the text.

    A window ends before a blank or line break where one is near, which then begins the next: no
    word is cut, and byte-pair tokens, which begin with their blank, are those of the whole text.

    Raises:
        DataError: the text is empty or too long.
    """
    check_whole("characters", characters, 1, MOST_CHARACTERS)
    if not text:
        raise DataError("There is no text to measure. Write or paste some.")
    if len(text) > MOST_CHARACTERS:
        raise DataError(
            f"The text has {len(text):,} characters; at most {MOST_CHARACTERS:,} are measured at "
            "once. Take a part of it."
        )
    found, start = [], 0
    while start < len(text):
        end = min(len(text), start + characters)
        if end < len(text):
            blank = max(text.rfind(" ", start + 1, end + 1), text.rfind("\n", start + 1, end + 1))
            end = blank if blank > start + characters // 2 else end
        if len(text) - end < characters // 4:  # what is left is no window of its own
            end = len(text)
        found.append(text[start:end])
        start = end
    return found


def text_units(model: ARModel, tokenizer: Any, windows: Sequence[str]) -> Iterator[Unit]:
    """Yield what each window costs behind the window before it.

    Raises:
        PromptError: the tokenizer cannot read the text; before anything is computed.
    """
    encoded = [tokenizer.encode(window) for window in windows]
    before: list[int] = []
    for window, tokens in zip(windows, encoded, strict=True):
        sequence = [tokenizer.bos_token, *before, *tokens]
        found = judge(model, [sequence], 1 + len(before))
        yield Unit(-found.log_likelihood / math.log(2), len(tokens), len(window))
        before = tokens


def picture_units(
    model: ARModel,
    tokenizer: Any,
    pictures: Sequence[np.ndarray],
    labels: Sequence[int | None] = (),
) -> Iterator[Unit]:
    """Yield what each picture (H, W, channels) costs; a single one is cut into its rows.

    `labels` are classes that a model is told, None for none.

    Raises:
        PromptError: a picture is not of the model's size.
    """
    labels = list(labels) or [None] * len(pictures)
    for picture, label in zip(pictures, labels, strict=True):
        tokens = torch.tensor([tokenizer.encode(picture)])
        told = None if label is None else torch.tensor([label])
        bits = surprisal_of_pictures(model, tokens, tokenizer.bos_token, told)[0].double().numpy()
        if len(pictures) > 1:
            yield Unit(float(bits.sum()), len(bits), len(bits))
            continue
        rows = tokenizer.places // (tokenizer.width * tokenizer.channels)
        for row in range(tokenizer.height):
            own = bits[rows == row]
            yield Unit(float(own.sum()), len(own), len(own))


def sound_units(
    model: ARModel, tokenizer: Any, sounds: Sequence[np.ndarray], told: Sequence[Any] = ()
) -> Iterator[Unit]:
    """Yield what each sound (T,) costs; a single one is cut into quarters of a second.

    `told` are classes or texts that a model is told, None for nothing.
    """
    told = list(told) or [None] * len(sounds)
    for samples, what in zip(sounds, told, strict=True):
        tokens = torch.tensor(tokenizer.encode(samples))
        bits = surprisal_of_sound(model, tokens, tokenizer.bos_token, what).double().numpy()
        length = len(bits) if len(sounds) > 1 else round(WINDOW_S * tokenizer.sample_rate)
        for start in range(0, len(bits), length):
            own = bits[start : start + length]
            yield Unit(float(own.sum()), len(own), len(own))


def units_of(modality: str, count: int, tokenizer: Any, lengths: Sequence[int]) -> int:
    """Return how many units `count` things have; `lengths` are the samples of sounds."""
    if count > 1 or modality == "text":
        return count
    if modality == "image":
        return tokenizer.height
    return -(-lengths[0] // round(WINDOW_S * tokenizer.sample_rate))


def why_not(modality: str, tokenizer: Any, reference: Any, text: str = "") -> str:
    """Return why a model cannot be measured beside one of `reference`, "" if it can.

    Text must be readable; pictures must have the same size and levels, in whatever order they are
    decided; sounds the same rate and levels. Bits of other levels are about another choice.
    """
    try:
        if modality == "text":
            tokenizer.encode(text)
            return ""
        if modality == "image":
            own, wanted = ((*one.shape, one.levels, one.channels) for one in (tokenizer, reference))
            if own != wanted:
                raise PromptError(
                    f"It draws {tokenizer.width} × {tokenizer.height} pixels in "
                    f"{tokenizer.levels} levels, the first model {reference.width} × "
                    f"{reference.height} in {reference.levels}: their bits do not compare."
                )
            return ""
        own, wanted = ((one.sample_rate, one.levels) for one in (tokenizer, reference))
        if own != wanted:
            raise PromptError(
                f"It hears {tokenizer.sample_rate:,} samples a second in {tokenizer.levels} "
                f"levels, the first model {reference.sample_rate:,} in {reference.levels}: their "
                "bits do not compare."
            )
    except PlaygroundError as error:
        return str(error)
    return ""
