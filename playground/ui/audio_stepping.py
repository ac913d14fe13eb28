"""Step by step: the sound grows sample by sample, and each of them can be looked at."""

from __future__ import annotations

import streamlit as st

from playground.errors import PlaygroundError
from playground.ui import actions, audio_actions, audio_controls, audio_looks, state
from playground.ui import audio_views as views
from playground.ui.audio_setting import AudioSetting
from playground.ui.controls import plain
from playground.ui.resources import turn
from playground.ui.views import pace_buttons, step_buttons


def section(setting: AudioSetting) -> None:
    """Draw the whole section."""
    tokenizer = setting.tokenizer
    with st.sidebar:
        ticks, at_once = audio_controls.pace_picker(tokenizer.sample_rate)
    try:
        session = audio_actions.open_session(setting)
    except PlaygroundError as error:
        st.error(plain(str(error)))
        return
    st.caption(
        f"The model decides {tokenizer.sample_rate:,} samples for each second, one after another, "
        f"each of {tokenizer.levels} levels. Silence is the level in the middle; near it the "
        "levels lie close together, since the ear hears small steps there best (μ-law)."
    )
    interval = actions.tick_interval(session, ticks)
    if session.begin:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"The first {len(session.begin):,} samples are those that the link keeps.")
            st.button("Begin with nothing", key="begin_empty", type="tertiary",
                      on_click=audio_actions.begin_empty)  # fmt: skip

    with st.container(horizontal=True, key="buttons"):
        step_slot = st.container(horizontal=True, width="content")
        pace_buttons(session, audio_actions.reset, "until the longest that is set in the sidebar",
                     "what the sound began with" if session.begin else "nothing")  # fmt: skip
    with st.container(horizontal=True, gap="medium"):
        strip = views.strip_picker()
        look = audio_looks.picker(setting)
    board_slot, details_slot = st.container(), st.container()
    is_open = bool(state.open_sections())

    # What a step changes is drawn by a fragment; see text_stepping.py.
    @st.fragment(run_every=interval)
    def board() -> None:
        audio_actions.tick(session, setting, at_once)
        if session.pace == "still" and session.identity:
            audio_actions.follow(session, setting)
        as_before = actions.tick_interval(session, ticks) == interval and session.identity
        if not as_before or bool(state.open_sections()) != is_open:
            st.rerun()
        with step_slot:
            step_buttons(session, setting.lane, audio_actions.step)
            views.burst_button(session, setting)
        record = session.record(max(setting.longest, len(session.stepper.tokens)))
        step, problem = None, session.problem
        try:
            with turn():
                if not session.stepper.has_ended:
                    step = session.stepper.look(setting.lane)
        except PlaygroundError as error:
            problem = str(error)
        if problem:
            st.error(plain(problem))
        views.sound(setting, session, record, step, strip, look)
        left, right = st.columns([1, 1], gap="large")
        with left:
            views.player(setting, session)
        with right:
            if step is not None:
                views.levels(setting, session, step)
            elif session.stepper.has_ended:
                views.complete(setting, session, record)
        if is_open:
            with details_slot:
                views.details(setting, session, step)

    with board_slot:
        board()
    if not is_open:
        with details_slot:
            views.details(setting, session, None)
