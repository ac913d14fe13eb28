"""Evaluate: how good models are, by metrics, by people, and against one's own guesses."""

import streamlit as st

from playground.ui import arena, controls, evaluate_metrics, shannon, state

SECTIONS = {
    "Metrics": evaluate_metrics.section,
    "Arena": arena.section,
    "Shannon's game": shannon.section,
}

controls.page_setup("Evaluate")
st.title("How good is it?")
doing = controls.mode_picker(list(SECTIONS))
notes_slot = st.container()
SECTIONS[doing]()
with notes_slot:  # sections have widgets of their own, which may have something to say
    for note in state.notes():
        st.warning(controls.plain(note), icon=":material/link_off:")
