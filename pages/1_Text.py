"""Text: watch a language model choose one token at a time, and choose for it."""

import streamlit as st

from playground.decoding.lane import Lane
from playground.errors import ContextFullError, PlaygroundError
from playground.inspection.attention import HasAttention
from playground.registry import available
from playground.ui import actions, compression, controls, resources, state, views
from playground.ui.lane_controls import lane_controls
from playground.ui.relatives import draft_of, kin_of
from playground.ui.resources import Loaded
from playground.ui.state import Session

controls.page_setup("Text")
st.title("Text, one token at a time")

with st.sidebar:
    cards = available("text")
    if not cards:
        st.error("There is no text model here. Train one: python -m train.text --help")
        st.stop()
    card = controls.model_picker(cards)
    try:
        loaded = resources.load_model(card)
        prompt = controls.prompt_area()
        kin = kin_of(card.name, cards)
        kin.sort(key=lambda name: name != draft_of(kin, cards))  # the likeliest draft first
        lane = lane_controls(
            loaded.tokenizer, kin, lambda name: resources.load_model(cards[name]).model
        )
        length, slide, speed = controls.length_controls()
    except PlaygroundError as error:
        st.error(controls.plain(str(error)))
        st.stop()

for note in state.notes():
    st.warning(controls.plain(note), icon=":material/link_off:")

session = state.text_session()
try:
    actions.open_session(
        session, loaded, prompt, lambda: loaded.tokenizer.encode(prompt), lane, slide=slide
    )
except PlaygroundError as error:
    st.error(controls.plain(str(error)))
    if isinstance(error, ContextFullError):
        st.button("Slide the window", on_click=state.set_widget, args=("slide", True))
    st.stop()
if not prompt:
    st.info("The prompt is empty: the model begins anywhere, from its start token alone.")

interval = actions.tick_interval(session, speed)


# What a step changes is drawn by a fragment; what it leaves alone is not sent again. The fragment
# reaches into a row of buttons and, while something there is open, into the details below.
with st.container(horizontal=True, key="buttons"):
    step_slot = st.container(horizontal=True, width="content")
    views.pace_buttons(session)
views.color_picker(isinstance(loaded.model, HasAttention))
board_slot, details_slot = st.container(), st.container()
is_open = bool(state.open_sections())


@st.fragment(run_every=interval)
def board(session: Session, loaded: Loaded, lane: Lane, length: int) -> None:
    """Everything that a step changes."""
    actions.tick(session, lane, length)
    as_before = actions.tick_interval(session, speed) == interval and session.identity
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
        st.error(controls.plain(problem))
    left, right = st.columns([3, 2], gap="large")
    with left:
        if step is not None:
            views.candidates(session, loaded, lane, step)
    with right:
        views.timeline(session, written)
    if is_open:
        with details_slot:
            views.details(session, loaded, step, color)


with board_slot:
    board(session, loaded, lane, length)
if not is_open:
    with details_slot:
        views.details(session, loaded, None, "")
compression.text_section(session, loaded)
