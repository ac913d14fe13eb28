"""What the Image page remembers of one visitor's picture, and what its link keeps of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import streamlit as st

from playground.traces.trace import Step
from playground.ui.state import Session

KEPT = "kept"  # in the link: the beginning of the picture, see image_link.py


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
class ImageSession(Session):
    """The picture that one visitor steps through."""

    settled: tuple = ()  # of what the beginning was read for: model, class, guidance, seed
    begin: tuple[int, ...] = ()  # tokens that the picture began with, BOS left out
    link: str = ""  # what the address bar says of them: as it was read, or as it was written
    followed: int = 1  # branches that there were when the link was written
    decided: tuple = ()  # of the branch when last seen: its name, its settings, its tokens
    changed: dict[str, int] = field(default_factory=dict)  # by branch: tokens of older settings
    records: dict[str, Record] = field(default_factory=dict)  # by name of the branch
    looked: tuple = ()  # the last map of where it looked: what it is of, and the map


def image_session() -> ImageSession:
    """Return this visitor's picture."""
    return st.session_state.setdefault("_image", ImageSession())


def kept_in_link() -> str:
    """Return what the address bar says of the beginning of the picture."""
    return st.query_params.get(KEPT, "")


def keep_in_link(text: str) -> None:
    """Let the address bar say so; without text it says nothing."""
    if text == kept_in_link():
        return
    if text:
        st.query_params[KEPT] = text
    else:
        del st.query_params[KEPT]
