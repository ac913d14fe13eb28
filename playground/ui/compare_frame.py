"""What lanes of pictures and lanes of sounds have in common on the page: a frame each."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from playground.ui import compare_actions as actions
from playground.ui import controls
from playground.ui.compare_data import Drawn, summary
from playground.ui.compare_state import CompareSession, Entry

LANES_A_ROW = 4

Inside = Callable[[Entry, list[Drawn]], str]  # draws a lane; returns what is said below


def frames(session: CompareSession, inside: Inside) -> None:
    """Draw all lanes side by side: name, pencil, how they decode, then what `inside` draws."""
    count = len(session.entries)
    columns = min(LANES_A_ROW, count) if count != 5 and count != 6 else 3
    for first in range(0, count, columns or 1):
        row = session.entries[first : first + columns]
        for place, entry in zip(st.columns(columns), row, strict=False):
            with place:
                _frame(session, entry, inside)


def _frame(session: CompareSession, entry: Entry, inside: Inside) -> None:
    label = controls.plain(entry.spec.label)
    with st.container(border=True, key=f"lane_{entry.number}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{label}**")
            st.button(":material/edit:", key=f"edit_{entry.number}", type="tertiary",
                      help=f"Change the lane {label}", on_click=actions.open_editor,
                      args=(session, entry.number))  # fmt: skip
        st.caption(controls.plain(summary(entry.spec)))
        st.caption(inside(entry, session.drawn(entry)) or "…")
