"""What is remembered of something that grows and ends, and what a link keeps of it.

Pictures and sounds are stepped through in the same way: they begin with what the link keeps, go on
in branches, and their figures are read as they come.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import streamlit as st

from playground.traces.trace import Step
from playground.ui.state import Session

KEPT = "kept"  # in the link: what it began with


class Record:
    """Surprisal and entropy of the values of one branch; grows with it, value by value."""

    def __init__(self, size: int):
        self.length = 0
        self.last: Step | None = None
        self._numbers = np.empty((3, size))  # surprisal and entropy in bits, rank

    def update(self, steps: list[Step]) -> Record:
        """Read what has come to `steps`, all of the branch; another branch is read anew."""
        if self.length > len(steps) or (self.length and steps[self.length - 1] is not self.last):
            self.length = 0
        if (missing := len(steps) - self._numbers.shape[1]) > 0:  # more is wanted than before
            self._numbers = np.pad(self._numbers, ((0, 0), (0, missing)))
        for i in range(self.length, len(steps)):
            step = steps[i]
            self._numbers[:, i] = step.surprisal, step.entropy_bits, step.rank
        self.length, self.last = len(steps), steps[-1] if steps else None
        return self

    @property
    def surprisal(self) -> np.ndarray:
        return self._numbers[0, : self.length]

    @property
    def entropy(self) -> np.ndarray:
        return self._numbers[1, : self.length]

    @property
    def rank(self) -> np.ndarray:
        return self._numbers[2, : self.length]


@dataclass
class KeptSession(Session):
    """What one visitor steps through, whose beginning the link can keep."""

    settled: tuple = ()  # of what the beginning was read for: model, condition, guidance, seed
    begin: tuple[int, ...] = ()  # tokens that it began with, BOS left out
    link: object = ""  # what the address bar says of them: as it was read, or as it was written
    followed: int = 1  # branches that there were when the link was written
    decided: tuple = ()  # of the branch when last seen: its name, its settings, its tokens
    changed: dict[str, int] = field(default_factory=dict)  # by branch: tokens of older settings
    records: dict[str, Record] = field(default_factory=dict)  # by name of the branch
    looked: tuple = ()  # the last look at what one decision saw: what it is of, and what was found

    def forget(self) -> None:
        """Forget what was known of the branches of another stepper."""
        self.records.clear()
        self.changed.clear()
        self.looked, self.decided = (), ()
        self.followed = len(self.stepper.branches)

    def record(self, size: int) -> Record:
        """Return the figures of the branch, read as far as it has grown; it has room for `size`."""
        stepper = self.stepper
        record = self.records.setdefault(stepper.current, Record(size))
        return record.update(stepper.steps_by_position())

    def has_turned(self) -> bool:
        """Return whether the settings of the link alone would no longer draw the branch again.

        That is a branch that a step began, on from an earlier token, and a branch that goes on
        under other settings than it was begun with.
        """
        branch = self.stepper.branch
        trace, (name, settings, length) = branch.trace, self.decided or ("", {}, 0)
        self.decided = (branch.name, trace.settings, len(trace.tokens))
        has_changed = name == branch.name and len(trace.prompt) < length < len(trace.tokens)
        if has_changed and settings != trace.settings:
            self.changed[name] = length
            return True
        return len(self.stepper.branches) > self.followed


def kept_in_link(key: str = KEPT) -> str:
    """Return what the address bar says of the beginning."""
    return st.query_params.get(key, "")


def keep_in_link(text: str, key: str = KEPT) -> None:
    """Let the address bar say so; without text it says nothing."""
    if text == kept_in_link(key):
        return
    if text:
        st.query_params[key] = text
    else:
        del st.query_params[key]
