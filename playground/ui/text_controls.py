"""The widgets of the Text page: which model, what it begins with, and how; all in the link."""

from __future__ import annotations

import streamlit as st

from playground.registry import ModelCard
from playground.ui import chat, controls, hub_picker, remote, resources, translation
from playground.ui.lane_controls import lane_controls
from playground.ui.relatives import draft_of, kin_of
from playground.ui.text_setting import TextSetting


def setting(cards: dict[str, ModelCard]) -> TextSetting:
    """Choose the model, the prompt, and how it decodes.

    Raises:
        PlaygroundError: the model cannot be used, or settings do not fit it.
    """
    card = hub_picker.picker(cards, "text")
    loaded = resources.load_model(card)
    remote.note(loaded)
    if translation.has_source(loaded.model):
        model, begin = translation.begin(loaded)
    else:
        model, begin = loaded.model, chat.beginning(loaded)
    kin = kin_of(card.name, cards)
    kin.sort(key=lambda name: name != draft_of(kin, cards))  # the likeliest draft first
    lane = lane_controls(
        loaded.tokenizer, kin, lambda name: resources.load_model(cards[name]).model,
        remote.offer_of(loaded),
    )  # fmt: skip
    length, slide, speed = controls.length_controls()
    if loaded.model.context_length is not None:
        st.caption(f"This model sees up to {loaded.model.context_length:,} tokens at once.")
    return TextSetting(loaded, model, begin, lane, length, slide, speed)
