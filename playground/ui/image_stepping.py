"""Step through: the picture grows value by value, and each of them can be looked at."""

from __future__ import annotations

import streamlit as st

from playground.errors import PlaygroundError
from playground.ui import actions, image_actions, image_controls, image_looks, state
from playground.ui import image_views as views
from playground.ui.controls import plain
from playground.ui.image_setting import ImageSetting
from playground.ui.resources import turn
from playground.ui.views import pace_buttons, step_buttons


def section(setting: ImageSetting) -> None:
    """Draw the whole section."""
    tokenizer = setting.loaded.tokenizer
    with st.sidebar:
        ticks, at_once = image_controls.pace_picker(tokenizer)
        across = image_controls.zoom_picker()
    try:
        session = image_actions.open_session(setting)
    except PlaygroundError as error:
        st.error(plain(str(error)))
        return
    values = "its red, its green, then its blue value" if tokenizer.channels > 1 else "its value"
    levels = "levels of brightness" if tokenizer.channels == tokenizer.shape[2] else "colours"
    st.caption(
        f"The model decides pixel after pixel, for each {values}: one of {tokenizer.levels} "
        f"{levels}. Surprising ones cost many bits, expected ones few."
    )
    interval = actions.tick_interval(session, ticks)
    if session.begin:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"The first {len(session.begin)} of {tokenizer.size} values are those that "
                       "the link keeps.")  # fmt: skip
            st.button("Begin with nothing", key="begin_empty", type="tertiary",
                      on_click=image_actions.begin_empty)  # fmt: skip

    with st.container(horizontal=True, key="buttons"):
        step_slot = st.container(horizontal=True, width="content")
        pace_buttons(session, image_actions.reset, "until the picture is complete",
                     "what the picture began with" if session.begin else "nothing")  # fmt: skip
    overlay = image_looks.picker(setting)
    board_slot, details_slot = st.container(), st.container()
    is_open = bool(state.open_sections())

    # What a step changes is drawn by a fragment; see text_stepping.py.
    @st.fragment(run_every=interval)
    def board() -> None:
        actions.tick(session, setting.lane, tokenizer.size, at_once)
        image_actions.follow_steps(session)
        as_before = actions.tick_interval(session, ticks) == interval and session.identity
        if not as_before or bool(state.open_sections()) != is_open:
            st.rerun()
        with step_slot:
            step_buttons(session, setting.lane)
            views.row_button(session, setting)
        record = views.record_of(session)
        step, problem = None, session.problem
        try:
            with turn():
                if not session.stepper.has_ended:
                    step = session.stepper.look(setting.lane)
        except PlaygroundError as error:
            problem = str(error)
        if problem:
            st.error(plain(problem))
        is_wide = across > image_controls.ZOOMS["medium"]
        left, right = (
            (st.container(), st.container()) if is_wide else st.columns([1, 1], gap="large")
        )
        with left:
            views.canvas(setting, session, record, step, overlay, across)
        with right:
            if step is not None:
                views.levels(setting, session, step)
            elif session.stepper.has_ended:
                views.complete(session, record)
        if is_open:
            with details_slot:
                views.details(setting, session, step)

    with board_slot:
        board()
    if not is_open:
        with details_slot:
            views.details(setting, session, None)
