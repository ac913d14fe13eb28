"""What buttons do in the Arena: a pair is made, judged, kept, and shown for what it was."""

from __future__ import annotations

import time

from playground.errors import PlaygroundError
from playground.registry import ModelCard
from playground.ui import arena_state
from playground.ui.arena_pairs import Arena, Pair, json_of, name_of
from playground.ui.arena_state import ArenaSession
from playground.ui.compare_actions import loader
from playground.ui.resources import turn
from playground.votes.vote import CRITERIA, Vote

TICK_S = 0.3  # of computing in one tick


def begin(session: ArenaSession, arena: Arena, cards: dict[str, ModelCard]) -> None:
    """Begin the next pair that this judge has not judged."""
    last = session.pair
    session.forget_pair()
    session.told = ""
    try:
        store, _ = arena_state.votes()
        number = store.next_number(arena.mark, session.judge)
        if last is not None and last.arena.mark == arena.mark:
            number = max(number, last.number + 1)  # one that was skipped stays skipped
        with turn():
            session.pair = Pair(arena, number, loader(cards, arena.device))
    except PlaygroundError as error:
        session.problem = str(error)
        return
    session.stage = "making"


def tick(session: ArenaSession) -> None:
    """Go on making the pair for a moment."""
    deadline = time.monotonic() + TICK_S
    while session.stage == "making" and time.monotonic() < deadline:
        try:
            with turn():
                going = session.pair.advance()
        except PlaygroundError as error:
            session.forget_pair()
            session.problem = str(error)
            return
        if not going:
            session.stage = "voting"


def stop(session: ArenaSession) -> None:
    session.forget_pair()


def open_criterion(session: ArenaSession) -> str | None:
    """Return what is asked next, None once all is said."""
    asked = CRITERIA[session.pair.arena.modality] if session.pair else ()
    return next((name for name in asked if name not in session.verdicts), None)


def say(session: ArenaSession, mark: str, criterion: str, verdict: str) -> None:
    """Note a verdict; after the last one the vote is kept, and who was who may be told.

    What comes from a page that shows another pair, or asked something else, is left alone.
    """
    is_meant = session.stage == "voting" and session.pair is not None
    if not is_meant or session.pair.mark() != mark or open_criterion(session) != criterion:
        return
    session.verdicts[criterion] = verdict
    if open_criterion(session) is None:
        send(session)


def take_back(session: ArenaSession) -> None:
    """Ask again what was said last."""
    if session.stage == "voting" and session.verdicts:
        session.verdicts.popitem()
        session.problem = ""


def send(session: ArenaSession) -> None:
    """Keep the vote; only once it is on the disk the pair is revealed."""
    if session.stage != "voting" or open_criterion(session) is not None:
        return
    try:
        store, publisher = arena_state.votes()
        vote = vote_of(session)
        is_new = store.record(vote)
    except PlaygroundError as error:
        session.problem = str(error)
        return
    session.problem = ""
    if is_new and publisher is not None:
        publisher.append(vote)
    session.given += is_new
    session.told = (
        "Your vote is kept." if is_new
        else "You had judged this pair before: your first vote counts, this one does not."
    )  # fmt: skip
    session.stage = "revealed"


def skip(session: ArenaSession) -> None:
    """Show who was who without a vote."""
    if session.stage == "voting":
        session.stage, session.problem = "revealed", ""
        session.told = "Skipped: no vote was kept."


def vote_of(session: ArenaSession) -> Vote:
    pair = session.pair
    one, other = pair.as_shown(session.judge)
    texts = [side.content if isinstance(side.content, str) else "" for side in (one, other)]
    return Vote(
        pair.mark(), session.judge, pair.arena.mark, pair.number, pair.arena.modality,
        name_of(one.spec), name_of(other.spec), json_of(one.spec), json_of(other.spec),
        dict(session.verdicts), *texts, prompt=pair.arena.prompt, told=pair.arena.told,
    )  # fmt: skip
