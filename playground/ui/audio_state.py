"""What the Audio page remembers of one visitor's sound."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import streamlit as st

from playground.ui.kept_state import KeptSession


@dataclass(frozen=True, eq=False)
class Heard:
    """A sound as it was when it last stood still: what there is to hear while it grows on."""

    tokens: tuple[int, ...]  # BOS left out
    samples: np.ndarray  # (T,) float32
    wav: bytes


NOTHING = Heard((), np.zeros(0, np.float32), b"")


@dataclass
class AudioSession(KeptSession):
    """The sound that one visitor steps through."""

    opened: tuple = ()  # what the link said when the sound was begun
    forced: dict[int, int] = field(default_factory=dict)  # by position: levels still to be taken
    goal: int | None = None  # samples to which the link lets it grow
    at: int | None = None  # the sample at which the link leaves the cursor then
    heard: Heard = NOTHING
    unkept: str = ""  # why the link does not keep this sound
    read: tuple = ()  # what the distributions of the newest samples are of, and they


def audio_session() -> AudioSession:
    """Return this visitor's sound."""
    return st.session_state.setdefault("_audio", AudioSession())
