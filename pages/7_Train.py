"""Train: a text model of your own, in a process of its own, watched while it learns."""

import streamlit as st

from playground import registry
from playground.errors import PlaygroundError
from playground.running import trainings
from playground.ui import controls, state, train_controls, train_snapshots
from playground.ui import train_views as views

controls.page_setup("Train")
st.title("Train a model and watch it learn")

session = views.train_session()
runs = registry.ROOT / "runs"
if not trainings.is_allowed():
    st.info(
        f"Training is switched off on this server ({trainings.SWITCH}=off). On a machine of your "
        "own it is on: install the playground there, and this page trains.",
        icon=":material/block:",
    )
else:
    with st.sidebar:
        try:
            wish = train_controls.wish(runs)
            if st.button("Start training", type="primary", icon=":material/model_training:",
                         key="train_start"):  # fmt: skip
                views.start(session, runs, wish)
        except PlaygroundError as error:
            st.error(controls.plain(str(error)))
for note in state.notes():
    st.warning(controls.plain(note), icon=":material/link_off:")
if session.problem:
    st.error(controls.plain(session.problem))

found = trainings.trainings(runs)
if not found:
    st.markdown(
        "Choose a family, a size, a text and the minutes at the left, then press **Start "
        "training**. A process of its own reads the text in small windows; after each it moves "
        "every weight a little so that the next token would have surprised it less. Here you will "
        "see the loss fall, and what the model writes turn from noise into words."
    )
    st.stop()
with st.container(horizontal=True, vertical_alignment="bottom", key="train_bar"):
    training = views.run_picker(found)
    views.buttons(session, training)
views.watch(session, training)
train_snapshots.section(training.folder)
