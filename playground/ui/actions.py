"""What buttons, charts and ticks do to a visitor's Stepper; problems become a message."""

from __future__ import annotations

import time
from collections.abc import Callable

from playground.decoding.lane import Lane
from playground.decoding.stepper import Stepper
from playground.errors import PlaygroundError
from playground.ui import state
from playground.ui.resources import Loaded, turn
from playground.ui.state import TextSession

TICK_S = 0.15  # of computing in one tick of Run


def open_session(loaded: Loaded, prompt: str, lane: Lane, slide: bool) -> TextSession:
    """Return the visitor's session for these settings, afresh if model, prompt or seed changed.

    Raises:
        PlaygroundError: the prompt cannot be read by this model.
    """
    session = state.text_session()
    identity = (loaded.card.name, id(loaded.model), prompt, lane.seed)
    if session.identity != identity or session.stepper is None:
        session.pace = "still"  # but what there was is kept until the new prompt has been read
        tokenizer = loaded.tokenizer
        tokens = [tokenizer.bos_token, *tokenizer.encode(prompt)]
        with turn():
            session.stepper = Stepper(
                loaded.model, loaded.card.name, tokens,
                seed=lane.seed, eos_token=tokenizer.eos_token, slide=slide,
                tokenizer=tokenizer,
            )  # fmt: skip
        session.identity, session.problem = identity, ""
    if session.stepper.slide != slide:
        session.stepper.slide, session.problem = slide, ""
    return session


def attempt(session: TextSession, action: Callable[[Stepper], object]) -> None:
    """Do one thing to the stepper; a problem stops playing and is shown."""
    session.problem = ""
    session.notes.clear()
    try:
        with turn():
            action(session.stepper)
    except PlaygroundError as error:
        session.problem, session.pace = str(error), "still"


def step(session: TextSession, lane: Lane) -> None:
    attempt(session, lambda stepper: stepper.step(lane))


def back(session: TextSession) -> None:
    session.pace = "still"
    attempt(session, lambda stepper: stepper.back())


def reset(session: TextSession) -> None:
    """Forget all branches; the next run of the page starts afresh."""
    session.identity = ()


def tick_interval(session: TextSession, speed: int) -> float | None:
    """Return the seconds between two ticks, None while nothing plays."""
    return {"still": None, "play": 1 / speed, "run": TICK_S + 0.05}[session.pace]


def set_pace(session: TextSession, pace: str) -> None:
    session.pace = "still" if session.pace == pace else pace


def tick(session: TextSession, lane: Lane, length: int) -> None:
    """Go on by one token (play) or by as many as fit into a tick (run)."""
    if session.pace == "still":
        return
    deadline = time.monotonic() + TICK_S
    while session.pace != "still":
        stepper = session.stepper
        made = stepper.cursor - len(stepper.branch.trace.prompt)
        if made >= length or stepper.has_ended:
            session.pace = "still"
            return
        step(session, lane)
        if session.pace == "play" or time.monotonic() > deadline:
            return


def go_to(session: TextSession, position: object) -> None:
    if isinstance(position, int | float):
        session.pace = "still"
        attempt(session, lambda stepper: stepper.go_to(int(position)))


def take(session: TextSession, lane: Lane, sid: object) -> None:
    """Take the token of "position:token" if that position is still the cursor's.

    Events of a chart may arrive twice or late; the position makes them harmless.
    """
    try:
        position, token = (int(part) for part in str(sid).split(":"))
    except ValueError:
        return
    if position == session.stepper.cursor:
        session.pace = "still"
        attempt(session, lambda stepper: stepper.take(token, lane))


def from_chart(session: TextSession, lane: Lane) -> None:
    take(session, lane, (state.event("candidates", "take") or {}).get("sid"))


def from_timeline(session: TextSession) -> None:
    go_to(session, (state.event("timeline", "go") or {}).get("position"))


def from_strip(session: TextSession) -> None:
    go_to(session, (state.event("strip", "go") or {}).get("position"))


def from_list(session: TextSession, lane: Lane) -> None:
    take(session, lane, state.take_value("other"))


def from_maps(session: TextSession) -> None:
    chosen = state.event("maps", "head") or {}
    session.layer, session.head = int(chosen.get("layer", 0)), int(chosen.get("head", 0))
    session.head_is_chosen = True


def from_branches(session: TextSession) -> None:
    name = state.take_value("branch")
    if name:
        session.pace = "still"
        attempt(session, lambda stepper: stepper.switch(name))


def rename(session: TextSession) -> None:
    name = state.take_value("rename")
    if name:
        attempt(session, lambda stepper: stepper.rename(name))
