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
found = trainings.trainings(runs)
going = next((training for training in found if training.state == "running"), None)
notes = st.container()  # what the controls find wrong with the link
if not trainings.is_allowed():
    st.info(
        f"Training is switched off on this server ({trainings.SWITCH}=off). On a machine of your "
        "own it is on: install the playground there, and this page trains.",
        icon=":material/block:",
    )
else:
    try:
        with st.sidebar:
            wish = train_controls.wish(runs, len(session.started))
        views.launch(session, runs, wish, going)
    except PlaygroundError as error:
        st.error(controls.plain(str(error)))
for note in state.notes():
    notes.warning(controls.plain(note), icon=":material/link_off:")
if not found:
    st.markdown(
        "Choose a family, a size, a text and the minutes in the sidebar, then press **Start "
        "training**. A process of its own reads the text in small windows; after each it moves "
        "every weight a little so that the next token would have surprised it less. Here you will "
        "see the loss fall, and what the model writes turn from noise into words."
    )
    st.stop()
with st.container(horizontal=True, vertical_alignment="bottom", key="train_bar"):
    training = views.run_picker(found)
    views.buttons(session, training)
views.watch(session, training, going)
train_snapshots.section(training)
