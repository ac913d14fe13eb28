"""The widgets of the Image page: what draws, of which class, and how; all of it in the link."""

from __future__ import annotations

import math

import streamlit as st

from playground.decoding.offered import PICTURES
from playground.models.conditioned import as_drawn
from playground.registry import ModelCard
from playground.tokenizers.image import ImageTokenizer
from playground.ui import hub_picker, resources
from playground.ui.condition_controls import class_controls
from playground.ui.controls import name_strangers
from playground.ui.image_setting import ImageSetting
from playground.ui.lane_controls import lane_controls

MODES = (
    "Step through", "Complete", "How likely?", "Compress", "Super-resolution", "Order of pixels",
)  # fmt: skip
ZOOMS = {"small": 240, "medium": 460, "large": 900}  # screen pixels across
TICKS = 12  # redraws a second, at most, while it plays: a row well within 100 ms


def setting(cards: dict[str, ModelCard]) -> ImageSetting:
    """Choose the model, its class and guidance, and how it decodes.

    Raises:
        PlaygroundError: the model cannot be used, or settings do not fit it.
    """
    card = hub_picker.picker(cards, "image")
    loaded = resources.load_model(card)
    label, guidance = class_controls(loaded)
    model = as_drawn(loaded.model, loaded.tokenizer.bos_token, label, guidance)
    lane = lane_controls(loaded.tokenizer, offer=PICTURES)
    return ImageSetting(loaded, model, label, guidance, lane)


def pace_picker(tokenizer: ImageTokenizer) -> tuple[float, int]:
    """Choose how fast Play is; return its ticks a second, and the values decided in each."""
    row = tokenizer.width * tokenizer.channels
    speeds = {f"{n} values a second": float(n) for n in (2, 5)}
    speeds |= {f"{n} row{'s' if n > 1 else ''} a second": float(n * row) for n in (1, 3, 12, 24)}
    chosen = st.select_slider("Play", list(speeds), "12 rows a second", key="pace")
    at_once = math.ceil(speeds[chosen] / TICKS)
    return speeds[chosen] / at_once, at_once


def zoom_picker() -> int:
    """Choose how large the picture is drawn; return how many screen pixels it is across."""
    name_strangers("zoom", list(ZOOMS))
    return ZOOMS[st.segmented_control("Zoom", list(ZOOMS), default="medium", required=True,
                                      key="zoom", bind="query-params")]  # fmt: skip
