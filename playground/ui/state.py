"""What one visitor's page remembers between reruns; nothing else touches session_state for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from playground.decoding.stepper import Stepper

SECTIONS = ("inside_open", "heat_open", "tree_open", "branches_open", "downloads_open")


@dataclass
class Session:
    """What one visitor steps through on a page, whatever its tokens stand for."""

    identity: tuple = ()  # of model, prompt and seed: another one starts afresh
    stepper: Stepper | None = None
    pace: str = "still"  # or "play" (so many a tick), or "run" (as many as a tick holds)
    burst: int = 1  # tokens that are decided in one go while it plays or runs
    layer: int = 0  # of the attention head that is enlarged
    head: int = 0
    head_is_chosen: bool = False  # until then the text shows the mean of all heads
    seen: tuple = ()  # inside of the model: the tokens it is of, and all that was seen of them
    problem: str = ""  # of the last action, shown until the next one


@dataclass
class Notes:
    """What was wrong with the link to a page."""

    page: str = ""
    texts: list[str] = field(default_factory=list)


def text_session() -> Session:
    """Return what this visitor steps through on the Text page."""
    return st.session_state.setdefault("_text", Session())


def begin_page(name: str) -> None:
    """Forget the notes about the link to another page."""
    if _notes().page != name:
        st.session_state["_notes"] = Notes(name)


def notes() -> list[str]:
    """Return what was wrong with the link, until the visitor does something."""
    return _notes().texts


def tell(note: str) -> None:
    """Keep a note about the link."""
    if note not in notes():
        notes().append(note)


def _notes() -> Notes:
    return st.session_state.setdefault("_notes", Notes())


def value(key: str) -> Any:
    """Return what a widget of another part of the page holds, None before it is drawn."""
    return st.session_state.get(key)


def open_sections() -> list[str]:
    """Return the keys of the expanders that are open."""
    return [key for key in SECTIONS if st.session_state.get(key)]


def event(key: str, name: str) -> Any:
    """Return what a component or chart of that key has just reported; for its callback."""
    return (st.session_state.get(key) or {}).get(name)


def take_value(key: str) -> Any:
    """Return what a widget that only gives orders holds, and empty it; for its callback."""
    value = st.session_state.get(key)
    st.session_state[key] = None
    return value


def take_text(key: str) -> str:
    """Return what a text field that only gives orders holds, and empty it; for its callback."""
    text = st.session_state.get(key) or ""
    st.session_state[key] = ""
    return text


def set_widget(key: str, value: Any) -> None:
    """Set a widget as if the visitor had; for callbacks, which run before it is drawn."""
    st.session_state[key] = value


def forget_widget(key: str) -> None:
    """Let a widget begin at its default the next time it is drawn."""
    st.session_state.pop(key, None)


def begin_widget(key: str, value: Any) -> None:
    """Let a widget begin at `value`, which may change later without disturbing it."""
    st.session_state.setdefault(key, value)
