"""Text: watch a language model choose one token at a time, and choose for it."""

import streamlit as st

from playground.decoding.decide import Lane
from playground.errors import ContextFullError, PlaygroundError
from playground.inspection.attention import HasAttention
from playground.registry import available
from playground.ui import actions, controls, resources, state, views
from playground.ui.resources import Loaded
from playground.ui.state import TextSession

controls.page_setup("Text")
st.title("Text, one token at a time")

with st.sidebar:
    cards = available("text")
    if not cards:
        st.error("There is no text model here. Train one: python -m train.text --help")
        st.stop()
    card = controls.model_picker(cards)
    try:
        prompt = controls.prompt_area()
        lane = controls.lane_controls()
        length, slide, speed = controls.length_controls()
    except PlaygroundError as error:
        st.error(controls.plain(str(error)))
        st.stop()

for note in state.text_session().notes:
    st.warning(controls.plain(note), icon=":material/link_off:")

try:
    loaded = resources.load_model(card)
    session = actions.open_session(loaded, prompt, lane, slide)
except ContextFullError as error:
    st.error(controls.plain(str(error)))
    st.button("Slide the window", on_click=state.set_widget, args=("slide", True))
    st.stop()
except PlaygroundError as error:
    st.error(controls.plain(str(error)))
    st.stop()
if not prompt:
    st.info("The prompt is empty: the model begins anywhere, from its start token alone.")

interval = actions.tick_interval(session, speed)


@st.fragment(run_every=interval)
def playground(session: TextSession, loaded: Loaded, lane: Lane, length: int) -> None:
    """Everything that a step changes; the controls in the sidebar stay as they are."""
    actions.tick(session, lane, length)
    if actions.tick_interval(session, speed) != interval or not session.identity:
        st.rerun()  # another pace, or a fresh start, concerns the whole page
    views.buttons(session, lane)
    color = views.color_picker(isinstance(loaded.model, HasAttention))
    seen = views.look_at(session, loaded) if color == "attention" else None
    views.text(session, loaded, color, seen)
    step, problem = None, session.problem
    try:
        with resources.turn():
            step = session.stepper.look(lane)
    except PlaygroundError as error:
        problem = str(error)
    if problem:
        st.error(controls.plain(problem))
    left, right = st.columns([3, 2], gap="large")
    with left:
        if step is not None:
            views.candidates(session, loaded, lane, step)
    with right:
        views.timeline(session, loaded)
    views.details(session, loaded, step, seen, color)


playground(session, loaded, lane, length)
