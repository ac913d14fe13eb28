"""Experiments: what was found by training and measuring, with charts, intervals and limits."""

import streamlit as st

from playground.ui import controls, state
from playground.ui import experiment_views as views

controls.page_setup("Experiments")
st.title("What experiments found")
st.caption(
    "Each was made by one command on one small machine. The sentences are computed from the rows, "
    "and say it where they contradict the lesson."
)
name = views.picker()
for note in state.notes():
    st.warning(controls.plain(note), icon=":material/link_off:")

views.question(name)
told = views.kept(name)
if told is not None:
    views.pictures(told, "kept")
    views.table(told)
    views.limits(told)
    views.downloads(told)

reduced = views.again(name)
if reduced is not None:
    views.beside(told, reduced)

st.divider()
views.other_experiments()
