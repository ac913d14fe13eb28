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
    state,
)

controls.page_setup("Audio")
st.title("Sound, one sample at a time")

with st.sidebar:
    cards = available("audio")
    if not cards:
        st.error("There is no model of sound here. Train one: python -m train.audio --help")
        st.stop()
    try:
        setting = audio_controls.setting(cards)
    except PlaygroundError as error:
        st.error(controls.plain(str(error)))
        st.stop()
doing = controls.mode_picker(audio_controls.MODES)
notes_slot = st.container()
canvas = audio_actions.canvas_tokens(setting.tokenizer)
if doing == audio_controls.CONTINUE:
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
