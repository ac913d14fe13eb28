"""Maps over a picture: how surprising its pixels were, and where the model looked.

Each map comes with one sentence on what it shows and what it does not.
"""

from __future__ import annotations

import math

import numpy as np
import streamlit as st

from playground.inspection.attention import HasAttention, attention
from playground.inspection.saliency import can_be_differentiated, saliency
from playground.models.conditioned import without_wrappers
from playground.models.pixelcnn import GatedPixelCNN, PixelCNN
from playground.traces.trace import Step
from playground.ui import state
from playground.ui.controls import name_strangers
from playground.ui.image_setting import ImageSetting
from playground.ui.image_state import ImageSession
from playground.ui.kept_state import Record
from playground.ui.picture_components import overlay
from playground.ui.picture_input import per_pixel
from playground.ui.resources import turn

LOOKS = ("attention", "gradient")  # of one decision; the others are of the whole picture
FIELD = "receptive field"
MEAN = "mean of all heads"
MEANS = {
    "none": "",
    "surprisal": "−log₂ p of each pixel: how unlikely the level was that was taken. It measures "
    "the model's surprise, not whether a pixel looks wrong.",
    "entropy": "How open each choice was before it was made. A pixel may be open and yet turn out "
    "as expected.",
    "attention": "Where the chosen heads read from to decide the pixel in the chart; the start "
    "token has no pixel. What a head reads is not always what decides (Jain & Wallace 2019).",
    "gradient": "How strongly a small change of each pixel would change log p of the level taken. "
    "Where the model is certain anyway, it is small everywhere.",
}
BLIND = (
    "Outlined: all pixels that can have a say, whatever the weights are. The corner above right "
    "that is left out is the blind spot of PixelCNN: those pixels are known, and it cannot see "
    "them. It does not say how much a pixel matters."
)
SEEING = (
    "Outlined: all pixels that can have a say, whatever the weights are. Above right there is no "
    "blind spot: the vertical stack of the Gated PixelCNN sees it. It does not say how much a "
    "pixel matters."
)
REACHING = "Outlined: all pixels that can have a say. It does not say how much a pixel matters."


def options(setting: ImageSetting) -> list[str]:
    """Return the maps that there are for a model."""
    inner = without_wrappers(setting.model)
    has = {
        "attention": isinstance(inner, HasAttention),
        "gradient": can_be_differentiated(setting.model),
        FIELD: hasattr(inner, "receptive_field"),
    }
    return [name for name in (*MEANS, FIELD) if has.get(name, True)]


def picker(setting: ImageSetting) -> str:
    """Choose a map; attention also by head."""
    names = options(setting)
    if state.value("overlay") not in (None, *names):
        state.forget_widget("overlay")  # the last model had another one
    name_strangers("overlay", names)
    chosen = st.segmented_control(
        "Lay over the picture", names, default="none", required=True, key="overlay",
        bind="query-params",
    )  # fmt: skip
    if chosen == "attention":
        config = without_wrappers(setting.model).config
        heads = [f"layer {layer + 1}, head {head + 1}"
                 for layer in range(config.n_layer) for head in range(config.n_head)]  # fmt: skip
        if state.value("head") not in (None, MEAN, *heads):
            state.forget_widget("head")
        name_strangers("head", [MEAN, *heads])
        st.selectbox("Head", [MEAN, *heads], key="head", bind="query-params", width=320)
    return chosen


def sentence(setting: ImageSetting, name: str, has_ended: bool = False) -> str:
    """Say what a map shows and what it does not."""
    if has_ended and name in (*LOOKS, FIELD):
        return "It is of one pixel, and none comes next. Click one to see it."
    if name == FIELD:
        inner = without_wrappers(setting.model)
        return {PixelCNN: BLIND, GatedPixelCNN: SEEING}.get(type(inner), REACHING)
    guided = setting.guidance != 1 and setting.label is not None
    if name == "gradient" and guided:
        return MEANS[name] + " Under guidance it is that of the branch which knows the class."
    return MEANS[name]


def field(setting: ImageSetting, session: ImageSession) -> np.ndarray | None:
    """Return which pixels (H, W) can have a say in the one at the cursor; None at the end."""
    tokenizer, at = setting.loaded.tokenizer, session.stepper.cursor - 1
    if at >= tokenizer.size:
        return None
    row, column, channel = tokenizer.position(at)
    seen = without_wrappers(setting.model).receptive_field(row, column).copy()
    seen[row, column] = channel > 0  # the colours of the pixel itself that came before
    return seen


def map_of(
    setting: ImageSetting, session: ImageSession, name: str, record: Record, step: Step | None
) -> dict | None:
    """Return the heat map of that name, for `canvas_data`; None if there is nothing to show."""
    tokenizer = setting.loaded.tokenizer
    uniform = tokenizer.channels * math.log2(tokenizer.levels)  # bits a pixel
    if name == "surprisal":
        most = 2 * uniform if tokenizer.levels < 16 else uniform
        values = per_pixel(tokenizer, record.surprisal)
        return overlay(values, "surprisal", most, low="0", high=f"{most:.3g} bits or more")
    if name == "entropy":
        values = per_pixel(tokenizer, record.entropy)
        return overlay(values, "entropy", uniform, low="0", high=f"{uniform:.3g} bits")
    if name in LOOKS and step is not None and session.pace == "still":
        weights = _weights(setting, session, name, step)
        values = per_pixel(tokenizer, weights[1:])  # the first is the start token's
        most = np.nanmax(values, initial=0.0)
        return overlay(values, "look", most, title=name, low="none", high="strongest")
    return None


def _weights(setting: ImageSetting, session: ImageSession, name: str, step: Step) -> np.ndarray:
    """Return how strongly each token of the prefix was looked at, from the cursor."""
    prefix = session.stepper.prefix
    asked = (name, prefix, step.token if name == "gradient" else None)
    if session.looked[:1] != (asked,):
        with turn():
            found = (
                saliency(setting.model, prefix, step.token)
                if name == "gradient"
                else attention(without_wrappers(setting.model), prefix)
            )
        session.looked = (asked, found)
    found = session.looked[1]
    if name == "gradient":
        return found
    head = state.value("head")
    if not head or head == MEAN:
        return found.over(len(prefix))
    layer, number = (int(word) - 1 for word in head.replace("layer ", "").split(", head "))
    return found.over(len(prefix), layer, number)
