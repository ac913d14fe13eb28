"""Several sounds that grow side by side from one beginning, each by a lane of its own.

Each is a Stepper, which decides many samples of one sound in one go; all of them have always the
same number of samples.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from playground.decoding.lane import Lane
from playground.decoding.stepper import Stepper
from playground.errors import PlaygroundError
from playground.tokenizers.audio import AudioTokenizer
from playground.traces.trace import Step
from playground.ui.audio_setting import AudioSetting
from playground.ui.controls import plain
from playground.ui.resources import turn

TICK_S = 0.45  # of computing in one tick: every redraw makes players anew
FIRST_TICK_S = 0.1  # so that something is on screen at once
BURST = 80  # samples of one sound in one go, which holds a turn


@dataclass(eq=False)
class Voices:
    """Sounds with one beginning, and what they were begun with."""

    identity: Hashable
    steppers: list[Stepper]
    lanes: list[Lane]
    tokenizer: AudioTokenizer
    kept: int  # samples that were given
    longest: int  # samples that each may have

    @property
    def made(self) -> int:
        """Samples that every sound has, those that were given counted."""
        return min(len(stepper.tokens) for stepper in self.steppers) - 1

    @property
    def is_done(self) -> bool:
        return self.made >= self.longest

    def samples(self, index: int) -> np.ndarray:
        """Return a sound (T,) as far as it has grown."""
        return self.tokenizer.decode(self.steppers[index].tokens[1:])

    def steps(self, index: int) -> tuple[Step, ...]:
        """Return the decisions of a sound, without what was given."""
        return self.steppers[index].branch.trace.steps


@dataclass
class VoicesSession:
    """What one visitor lets grow side by side."""

    pace: str = "still"  # or "run"
    voices: Voices | None = None
    is_asked: bool = False  # to begin, once the widgets have been read that changed with the click
    problem: str = ""
    rest: tuple = ()  # what the bits of the original's own rest are of, and they


def voices_session(name: str) -> VoicesSession:
    """Return what this visitor lets grow in the section of that name."""
    return st.session_state.setdefault(f"_voices_{name}", VoicesSession())


def ask(session: VoicesSession) -> None:
    session.is_asked = True


def stop(session: VoicesSession) -> None:
    session.pace = "still"


def start(session: VoicesSession, make: Callable[[], Voices]) -> None:
    """Begin anew; what does not fit is told before any work, and what was is kept."""
    session.problem, session.is_asked = "", False
    try:
        with turn():
            session.voices = make()
    except PlaygroundError as error:
        session.problem, session.pace = str(error), "still"
        return
    session.pace = "run"


def begin(
    setting: AudioSetting,
    identity: Hashable,
    given: Sequence[int],
    lanes: Sequence[Lane],
    longest: int,
) -> Voices:
    """Return a sound for every lane, all going on from the tokens `given`.

    Raises:
        PlaygroundError: the model cannot read what is given, or a lane does not fit.
    """
    tokenizer = setting.tokenizer
    steppers = [
        Stepper(
            setting.model, setting.loaded.card.name, [tokenizer.bos_token, *given], seed=lane.seed,
            eos_token=tokenizer.eos_token, slide=setting.slides, tokenizer=tokenizer,
            longest=longest + 1, n_candidates=1,
        )
        for lane in lanes
    ]  # fmt: skip
    return Voices(identity, steppers, list(lanes), tokenizer, len(given), longest)


def interval(session: VoicesSession) -> float | None:
    """Return the seconds between two ticks, None while nothing goes on."""
    return TICK_S + 0.1 if session.pace == "run" else None


def tick(session: VoicesSession) -> None:
    """Go on for a moment; nothing is decided between ticks, so whoever leaves stops the model."""
    voices = session.voices
    if session.pace != "run" or voices is None:
        session.pace = "still"
        return
    is_first = voices.made == voices.kept
    deadline = time.monotonic() + (FIRST_TICK_S if is_first else TICK_S)
    while session.pace == "run":
        for stepper, lane in zip(voices.steppers, voices.lanes, strict=True):
            try:
                with turn():
                    stepper.run_ahead(lane, BURST)
            except PlaygroundError as error:
                session.problem, session.pace = str(error), "still"
                return
        if voices.is_done:
            session.pace = "still"
        if time.monotonic() > deadline:
            return


def buttons(session: VoicesSession, key: str, label: str) -> None:
    """Draw the button that begins, or the one that stops."""
    if session.pace == "run":
        st.button("Stop", type="primary", icon=":material/stop:", key=f"{key}_stop",
                  on_click=stop, args=(session,))  # fmt: skip
    else:
        st.button(label, type="primary", icon=":material/play_arrow:", key=f"{key}_start",
                  on_click=ask, args=(session,))  # fmt: skip


def growing(
    session: VoicesSession, identity: tuple, begin: str, changed: str,
    draw: Callable[[Voices], None],
) -> None:  # fmt: skip
    """Draw sounds as they grow, by a fragment; say how to begin, and if settings have changed."""
    shown, voices = interval(session), session.voices

    @st.fragment(run_every=shown)
    def board() -> None:
        """Everything that grows."""
        tick(session)
        if interval(session) != shown:
            st.rerun()  # the buttons above are the page's
        if session.problem:
            st.error(plain(session.problem))
        if voices is None:
            st.info(begin)
            return
        if voices.identity != identity and session.pace != "run":
            st.info(changed, icon=":material/update:")
        draw(voices)

    board()
