"""Step through: the text grows token by token, and each of them can be looked at."""

from __future__ import annotations

import streamlit as st

from playground.errors import ContextFullError, PlaygroundError
from playground.inspection.attention import has_attention
from playground.ui import (
    actions,
    compression,
    resources,
    state,
    text_details,
    translation,
    views,
)
from playground.ui.controls import plain
from playground.ui.text_setting import TextSetting


def section(setting: TextSetting) -> None:
    """Draw the whole section."""
    loaded, lane = setting.loaded, setting.lane
    session = state.text_session()
    try:
        with st.spinner("Reading the prompt …"):  # many tokens take a large model many seconds
            actions.open_session(
                session, loaded, setting.begin.identity, setting.begin.tokens, lane,
                model=setting.model, slide=setting.slide, end_token=setting.begin.end_token,
            )  # fmt: skip
    except PlaygroundError as error:
        st.error(plain(str(error)))
        if isinstance(error, ContextFullError):
            st.button("Slide the window", on_click=state.set_widget, args=("slide", True))
        return
    if not setting.begin.text:
        st.info("The prompt is empty: the model begins anywhere, from its start token alone.")
    interval = actions.tick_interval(session, setting.speed)

    # What a step changes is drawn by a fragment; what it leaves alone is not sent again. The
    # fragment reaches into a row of buttons and, while something there is open, into the details
    # below.
    with st.container(horizontal=True, key="buttons"):
        step_slot = st.container(horizontal=True, width="content")
        views.pace_buttons(session)
    views.color_picker(has_attention(loaded.model))
    board_slot, details_slot = st.container(), st.container()
    is_open = bool(state.open_sections())

    @st.fragment(run_every=interval)
    def board() -> None:
        """Everything that a step changes."""
        actions.tick(session, lane, setting.length)
        as_before = actions.tick_interval(session, setting.speed) == interval and session.identity
        if not as_before or bool(state.open_sections()) != is_open:
            st.rerun()  # another pace, a fresh start and other details concern the whole page
        with step_slot:
            views.step_buttons(session, lane)
        color = views.color_of(loaded)
        written = views.written(session.stepper.steps_by_position(), loaded.tokenizer)
        views.text(session, loaded, written, color)
        step, problem = None, session.problem
        try:
            with resources.turn():
                step = session.stepper.look(lane)
        except PlaygroundError as error:
            problem = str(error)
        if problem:
            st.error(plain(problem))
        left, right = st.columns([3, 2], gap="large")
        with left:
            if step is not None:
                views.candidates(session, loaded, lane, step)
        with right:
            views.timeline(session, written)
        if is_open:
            with details_slot:
                text_details.details(session, loaded, step, color)

    with board_slot:
        board()
    if not is_open:
        with details_slot:
            text_details.details(session, loaded, None, "")
    if not translation.has_source(loaded.model):  # a text about a source is no use without it
        compression.text_section(session, loaded)
