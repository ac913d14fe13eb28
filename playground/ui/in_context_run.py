"""What the in-context panel computes for one visitor, tick by tick: answers, scores of heads."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import streamlit as st

from playground.errors import PlaygroundError
from playground.inspection.in_context import Answer, Prompt, answers
from playground.inspection.induction import LENGTH, SEQUENCES, Induction, induction
from playground.models.base import ARModel
from playground.ui.resources import turn

TICK_S = 0.3  # of computing in one tick


@dataclass(eq=False)
class Job:
    """Something that comes in parts; as far as it has come."""

    identity: Hashable = ()  # of what `found` was asked of: model and settings
    going: Iterator[Any] | None = None
    found: list = field(default_factory=list)
    total: int = 0
    problem: str = ""

    def begin(self, identity: Hashable, parts: Iterator[Any], total: int) -> None:
        self.__init__(identity, parts, total=total)

    def stop(self) -> None:
        self.going = None

    def refuse(self, problem: str) -> None:
        """Tell why it cannot begin; what was found before stays."""
        self.going, self.problem = None, problem

    def advance(self) -> None:
        """Go on for TICK_S; a problem ends it."""
        deadline = time.monotonic() + TICK_S
        try:
            while self.going is not None and time.monotonic() < deadline:
                with turn():
                    part = next(self.going, None)
                if part is None:
                    self.going = None
                else:
                    self.found.append(part)
        except PlaygroundError as error:
            self.going, self.problem = None, str(error)


def job(key: str) -> Job:
    """Return what this visitor computes in the section `key`."""
    return st.session_state.setdefault(f"_{key}_job", Job())


def ask(model: ARModel, tokenizer: Any, prompts: list[Prompt]) -> Iterator[Answer]:
    """Yield what the model thinks of every prompt, all counts of a trial before the next trial.

    So the chart is whole, if rough, from the first trial on.
    """
    order = sorted(prompts, key=lambda prompt: (prompt.trial, prompt.examples))
    return answers(model, tokenizer, order)


def score_heads(model: ARModel, tokenizer: Any, seed: int) -> Iterator[Induction]:
    """Yield the scores of all heads on one sequence of noise after another."""
    for number in range(SEQUENCES):
        yield induction(model, tokenizer, LENGTH, 1, seed * SEQUENCES + number)


def together(found: list[Induction]) -> Induction:
    """Return the mean of scores that each come from one sequence."""
    of_each = np.stack([one.induction for one in found])
    return Induction(
        sequences=np.concatenate([one.sequences for one in found]),
        induction=of_each.mean(0),
        previous=np.mean([one.previous for one in found], axis=0),
        spread=of_each.std(0),
        chance=found[0].chance,
        bits=np.mean([one.bits for one in found], axis=0),
    )
