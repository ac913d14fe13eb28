"""Image: watch a model draw one pixel at a time, and draw for it."""

import streamlit as st

from playground.errors import PlaygroundError
from playground.registry import available
from playground.ui import controls, image_controls, state

controls.page_setup("Image")
st.title("Pictures, one pixel at a time")

with st.sidebar:
    cards = available("image")
    if not cards:
        st.error("There is no image model here. Train one: python -m train.image --help")
        st.stop()
    try:
        setting = image_controls.setting(cards)
    except PlaygroundError as error:
        st.error(controls.plain(str(error)))
        st.stop()
doing = image_controls.mode_picker()
for note in state.notes():
    st.warning(controls.plain(note), icon=":material/link_off:")

if doing == "Complete":
    from playground.ui import image_completion

    image_completion.section(setting)
elif doing == "How likely?":
    from playground.ui import image_likelihood

    image_likelihood.section(setting)
elif doing == "Super-resolution":
    from playground.ui import image_super_resolution

    image_super_resolution.section(setting.lane.seed, setting.lane)
elif doing == "Order of pixels":
    from playground.ui import image_ordering

    image_ordering.section()
