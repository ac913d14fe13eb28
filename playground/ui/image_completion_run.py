"""What the completion of a picture computes: k lanes of one Run, and what to say of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import streamlit as st
import torch

from playground.decoding.run import Run
from playground.errors import ConfigError, PlaygroundError
from playground.evaluation.bits_per_dim import surprisal_of_pictures
from playground.tokenizers.image import ImageTokenizer
from playground.traces import metrics
from playground.traces.trace import Trace
from playground.ui.image_setting import ImageSetting
from playground.ui.picture_input import PictureChoice, known_after
from playground.ui.resources import turn

TICK_S = 0.12  # of computing in one tick
FIRST_TICK_S = 0.03  # so that something is on screen at once
MAX_COMPLETIONS = 16
MAX_VALUES = 50_000  # decided by all completions of a run: their traces are kept in memory
SPREAD = 127.5  # the most that a value's standard deviation can be: half black, half white


@dataclass(frozen=True)
class Plan:
    """How a picture is to be completed."""

    kept: int  # tokens that are given
    count: int  # completions
    noise: int  # which set of draws with the seed


@dataclass(eq=False)
class Outcome:
    """A run, and what it was begun with."""

    identity: tuple
    run: Run
    model: str
    tokenizer: ImageTokenizer
    original: tuple[int, ...]
    choice: PictureChoice
    plan: Plan
    rest_bits: float | None  # bits per dimension of what the picture itself goes on with

    @property
    def made(self) -> int:
        """Values that every completion has."""
        return self.run.made

    def traces(self) -> list[Trace]:
        return [self.run.trace(i, self.model) for i in range(self.plan.count)]


@dataclass
class CompletionSession:
    """The completions of one visitor."""

    pace: str = "still"  # or "run"
    outcome: Outcome | None = None
    is_asked: bool = False  # to begin, once the widgets have been read that changed with the click
    chosen: int = 0  # which completion is looked at closely
    problem: str = ""


def completion_session() -> CompletionSession:
    """Return this visitor's completions."""
    return st.session_state.setdefault("_completion", CompletionSession())


def identity_of(setting: ImageSetting, tokens: Sequence[int], plan: Plan) -> tuple:
    """Return what a run depends on: the same gives the same pictures."""
    told = (setting.loaded.card.name, id(setting.loaded.model), setting.label, setting.guidance)
    return (*told, setting.lane, tuple(tokens), plan)


def ask(session: CompletionSession) -> None:
    session.is_asked = True


def start(
    session: CompletionSession, setting: ImageSetting, choice: PictureChoice, plan: Plan
) -> None:
    """Begin anew; what does not fit is told before any work, and what was is kept."""
    session.problem, session.is_asked = "", False
    try:
        session.outcome = begin(setting, choice, plan)
    except PlaygroundError as error:
        session.problem, session.pace = str(error), "still"
        return
    session.pace, session.chosen = "run", 0


def begin(setting: ImageSetting, choice: PictureChoice, plan: Plan) -> Outcome:
    """Return a Run that goes on from the first `plan.kept` tokens of a picture.

    Raises:
        PlaygroundError: there is too much to decide at once, or the lane does not fit.
    """
    tokenizer = setting.loaded.tokenizer
    tokens = tokenizer.encode(choice.pixels)
    missing = tokenizer.size - plan.kept
    if plan.count * missing > MAX_VALUES:
        raise ConfigError(
            f"{plan.count} completions of {missing:,} values each are {plan.count * missing:,}; at "
            f"most {MAX_VALUES:,} are decided in one run. Keep more of the picture, or take fewer."
        )
    prompt = [tokenizer.bos_token, *tokens[: plan.kept]]
    # Draws of one seed, so that the first of them is what Step-through goes on with.
    first = setting.lane.sample + plan.noise * MAX_COMPLETIONS
    lanes = [replace(setting.lane, sample=first + i) for i in range(plan.count)]
    run = Run(
        setting.model, prompt, lanes, max_new_tokens=missing, eos_token=tokenizer.eos_token,
        n_candidates=1, tokenizer=tokenizer,
    )  # fmt: skip
    rest_bits = None
    if choice.decided is None:
        with turn():
            whole = torch.tensor([tokens])
            bits = surprisal_of_pictures(setting.model, whole, tokenizer.bos_token)
        rest_bits = bits[0, plan.kept :].double().mean().item()
    return Outcome(
        identity_of(setting, tokens, plan), run, setting.loaded.card.name, tokenizer,
        tuple(tokens), choice, plan, rest_bits,
    )  # fmt: skip


def stop(session: CompletionSession) -> None:
    session.pace = "still"


def interval(session: CompletionSession) -> float | None:
    """Return the seconds between two ticks, None while nothing goes on."""
    return TICK_S + 0.05 if session.pace == "run" else None


def tick(session: CompletionSession) -> None:
    """Go on for a moment; nothing is decided between ticks, so whoever leaves stops the model."""
    outcome = session.outcome
    if session.pace != "run" or outcome is None:
        session.pace = "still"
        return
    deadline = time.monotonic() + (TICK_S if outcome.made else FIRST_TICK_S)
    while session.pace == "run":
        try:
            with turn():
                going = next(outcome.run, None)
        except PlaygroundError as error:
            session.problem, session.pace = str(error), "still"
            return
        if going is None or outcome.run.is_done:
            session.pace = "still"
        if time.monotonic() > deadline:
            return


# -- what there is to see --------------------------------------------------------------------------


def pictures_of(outcome: Outcome, traces: Sequence[Trace]) -> tuple[list, list]:
    """Return the pixels (H, W, channels) of every completion, and what is known of them (H, W)."""
    tokens = [trace.tokens[1:] for trace in traces]
    pixels = [outcome.tokenizer.decode(own) for own in tokens]
    return pixels, [known_after(outcome.tokenizer, len(own)) for own in tokens]


def caption(trace: Trace) -> str:
    """Say how likely what was completed is."""
    return f"{metrics.bits_per_token(trace.steps):.3f} bits" if trace.steps else "…"


def tip(index: int, trace: Trace) -> str:
    steps = trace.steps
    if not steps:
        return f"Completion {index + 1}"
    return (
        f"Completion {index + 1}\n{caption(trace)} per dimension of what was completed\n"
        f"{metrics.share_top(steps):.0%} were the model's first choice\nClick for its map"
    )


def disagreement(pixels: Sequence[np.ndarray]) -> np.ndarray:
    """Return the standard deviation (H, W) of completions (H, W, channels) around their mean.

    Channels are averaged; the unit is that of pixels, 0 to 127.5.
    """
    return np.stack(pixels).astype(np.float64).std(axis=0).mean(axis=-1)
