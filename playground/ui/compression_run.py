"""What the compression section computes for one visitor: a file in the making, tick by tick."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from playground.compression.codec import Compressed, Packing, Unpacked, Unpacking
from playground.compression.report import Row, report
from playground.errors import CompressionError, PlaygroundError
from playground.ui.resources import turn

TICK_S = 0.3  # of computing in one tick
CHUNK = 32  # tokens, between two looks at the clock
MAX_TOKENS = 60_000  # packed or unpacked here; the command line takes more


@dataclass(eq=False)
class CompressionSession:
    """What one visitor packs and unpacks in one section."""

    identity: Hashable = ()  # of the model and what it is told: another one starts afresh
    job: Packing | Unpacking | None = None  # while it goes on
    name: str = ""  # of what the job is about
    packed: Compressed | None = None
    packed_name: str = ""
    rows: list[Row] = field(default_factory=list)
    unpacked: Unpacked | None = None
    unpacked_name: str = ""
    problem: str = ""  # of the last action, shown until the next one


def compression_session(key: str, identity: Hashable) -> CompressionSession:
    """Return what this visitor packs in the section `key`, afresh under another model."""
    session = st.session_state.setdefault(f"_{key}_compression", CompressionSession())
    if session.identity != identity:
        session.__init__(identity)
    return session


def start(session: CompressionSession, name: str, make: Callable[[], Packing | Unpacking]) -> None:
    """Begin a job; what does not fit is told before any work, and what was is kept."""
    session.job, session.name, session.problem = None, name, ""
    try:
        with turn():
            job = make()
        if job.total > MAX_TOKENS:
            raise CompressionError(
                f"That is {job.total:,} tokens; at most {MAX_TOKENS:,} are packed or unpacked "
                "here. Take a part of it, or use python -m playground compress | decompress."
            )
        session.job = job
    except PlaygroundError as error:
        session.problem = str(error)


def stop(session: CompressionSession) -> None:
    session.job = None


def interval(session: CompressionSession) -> float | None:
    """Return the seconds between two ticks, None while nothing goes on."""
    return None if session.job is None else TICK_S + 0.05


def tick(session: CompressionSession, tokenizer: Any) -> None:
    """Go on for a moment; whoever leaves stops the model."""
    job, deadline = session.job, time.monotonic() + TICK_S
    if job is None:
        return
    try:
        going = True
        while going and time.monotonic() < deadline:
            with turn():
                going = job.advance(CHUNK)
        if going:
            return
        session.job = None
        if isinstance(job, Packing):
            session.packed, session.packed_name = job.result(), session.name
            session.rows = report(session.packed, tokenizer)
        else:
            session.unpacked, session.unpacked_name = job.result(), session.name
    except PlaygroundError as error:
        session.job, session.problem = None, str(error)
