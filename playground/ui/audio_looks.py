"""What fed a sample: the gradient, attention, the samples a convolution reads; and what the model
thought just before.

Each comes with one sentence on what it shows and what it does not.
"""

from __future__ import annotations

import numpy as np
import streamlit as st

from playground.inspection.attention import HasAttention, attention
from playground.inspection.distributions import newest_distributions
from playground.inspection.saliency import can_be_differentiated, saliency
from playground.models.conditioned import without_wrappers
from playground.traces.trace import Step
from playground.ui import audio_actions, state
from playground.ui.audio_setting import AudioSetting
from playground.ui.audio_state import AudioSession
from playground.ui.controls import name_strangers
from playground.ui.resources import turn
from playground.ui.sound_components import dilation_tree, distribution_heat_map, samples_read

NEWEST = 2000  # samples of which the gradient is asked
SHOWN = 120  # samples of the heat map: 15 ms at 8 kHz
FIELD = "receptive field"
MEANS = {
    "none": "",
    "gradient": "How strongly a small change of each past sample would change log p of the level "
    "taken. Where the model is certain anyway, it is small everywhere.",
    "attention": "Where the heads read from to decide this sample, on average. What a head reads "
    "is not always what decides (Jain & Wallace 2019).",
    FIELD: "All past samples that can have a say, whatever the weights are. It does not say how "
    "much one matters.",
}


def options(setting: AudioSetting) -> list[str]:
    """Return what can be marked for a model."""
    has = {
        "gradient": can_be_differentiated(setting.model),
        "attention": isinstance(without_wrappers(setting.model), HasAttention),
        FIELD: bool(dilations(setting)),
    }
    return [name for name in MEANS if has.get(name, True)]


def dilations(setting: AudioSetting) -> tuple[int, ...]:
    """Return the dilation of every layer; none of a model without convolutions."""
    return getattr(without_wrappers(setting.model), "dilations", ())


def picker(setting: AudioSetting) -> str:
    """Choose what is marked of the past of the chosen sample."""
    names = options(setting)
    if state.value("fed_by") not in (None, *names):
        state.forget_widget("fed_by")  # the last model had another one
    name_strangers("fed_by", names)
    return st.segmented_control(
        "What fed the chosen sample", names, default="none", required=True, key="fed_by",
        bind="query-params",
    )  # fmt: skip


def sentence(setting: AudioSetting, session: AudioSession, name: str, step: Step | None) -> str:
    """Say what the marks show and what they do not."""
    if name == "none":
        return ""
    if session.stepper.has_ended:
        return "It is of one sample, and none comes next. Click one to see it."
    if session.pace != "still":
        return "Drawn when it stands still. " + MEANS[name]
    guided = setting.guidance != 1 and setting.told is not None
    if name == "gradient" and guided:
        return MEANS[name] + " Under guidance it is that of the branch which knows the condition."
    return MEANS[name]


def found(
    setting: AudioSetting, session: AudioSession, name: str, step: Step | None
) -> tuple[np.ndarray | None, list[int]]:
    """Return the weight of each past sample, None without any, and the samples that are read."""
    if session.pace != "still" or step is None:
        return None, []
    if name == FIELD:
        kernel_size = without_wrappers(setting.model).config.kernel_size
        return None, samples_read(dilations(setting), kernel_size, session.stepper.cursor - 1)
    if name in ("gradient", "attention"):
        return _weights(setting, session, name, step)[1:], []  # the first is the start token's
    return None, []


def _weights(
    setting: AudioSetting, session: AudioSession, name: str, step: Step
) -> np.ndarray:  # fmt: skip
    prefix = session.stepper.prefix
    asked = (name, prefix, step.token if name == "gradient" else None)
    if session.looked[:1] != (asked,):
        with turn():
            weights = (
                saliency(setting.model, prefix, step.token, NEWEST)
                if name == "gradient"
                else attention(without_wrappers(setting.model), prefix).over(len(prefix))
            )
        session.looked = (asked, weights)
    return session.looked[1]


def heat_map(setting: AudioSetting, session: AudioSession) -> None:
    """Draw the distributions of the newest samples before the cursor, and of what comes there."""
    if session.pace != "still":
        st.caption("Drawn when it stands still.")
        return
    stepper = session.stepper
    prefix = stepper.prefix
    if session.read[:1] != (prefix,):
        with turn():
            rows = newest_distributions(setting.model, prefix, SHOWN)
        session.read = (prefix, rows[:, : setting.tokenizer.levels].double().cpu().numpy())
    logprobs = session.read[1]
    first = len(prefix) - len(logprobs)  # sample of the first column; BOS is not counted
    if stepper.has_ended:
        logprobs = logprobs[:-1]
    tokens = stepper.tokens[1:]
    taken = [tokens[i] if i < len(tokens) else None for i in range(first, first + len(logprobs))]
    distribution_heat_map(
        logprobs, taken, sample_rate=setting.tokenizer.sample_rate, first_index=first,
        key="heat", cursor=min(stepper.cursor - 1, first + len(logprobs) - 1),
        title="What the model thought, sample by sample",
        facts="before temperature and the other processors", 
        on_go=lambda: audio_actions.from_heat_map(session),
    )  # fmt: skip
    st.caption(
        "Each column is one distribution over all levels, loud at the edges. A narrow band: the "
        "model is sure; a wide one: it is open, or noise is what it expects."
    )


def tree(setting: AudioSetting, session: AudioSession) -> None:
    """Draw which samples feed the one at the cursor, layer by layer."""
    config = without_wrappers(setting.model).config
    dilation_tree(
        dilations(setting), config.kernel_size, cursor=session.stepper.cursor - 1,
        sample_rate=setting.tokenizer.sample_rate, key="tree",
        layers=min(4, len(dilations(setting))),
    )  # fmt: skip
