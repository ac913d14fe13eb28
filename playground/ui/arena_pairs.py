"""Blind pairs: which two contestants meet, what they make, and in which order it is shown.

The pairs of an arena follow from its settings alone, so whoever opens the same link judges the
same pairs, and agreement can be measured. Only the order, left or right, is each judge's own.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from playground.comparison import Comparison, Loaded
from playground.comparison.conditions import alphabet_of, classes_of
from playground.comparison.sounds import length_of
from playground.decoding.spec import LaneSpec
from playground.errors import ConfigError
from playground.evaluation.judge import split_text
from playground.traces.trace import Trace
from playground.votes.vote import competitor, digest

MAX_CONTESTANTS = 8


@dataclass(frozen=True)
class Arena:
    """What competes, and over what. Every spec names its own model."""

    modality: str
    contestants: tuple[LaneSpec, ...]
    prompt: str = ""  # of texts
    told: str = ""  # class or text of pictures and sounds; "" for none
    length: int = 0  # tokens of a text
    seconds: float = 0.0  # of a sound
    seed: int = 0
    device: str = "cpu"

    @property
    def mark(self) -> str:
        """The same for the same pairs."""
        specs = sorted(map(mark_of, self.contestants))
        return digest(self.modality, specs, self.prompt, self.told, self.length, self.seconds,
                      self.seed, self.device)  # fmt: skip

    def check(self) -> None:
        """Raise ConfigError unless two different ways compete."""
        count = len({mark_of(spec) for spec in self.contestants})
        if count < 2:
            raise ConfigError(
                "A pair needs two different contestants. Add another way to decode, or another "
                "model."
            )
        if len(self.contestants) > MAX_CONTESTANTS:
            raise ConfigError(f"At most {MAX_CONTESTANTS} compete at once. Remove some.")

    def meeting(self, number: int) -> tuple[LaneSpec, LaneSpec]:
        """Return who meets in pair `number`: every two once before any two meet again."""
        by_mark = {mark_of(spec): spec for spec in self.contestants}
        pairs = list(combinations(sorted(by_mark), 2))
        around, place = divmod(number, len(pairs))
        random.Random(f"{self.mark} {around}").shuffle(pairs)
        one, other = pairs[place]
        return by_mark[one], by_mark[other]


def mark_of(spec: LaneSpec) -> str:
    """Return the mark by which votes know a way to decode."""
    return competitor(spec.label, json_of(spec))


def json_of(spec: LaneSpec) -> str:
    return json.dumps(spec.to_json(), ensure_ascii=False, sort_keys=True)


def name_of(spec: LaneSpec) -> str:
    return f"{spec.label} · {spec.model}"


@dataclass(frozen=True)
class Side:
    """What one contestant has made."""

    spec: LaneSpec
    trace: Trace
    tokenizer: Any

    @property
    def given(self) -> int:
        return len(self.trace.prompt)

    @property
    def content(self) -> str | np.ndarray:
        """A text, a picture (H, W, channels) or a sound (T,), without the prompt of a text."""
        if isinstance(shown := self.tokenizer.decode(self.trace.tokens), str):
            return split_text(self.trace.tokens, self.given, self.tokenizer)[1]
        return shown

    @property
    def bits(self) -> float:
        """Information of what was made, under the model that made it."""
        return math.fsum(step.surprisal for step in self.trace.steps)

    def likelihood(self) -> str:
        """Say how likely it was to its own model."""
        count = max(1, len(self.trace.steps))
        unit = "token" if isinstance(self.content, str) else "value"
        told = f"{self.bits / count:.3f} bits a {unit}"
        if isinstance(self.content, str) and self.content:
            told += f", {self.bits / len(self.content):.3f} bits a character"
        return f"{told} ({count:,} {unit}s, log p {-self.bits * math.log(2):,.1f})"


class Pair:
    """Two sides that grow together.

    Raises:
        ConfigError, PromptError: a contestant does not fit what is asked.
        CheckpointError: its model cannot be read.
    """

    def __init__(self, arena: Arena, number: int, load: Callable[[str], Loaded]):
        arena.check()
        self.arena, self.number = arena, number
        self._specs = arena.meeting(number)
        self._sides = [
            _comparison(arena, spec, load, seed=(arena.seed + 2 * number + i) % 2**31)
            for i, spec in enumerate(self._specs)
        ]
        self.positions = 0

    def advance(self) -> bool:
        """Decide one position of both; return False once both are whole."""
        going = [side.advance() for side in self._sides if not side.is_done]
        self.positions += 1
        return any(going)

    @property
    def share(self) -> float:
        """How much of it is made, from 0 to 1; a text may end before that."""
        return min(1.0, self.positions / max(1, *(side.length for side in self._sides)))

    def sides(self) -> tuple[Side, Side]:
        """Return both in the order of their marks, which all judges share."""
        return tuple(
            Side(spec, side.result(0).traces[0], side.tokenizer)
            for spec, side in zip(self._specs, self._sides, strict=True)
        )

    def mark(self) -> str:
        """Mark of what is shown: the same settings and the same two results."""
        return digest(self.arena.mark, self.number, [list(s.trace.tokens) for s in self.sides()])

    def as_shown(self, judge: str) -> tuple[Side, Side]:
        """Return both in the order in which this judge sees them."""
        one, other = self.sides()
        return (other, one) if int(digest(judge, self.mark())[:8], 16) % 2 else (one, other)


def _comparison(
    arena: Arena, spec: LaneSpec, load: Callable[[str], Loaded], seed: int
) -> Comparison:
    loaded = load(spec.model)
    length = arena.length
    if arena.modality != "text":
        length = length_of(loaded.tokenizer, arena.seconds) if arena.seconds else None
    knows = arena.told in classes_of(loaded) or bool(alphabet_of(loaded))
    return Comparison(
        [spec.but(samples=1, model="")], arena.prompt, model=spec.model, load=load, seed=seed,
        max_new_tokens=length, slide=arena.modality != "image",
        condition=arena.told if knows else "",
    )  # fmt: skip
