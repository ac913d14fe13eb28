"""The widgets of the Audio page: what sounds, told what, and how; all of it in the link."""

from __future__ import annotations

import math

import streamlit as st

from playground.decoding.offered import SOUNDS
from playground.models.conditioned import as_drawn
from playground.registry import ModelCard
from playground.ui import hub_picker, music, resources
from playground.ui.audio_setting import AudioSetting
from playground.ui.condition_controls import alphabet_of, class_controls, text_controls
from playground.ui.controls import name_bad_number
from playground.ui.lane_controls import lane_controls
from playground.ui.music import MusicSetting

STEP, CONTINUE, LIKELY, GREEDY, COMPRESS = (
    "Step by step",
    "Continue a sound",
    "How likely?",
    "Why greedy is silent",
    "Compress",
)
MODES = (STEP, CONTINUE, LIKELY, GREEDY, COMPRESS)
SHORTEST, LONGEST = 0.25, 4.0  # seconds
TICKS = 4  # redraws a second, at most, while it plays
SPEEDS = {  # seconds of sound in a second
    "20 samples a second": None,
    "10 ms a second": 0.01,
    "0.1 s a second": 0.1,
    "0.2 s a second": 0.2,
    "0.5 s a second": 0.5,
    "as it sounds": 1.0,
}
SLOWEST = 20  # samples a second


def setting(cards: dict[str, ModelCard]) -> AudioSetting | MusicSetting:
    """Choose the model, what it is told, how it decodes, and for how long.

    Raises:
        PlaygroundError: the model cannot be used, or settings do not fit it.
    """
    card = hub_picker.picker(cards, "audio")
    loaded = resources.load_model(card)
    if music.has_codec(loaded):
        return music.setting(loaded)
    told, guidance = (
        text_controls(loaded, card.example) if alphabet_of(loaded) else class_controls(loaded)
    )
    model = as_drawn(loaded.model, loaded.tokenizer.bos_token, told, guidance)
    lane = lane_controls(loaded.tokenizer, offer=SOUNDS)
    name_bad_number("seconds", SHORTEST, LONGEST)
    seconds = st.slider(
        "Longest, in seconds", SHORTEST, LONGEST, 1.0, 0.25, key="seconds", bind="query-params",
        help="Where a sound ends: models of samples have no end token.",
    )  # fmt: skip
    return AudioSetting(loaded, model, told, guidance, lane, seconds)


def pace_picker(sample_rate: int) -> tuple[float, int]:
    """Choose how fast Play is; return its ticks a second, and the samples decided in each."""
    chosen = st.select_slider("Sound in each second of watching", list(SPEEDS), "0.2 s a second",
                              key="pace")  # fmt: skip
    share = SPEEDS[chosen]
    samples = SLOWEST if share is None else share * sample_rate  # a second
    at_once = math.ceil(samples / TICKS)
    return samples / at_once, at_once
