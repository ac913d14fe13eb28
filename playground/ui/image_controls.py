"""The widgets of the Image page: what draws, of which class, and how; all of it in the link."""

from __future__ import annotations

import math

import streamlit as st

from playground.decoding.offered import PICTURES
from playground.models.conditioned import as_drawn
from playground.registry import ModelCard
from playground.tokenizers.image import ImageTokenizer
from playground.ui import resources, state
from playground.ui.controls import model_picker, name_bad_number, name_strangers
from playground.ui.image_setting import ImageSetting
from playground.ui.lane_controls import lane_controls
from playground.ui.resources import Loaded

MODES = ("Step through", "Complete", "How likely?", "Super-resolution", "Order of pixels")
ANY = "any"  # class
MAX_GUIDANCE = 8.0
ZOOMS = {"small": 240, "medium": 460, "large": 900}  # screen pixels across
TICKS = 12  # redraws a second, at most, while it plays: a row well within 100 ms


def setting(cards: dict[str, ModelCard]) -> ImageSetting:
    """Choose the model, its class and guidance, and how it decodes.

    Raises:
        PlaygroundError: the model cannot be used, or settings do not fit it.
    """
    card = model_picker(cards)
    loaded = resources.load_model(card)
    label, guidance = _class_controls(loaded)
    model = as_drawn(loaded.model, loaded.tokenizer.bos_token, label, guidance)
    lane = lane_controls(loaded.tokenizer, offer=PICTURES)
    return ImageSetting(loaded, model, label, guidance, lane)


def class_names(loaded: Loaded) -> list[str]:
    """Return the names of the classes that a model can be told; none if it knows no classes."""
    number = getattr(loaded.model.config, "n_class", 0)
    names = [str(name) for name in loaded.info.get("classes") or []]
    return [names[i] if i < len(names) else f"class {i}" for i in range(number)]


def mode_picker() -> str:
    """Choose what to do with the model."""
    name_strangers("do", MODES)
    return st.segmented_control(
        "What to do", MODES, default=MODES[0], required=True, key="do", bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip


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


def _class_controls(loaded: Loaded) -> tuple[int | None, float]:
    names = class_names(loaded)
    if not names:
        return None, 1.0
    options = [ANY, *names]
    if state.value("class") not in (None, *options):
        state.forget_widget("class")  # one of another model
    name_strangers("class", options)
    chosen = st.selectbox(
        "Class", options, key="class", bind="query-params",
        help=f"What the model is told to draw; “{ANY}”: it is told nothing.",
    )  # fmt: skip
    if chosen == ANY:
        return None, 1.0
    name_bad_number("guidance", 0.0, MAX_GUIDANCE)
    guidance = st.slider(
        "Guidance", 0.0, MAX_GUIDANCE, 1.0, 0.25, key="guidance", bind="query-params",
        help="Classifier-free guidance: what the class makes likelier becomes likelier still. "
        "1: off; 0: as if no class were told. Ho & Salimans 2022, arXiv:2207.12598",
    )  # fmt: skip
    return names.index(chosen), guidance
