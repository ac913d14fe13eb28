"""Compare: any number of ways to decode, side by side over one prompt or for one class."""

import streamlit as st

from playground.comparison.conditions import alphabet_of, classes_of
from playground.errors import PlaygroundError
from playground.registry import available
from playground.ui import compare_actions as actions
from playground.ui import compare_controls as compare
from playground.ui import compare_state as state
from playground.ui import compare_views as views
from playground.ui import controls, remote
from playground.ui.compare_editor import lane_dialog
from playground.ui.compare_results import results
from playground.ui.compare_state import CompareSession, Settings
from playground.ui.hub_picker import with_hub
from playground.ui.relatives import kin_of
from playground.ui.resources import Loaded

controls.page_setup("Compare")

session = state.compare_session()
with st.sidebar:
    cards = with_hub(available("text"), "text") | available("image") | available("audio")
    if not cards:
        st.error("There is no model here. Train one: python -m train.text --help")
        st.stop()
    try:
        settings = compare.settings(session, cards)
    except PlaygroundError as error:
        st.error(controls.plain(str(error)))
        st.stop()
st.title(views.TITLES[session.kind.name])
for note in session.notes:
    st.warning(controls.plain(note), icon=":material/link_off:")
state.write_link(session)

try:
    loaded = actions.loader(cards, settings.device)(settings.model)
except PlaygroundError as error:
    st.error(controls.plain(str(error)))
    st.stop()

remote.note(loaded)

with st.container(horizontal=True, vertical_alignment="bottom", key="bar"):
    views.run_button(session, settings, cards)
    compare.add_lane_list(session, actions.add_lane, settings, loaded)
    if [entry.spec for entry in session.entries] != state.default_specs(session.kind):
        st.button("Usual lanes", icon=":material/restart_alt:", key="reset_lanes",
                  on_click=actions.reset_lanes, args=(session,),
                  help="Put the lanes of the first visit back.")  # fmt: skip
shown = views.sample_picker(session)
interval = actions.interval(session)
drawn = (interval, session.pace == "run", session.editing)


@st.fragment(run_every=interval)
def board(session: CompareSession, settings: Settings, loaded: Loaded, shown: str) -> None:
    """Everything that grows."""
    actions.tick(session)
    if (actions.interval(session), session.pace == "run", session.editing) != drawn:
        st.rerun()  # the buttons above, the figures below and the dialog are the page's
    if session.problem:
        st.error(controls.plain(session.problem))
    views.status(session, settings)
    views.lanes(session, loaded, settings.prompt, shown)
    views.details(session)
    views.inside(session, shown)


board(session, settings, loaded, shown)
results(session)
entry = session.entry(session.editing)
if entry is not None:
    kin = kin_of(settings.model, cards)
    lane_dialog(session, entry, kin, classes_of(loaded), bool(alphabet_of(loaded)))
