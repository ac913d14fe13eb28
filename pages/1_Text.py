"""Text: watch a language model choose one token at a time, and choose for it."""

import streamlit as st

from playground.errors import PlaygroundError
from playground.registry import available
from playground.ui import (
    controls,
    hub_picker,
    in_context,
    state,
    text_controls,
    text_stepping,
    tokenizer_view,
)

MODES = ("Step through", "How it is cut", "Learn from examples")

controls.page_setup("Text")
st.title("Text, one token at a time")

with st.sidebar:
    cards = hub_picker.with_hub(available("text"), "text")
    if not cards:
        st.error("There is no text model here. Train one: python -m train.text --help")
        st.stop()
    setting, problem = None, ""
    try:
        setting = text_controls.setting(cards)
    except PlaygroundError as error:
        problem = str(error)
if setting is None:  # told in the page itself: on a phone the sidebar is closed
    st.error(controls.plain(problem))
    st.stop()
doing = controls.mode_picker(MODES)
notes_slot = st.container()
if doing == "How it is cut":
    tokenizer_view.section(setting, cards)
elif doing == "Learn from examples":
    in_context.section(setting)
else:
    text_stepping.section(setting)
with notes_slot:  # sections have widgets of their own, which may have something to say
    for note in state.notes():
        st.warning(controls.plain(note), icon=":material/link_off:")
