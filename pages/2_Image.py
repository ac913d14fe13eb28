"""Image: watch a model draw one pixel at a time, and draw for it."""

import streamlit as st

from playground.errors import PlaygroundError
from playground.registry import available
from playground.ui import (
    compression,
    controls,
    hub_picker,
    image_actions,
    image_completion,
    image_controls,
    image_likelihood,
    image_ordering,
    image_stepping,
    image_super_resolution,
    state,
)

controls.page_setup("Image")
st.title("Pictures, one pixel at a time")

with st.sidebar:
    cards = hub_picker.with_hub(available("image"), "image")
    if not cards:
        st.error("There is no image model here. Train one: python -m train.image --help")
        st.stop()
    try:
        setting = image_controls.setting(cards)
    except PlaygroundError as error:
        st.error(controls.plain(str(error)))
        st.stop()
doing = controls.mode_picker(image_controls.MODES)
notes_slot = st.container()
canvas = image_actions.canvas_tokens(setting.loaded.tokenizer)
if doing == "Complete":
    image_completion.section(setting, canvas)
elif doing == "How likely?":
    image_likelihood.section(setting, canvas)
elif doing == "Compress":
    compression.image_section(setting, canvas)
elif doing == "Super-resolution":
    image_super_resolution.section(setting.lane.seed, setting.lane)
elif doing == "Order of pixels":
    image_ordering.section()
else:
    image_stepping.section(setting)
with notes_slot:  # sections have widgets of their own, which may have something to say
    for note in state.notes():
        st.warning(controls.plain(note), icon=":material/link_off:")
