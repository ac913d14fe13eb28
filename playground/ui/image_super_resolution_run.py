"""What super-resolution computes: k lanes of one Run under one small picture, and how far they are.

It ticks and stops as completions do: see `image_completion_run`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import streamlit as st
import torch
from PIL import Image

from playground.decoding.lane import Lane
from playground.decoding.run import Run
from playground.errors import ConfigError, PlaygroundError
from playground.evaluation.bits_per_dim import bits_per_dim
from playground.models.conditioned import as_drawn
from playground.models.super_resolution import area_average
from playground.tokenizers.image import ImageTokenizer
from playground.traces.trace import Trace
from playground.ui.image_completion_run import MAX_VALUES
from playground.ui.picture_input import PictureChoice
from playground.ui.resources import Loaded, turn

MAX_SAMPLES = 8


@dataclass(frozen=True)
class Plan:
    """How a small picture is to be enlarged."""

    count: int  # large pictures drawn
    guidance: float  # 1: as the model is; more: it heeds the small picture more


@dataclass(eq=False)
class Enlarged:
    """A run, what it was begun with, and how likely the original is."""

    identity: tuple
    run: Run
    model: str
    tokenizer: ImageTokenizer
    small: np.ndarray  # (h, w, channels) uint8
    original: np.ndarray  # (H, W, channels) uint8, in the model's levels
    bits: float  # per dimension of the original, for the model told the small picture
    bits_untold: float  # and for its prior alone

    @property
    def made(self) -> int:
        """Values that every sample has."""
        return self.run.made

    def traces(self) -> list[Trace]:
        return [self.run.trace(i, self.model) for i in range(len(self.run.lanes))]


@dataclass
class EnlargingSession:
    """The enlargements of one visitor."""

    pace: str = "still"  # or "run"
    outcome: Enlarged | None = None
    is_asked: bool = False  # to begin, once the widgets have been read that changed with the click
    chosen: int = 0  # which sample is looked at closely
    problem: str = ""


def enlarging_session() -> EnlargingSession:
    """Return this visitor's enlargements."""
    return st.session_state.setdefault("_enlarging", EnlargingSession())


def small_of(loaded: Loaded, choice: PictureChoice) -> np.ndarray:
    """Return the small picture (h, w, channels) that the model is told of a large one."""
    return area_average(choice.pixels, loaded.model.config.factor)


def identity_of(loaded: Loaded, lane: Lane, choice: PictureChoice, plan: Plan) -> tuple:
    """Return what a run depends on: the same gives the same pictures."""
    return loaded.card.name, id(loaded.model), lane, choice.pixels.tobytes(), plan


def start(
    session: EnlargingSession, loaded: Loaded, lane: Lane, choice: PictureChoice, plan: Plan
) -> None:
    """Begin anew; what does not fit is told before any work, and what was is kept."""
    session.problem, session.is_asked = "", False
    try:
        session.outcome = begin(loaded, lane, choice, plan)
    except PlaygroundError as error:
        session.problem, session.pace = str(error), "still"
        return
    session.pace, session.chosen = "run", 0


def begin(loaded: Loaded, lane: Lane, choice: PictureChoice, plan: Plan) -> Enlarged:
    """Return a Run that draws large pictures of one small one; the first has the lane's own noise.

    Raises:
        PlaygroundError: there is too much to decide at once, or the lane does not fit.
    """
    tokenizer, bos = loaded.tokenizer, loaded.tokenizer.bos_token
    if plan.count * tokenizer.size > MAX_VALUES:
        raise ConfigError(
            f"{plan.count} pictures of {tokenizer.size:,} values each are "
            f"{plan.count * tokenizer.size:,}; at most {MAX_VALUES:,} are decided in one run. Take "
            "fewer."
        )
    small, tokens = small_of(loaded, choice), tokenizer.encode(choice.pixels)
    condition = torch.from_numpy(small)
    lanes = [replace(lane, sample=lane.sample + i) for i in range(plan.count)]
    with turn():
        model = as_drawn(loaded.model, bos, condition, plan.guidance)
        whole = torch.tensor([tokens])
        bits = bits_per_dim(loaded.model, whole, bos, condition[None])
        bits_untold = bits_per_dim(loaded.model, whole, bos)
    run = Run(
        model, [bos], lanes, max_new_tokens=tokenizer.size, eos_token=tokenizer.eos_token,
        n_candidates=1, tokenizer=tokenizer,
    )  # fmt: skip
    return Enlarged(
        identity_of(loaded, lane, choice, plan), run, loaded.card.name, tokenizer, small,
        tokenizer.decode(tokens), bits, bits_untold,
    )  # fmt: skip


# -- what there is to see --------------------------------------------------------------------------


def nearest(small: np.ndarray, tokenizer: ImageTokenizer) -> np.ndarray:
    """Return a small picture with each pixel as a square: what the model is told, as large."""
    factor = tokenizer.height // small.shape[0]
    return small.repeat(factor, 0).repeat(factor, 1)


def bicubic(small: np.ndarray, tokenizer: ImageTokenizer) -> np.ndarray:
    """Return a small picture (h, w, channels) enlarged without a model, by cubic polynomials."""
    image = Image.fromarray(small[:, :, 0] if tokenizer.channels == 1 else small)
    image = image.resize((tokenizer.width, tokenizer.height), Image.Resampling.BICUBIC)
    return np.asarray(image, np.uint8).reshape(
        tokenizer.height, tokenizer.width, tokenizer.channels
    )


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the root of the mean squared difference of two pictures of one shape, 0 to 255."""
    return float(np.sqrt(np.mean((one.astype(np.float64) - other) ** 2)))


@dataclass(frozen=True)
class Distances:
    """Root mean squared differences, 0 to 255, of finished pictures."""

    bicubic: float  # in the model's levels, to the original, as are the next two
    samples: float  # the mean over samples
    mean: float  # of the mean of all samples
    again: float  # of the samples, averaged down again, to what was told; the mean over them
    original_again: float  # of the original in the model's levels: what the levels alone cost


def distances_of(outcome: Enlarged, pixels: Sequence[np.ndarray]) -> Distances:
    """Return how far finished samples (H, W, channels) are from the original and the input."""
    factor = outcome.tokenizer.height // outcome.small.shape[0]
    told, tokenizer = outcome.small, outcome.tokenizer
    without_model = tokenizer.decode(tokenizer.encode(bicubic(told, tokenizer)))
    return Distances(
        distance(without_model, outcome.original),
        float(np.mean([distance(own, outcome.original) for own in pixels])),
        distance(np.mean(pixels, axis=0), outcome.original),
        float(np.mean([distance(area_average(own, factor), told) for own in pixels])),
        distance(area_average(outcome.original, factor), told),
    )
