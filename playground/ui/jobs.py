"""Work for one visitor that comes in parts: begun, gone on with tick by tick, stopped, and drawn.

Everything that is computed is an iterator: stopping is ceasing to iterate, and what was found
stays.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from playground.errors import PlaygroundError
from playground.ui.controls import plain
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


def buttons(job: Job, title: str, begin: Callable[[], None], key: str) -> None:
    """Begin, or stop while it goes on."""
    if job.going is not None:
        st.button("Stop", icon=":material/stop:", key=f"{key}_stop", on_click=job.stop)
    else:
        st.button(title, type="primary", icon=":material/play_arrow:", key=f"{key}_start",
                  on_click=begin)  # fmt: skip


def ticking(job: Job, draw: Callable[[], None], what: str) -> None:
    """Go on with a job in a fragment of its own, and draw what is known.

    The bar stands before the first part is computed, which may have to read a model.
    """
    is_going = job.going is not None

    @st.fragment(run_every=TICK_S + 0.05 if is_going else None)
    def progress() -> None:
        bar = st.empty()
        _show_progress(bar, job, what)
        job.advance()
        if is_going and job.going is None:
            st.rerun()  # buttons and files concern the whole page
        _show_progress(bar, job, what)
        if job.problem:
            st.error(plain(job.problem))
        if job.found:
            draw()

    progress()


def _show_progress(bar: Any, job: Job, what: str) -> None:
    if job.going is not None:
        done = len(job.found)
        bar.progress(min(1.0, done / max(1, job.total)), f"{done:,} of {job.total:,} {what}")
