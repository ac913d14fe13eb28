"""Audio: watch a model decide sound one sample at a time, and hear what becomes of it."""

import streamlit as st

from playground.errors import PlaygroundError
from playground.registry import available
from playground.ui import (
    audio_actions,
    audio_completion,
    audio_compression,
    audio_controls,
    audio_greedy,
    audio_likelihood,
    audio_stepping,
    controls,
    hub_picker,
    music,
    state,
)

controls.page_setup("Audio")
st.title("Sound, one sample at a time")

with st.sidebar:
    cards = hub_picker.with_hub(available("audio"), "audio")
    if not cards:
        st.error("There is no model of sound here. Train one: python -m train.audio --help")
        st.stop()
    try:
        setting = audio_controls.setting(cards)
    except PlaygroundError as error:
        st.error(controls.plain(str(error)))
        st.stop()
modes = audio_controls.MODES
if music.is_setting(setting):  # a sound of codes has no samples to look at one by one
    modes = audio_controls.MODES[:1]
doing = controls.mode_picker(modes)
notes_slot = st.container()
canvas = audio_actions.canvas_tokens(setting.tokenizer)
if music.is_setting(setting):
    music.section(setting)
elif doing == audio_controls.CONTINUE:
    audio_completion.section(setting, canvas)
elif doing == audio_controls.LIKELY:
    audio_likelihood.section(setting, canvas)
elif doing == audio_controls.GREEDY:
    audio_greedy.section(setting)
elif doing == audio_controls.COMPRESS:
    audio_compression.section(setting, canvas)
else:
    audio_stepping.section(setting)
with notes_slot:  # sections have widgets of their own, which may have something to say
    for note in state.notes():
        st.warning(controls.plain(note), icon=":material/link_off:")
