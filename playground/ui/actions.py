"""What buttons, charts and ticks do to a visitor's Stepper; problems become a message."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence

from playground.decoding.decide import N_CANDIDATES
from playground.decoding.lane import Lane
from playground.decoding.stepper import MAX_TOKENS, Stepper
from playground.errors import PlaygroundError
from playground.models.base import ARModel
from playground.ui import state
from playground.ui.resources import Loaded, turn
from playground.ui.state import Session

TICK_S = 0.15  # of computing in one tick of Run
LONGEST_S = 1.0  # of Play, whose ticks decide whole rows
BURST_S = 0.05  # of computing in one go, which holds a turn
MOST_AT_ONCE = 2048  # tokens in one go


def open_session(
    session: Session,
    loaded: Loaded,
    begin: Hashable,
    tokens: Callable[[], Sequence[int]],
    lane: Lane,
    *,
    model: ARModel | None = None,
    slide: bool = False,
    longest: int = MAX_TOKENS,
    n_candidates: int = N_CANDIDATES,
    end_token: int | None = None,
) -> bool:
    """Start the session afresh if model, beginning or seed have changed; return whether they had.

    Args:
        begin: all that the beginning and `model` depend on besides `loaded`.
        tokens: makes what the beginning consists of, BOS left out.
        model: what is stepped, if that is not the trained model itself.
        longest: most tokens of what has an end of its own, BOS counted.
        n_candidates: of the likeliest tokens, what every decision keeps.
        end_token: what ends it, if that is not the tokenizer's own.

    Raises:
        PlaygroundError: the beginning cannot be read by this model.
    """
    identity = (loaded.card.name, id(loaded.model), begin, lane.seed)
    is_new = session.identity != identity or session.stepper is None
    if is_new:
        session.pace = "still"  # but what there was is kept until the new prompt has been read
        tokenizer = loaded.tokenizer
        prompt = [tokenizer.bos_token, *tokens()]
        with turn():
            session.stepper = Stepper(
                model or loaded.model, loaded.card.name, prompt,
                seed=lane.seed, slide=slide,
                eos_token=tokenizer.eos_token if end_token is None else end_token,
                tokenizer=tokenizer, longest=longest, n_candidates=n_candidates,
            )  # fmt: skip
        session.identity, session.problem = identity, ""
    if session.stepper.slide != slide:
        session.stepper.slide, session.problem = slide, ""
    return is_new


def attempt(session: Session, action: Callable[[Stepper], object]) -> None:
    """Do one thing to the stepper; a problem stops playing and is shown."""
    state.notes().clear()
    _attempt(session, action)


def _attempt(session: Session, action: Callable[[Stepper], object]) -> None:
    """Do it without a look at Streamlit's state, at which another click would end a tick midway."""
    session.problem = ""
    try:
        with turn():
            action(session.stepper)
    except PlaygroundError as error:
        session.problem, session.pace = str(error), "still"


def step(session: Session, lane: Lane) -> None:
    attempt(session, lambda stepper: stepper.step(lane))


def step_on(session: Session, lane: Lane, count: int) -> None:
    """Take `count` steps, or as many as there are left."""
    session.pace = "still"
    attempt(session, lambda stepper: any(not stepper.step(lane) for _ in range(count)))


def back(session: Session) -> None:
    session.pace = "still"
    attempt(session, lambda stepper: stepper.back())


def reset(session: Session) -> None:
    """Forget all branches; the next run of the page starts afresh."""
    session.identity = ()


def tick_interval(session: Session, speed: float) -> float | None:
    """Return the seconds between two ticks, None while nothing plays; `speed`: ticks a second."""
    return {"still": None, "play": 1 / speed, "run": TICK_S + 0.05}[session.pace]


def set_pace(session: Session, pace: str) -> None:
    session.pace = "still" if session.pace == pace else pace


def one_step(stepper: Stepper, lane: Lane, count: int) -> int:
    """Decide the next token, whatever `count` is; return how many were decided."""
    return int(stepper.step(lane))


def tick(
    session: Session,
    lane: Lane,
    length: int,
    at_once: int = 1,
    advance: Callable[[Stepper, Lane, int], int] = one_step,
) -> None:
    """Go on by `at_once` tokens (play) or by as many as fit into a tick (run).

    `advance` decides up to as many tokens as it is told, and says how many it has; it is told more
    while that is done in no time.
    """
    if session.pace == "still":
        return
    deadline = time.monotonic() + (TICK_S if session.pace == "run" else LONGEST_S)
    made_now = 0
    state.notes().clear()
    while session.pace != "still":
        stepper = session.stepper
        made = stepper.cursor - len(stepper.branch.trace.prompt)
        if made >= length or stepper.has_ended:
            session.pace = "still"
            return
        left = at_once - made_now if session.pace == "play" else length - made
        count, begun = min(left, session.burst), time.monotonic()
        before = stepper.cursor
        _attempt(session, lambda stepper, count=count: advance(stepper, lane, count))
        made_now += stepper.cursor - before
        now = time.monotonic()
        session.burst = _burst(session.burst, now - begun)
        if now > deadline or (session.pace == "play" and made_now >= at_once):
            return


def _burst(count: int, took: float) -> int:
    """Return how many tokens to decide in one go after `count` took so many seconds."""
    if took < BURST_S / 2:
        return min(2 * count, MOST_AT_ONCE)
    return max(1, count // 2) if took > BURST_S else count


def go_to(session: Session, position: object) -> None:
    if isinstance(position, int | float):
        session.pace = "still"
        attempt(session, lambda stepper: stepper.go_to(int(position)))


def take(session: Session, lane: Lane, sid: object) -> None:
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


def from_chart(session: Session, lane: Lane) -> None:
    take(session, lane, (state.event("candidates", "take") or {}).get("sid"))


def from_timeline(session: Session) -> None:
    go_to(session, (state.event("timeline", "go") or {}).get("position"))


def from_strip(session: Session) -> None:
    go_to(session, (state.event("strip", "go") or {}).get("position"))


def from_list(session: Session, lane: Lane) -> None:
    take(session, lane, state.take_value("other"))


def from_maps(session: Session) -> None:
    chosen = state.event("maps", "head") or {}
    session.layer, session.head = int(chosen.get("layer", 0)), int(chosen.get("head", 0))
    session.head_is_chosen = True


def from_branches(session: Session) -> None:
    name = state.take_value("branch")
    if name:
        session.pace = "still"
        attempt(session, lambda stepper: stepper.switch(name))


def rename(session: Session) -> None:
    name = state.take_value("rename")
    if name:
        attempt(session, lambda stepper: stepper.rename(name))
