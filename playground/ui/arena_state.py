"""What the Arena remembers of one visitor, and the database that all share."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from urllib.parse import urlencode

import streamlit as st

from playground import registry
from playground.comparison.kinds import KINDS
from playground.decoding.spec import LaneSpec, specs_from_text, specs_to_text
from playground.errors import PlaygroundError
from playground.registry import ModelCard
from playground.ui import state
from playground.ui.arena_pairs import MAX_CONTESTANTS, Arena, Pair
from playground.votes.hub import REPO, TOKEN, Publisher, publisher_of
from playground.votes.store import Store, place
from playground.votes.vote import Vote, new_judge

LINK, WHO = "contestants", "voter"  # parameters of the address bar
USUAL = 3  # contestants of a first visit


@dataclass
class ArenaSession:
    """The Arena of one visitor."""

    judge: str
    stage: str = "idle"  # then "making", "voting", "revealed"
    pair: Pair | None = None
    verdicts: dict[str, str] = field(default_factory=dict)  # of the pair, by criterion
    given: int = 0  # votes of this visit that were kept
    told: str = ""  # what became of the last vote
    problem: str = ""
    contestants: dict[str, list[LaneSpec]] = field(default_factory=dict)  # by modality
    imported: tuple[str, list[Vote], int] | None = None  # a file's name, votes, lines said again
    import_problem: str = ""

    def forget_pair(self) -> None:
        self.stage, self.pair, self.verdicts, self.problem = "idle", None, {}, ""


def arena_session() -> ArenaSession:
    """Return this visitor's Arena; a random id in the address bar outlives a reload."""
    found = st.session_state.get("_arena")
    if found is None:
        named = st.query_params.get(WHO, "")
        judge = named if re.fullmatch("[0-9a-f]{16}", named) else new_judge()
        found = st.session_state["_arena"] = ArenaSession(judge)
    if st.query_params.get(WHO) != found.judge:
        st.query_params[WHO] = found.judge
    return found


def contestants(
    session: ArenaSession, modality: str, cards: dict[str, ModelCard]
) -> list[LaneSpec]:
    """Return who competes; at first those of the link, else some usual ways to decode."""
    if modality not in session.contestants:
        session.contestants[modality] = _linked(modality, cards) or usual(modality, cards)
    return session.contestants[modality]


def usual(modality: str, cards: dict[str, ModelCard]) -> list[LaneSpec]:
    offer, model = KINDS[modality].offer, next(iter(cards))
    specs = [offer.presets[name].but(samples=1, model=model) for name in offer.usual]
    return [spec for spec in specs if not spec.needs_second and not spec.combination][:USUAL]


def write_link(session: ArenaSession, arena: Arena, cards: dict[str, ModelCard]) -> None:
    """Let the address bar carry who competes; the usual ones need not be said."""
    own = list(arena.contestants)
    text = "" if own == usual(arena.modality, cards) else specs_to_text(own)
    if text == st.query_params.get(LINK, ""):
        return
    if text:
        st.query_params[LINK] = text
    else:
        del st.query_params[LINK]


def _linked(modality: str, cards: dict[str, ModelCard]) -> list[LaneSpec]:
    text = st.query_params.get(LINK)
    if not text:
        return []
    try:
        specs = specs_from_text(text, MAX_CONTESTANTS)
    except PlaygroundError as error:
        state.tell(f"The contestants of the link cannot be used: {error} The usual ones compete.")
        return []
    if not all(spec.model in cards for spec in specs):
        if not any(spec.model in registry.available(m) for spec in specs for m in KINDS):
            state.tell(
                f"The link lets models compete that are not here: "
                f"{', '.join(spec.model[:40] or 'without a name' for spec in specs[:4])}. The "
                "usual ones compete."
            )
        return []
    return [spec.but(samples=1) for spec in specs]


def votes() -> tuple[Store, Publisher | None]:
    """Return the database of votes, and what pushes it to the Hub where that is set up.

    Raises:
        ConfigError: the environment names what cannot be one.
    """
    path = place(os.environ, registry.ROOT)
    return _votes(str(path), os.environ.get(REPO, ""), bool(os.environ.get(TOKEN)))


@st.cache_resource(max_entries=4, show_spinner=False)
def _votes(path: str, repo: str, has_token: bool) -> tuple[Store, Publisher | None]:
    store = Store(place({"PLAYGROUND_VOTES": path}, registry.ROOT))
    publisher = publisher_of(store, os.environ)
    if publisher is not None:
        publisher.start()
    return store, publisher


def pushed(publisher: Publisher | None) -> str:
    """Say what becomes of votes beyond this machine, "" where nothing was asked for."""
    if publisher is not None:
        return publisher.state().says(time.time())
    if repo := os.environ.get(REPO, "").strip():
        return (
            f"Votes stay on this machine: the data set {repo[:100]} is named in {REPO}, but no "
            f"token is set in {TOKEN}."
        )
    return ""


def link_for_another() -> str:
    """Return the address of this arena for another judge, who gets an id of their own."""
    told = {k: v for k, v in st.query_params.to_dict().items() if k != WHO}
    return f"{(st.context.url or '').split('?')[0]}?{urlencode(told)}"
