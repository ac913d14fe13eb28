"""The sidebar of the Compare page; everything but the lanes is bound to the address bar."""

from __future__ import annotations

import streamlit as st

from playground.decoding.presets import PRESETS
from playground.decoding.spec import MAX_SAMPLES, LaneSpec
from playground.decoding.strategy_catalogue import STRATEGIES
from playground.devices import available_devices, describe_device
from playground.registry import ModelCard
from playground.ui import compare_state as state
from playground.ui import controls
from playground.ui.compare_data import explanation
from playground.ui.compare_state import NONE, CompareSession, Settings
from playground.ui.relatives import draft_of, judge_of, kin_of

MAX_LENGTH = 2000
BY_HAND = "by hand"
CERTAIN = ("greedy", "beam_search", "diverse_beam_search", "constrained_beam_search",
           "contrastive_search")  # fmt: skip


def settings(session: CompareSession, cards: dict[str, ModelCard]) -> Settings:
    """Choose model, prompt and what else a run needs.

    Raises:
        PromptError: the prompt is longer than the page reads.
    """
    model = _choice("model", "Model", list(cards))
    st.caption(
        f"**{controls.plain(cards[model].title)}**  \n{controls.plain(cards[model].summary)}"
    )
    prompt = controls.prompt_area()
    left, right = st.columns(2)
    with left:
        length = _number("length", "Tokens to make", 1, MAX_LENGTH, 200,
                         "Every text ends after so many tokens behind the prompt.")  # fmt: skip
    with right:
        seed = _number("seed", "Seed", 0, 2**31, 0,
                       "One seed for all lanes: the same link gives the same texts.")  # fmt: skip
    _samples(session)
    kin = kin_of(model, cards)
    with st.expander("Second model, judge, device"):
        second = _choice(
            "second", "Second model", [NONE, *kin], draft_of(kin, cards) or NONE,
            "Drafts for speculative decoding, is the amateur of contrastive decoding and the "
            "partner of an ensemble. Only models with the same tokens are offered.",
        )  # fmt: skip
        judge = _choice(
            "judge", "Judge", [NONE, *cards], judge_of(model, kin, cards) or NONE,
            "Another model that says how likely the texts are; the model itself likes what it "
            "wrote. A judge with other tokens is compared best in bits a character.",
        )  # fmt: skip
        devices = available_devices()
        device = _choice(
            "device", "Device", devices, devices[0], "Where the models compute; the best is "
            "chosen. Small models are faster on a CPU than on a GPU.", describe_device,
        )  # fmt: skip
        slide = st.toggle(
            "Slide the window", key="slide", bind="query-params",
            help="When the model's context is full, drop its oldest half and go on.",
        )  # fmt: skip
    return Settings(
        model, prompt, int(seed), int(length), slide, device,
        second if second != NONE else "", judge if judge != NONE else "",
    )  # fmt: skip


def add_lane_list(session: CompareSession, on_change) -> None:
    """A list of presets, each with what it does; choosing one adds a lane."""
    told = {name: f"{name}: {explanation(spec)}" for name, spec in PRESETS.items()}
    told[BY_HAND] = "by hand: choose strategy, processors and their order yourself"
    st.selectbox(
        "Add a lane", [BY_HAND, *PRESETS], index=None, key="add_lane", format_func=told.get,
        placeholder="Add a lane: choose a way to decode", label_visibility="collapsed",
        on_change=on_change, args=(session,), width="stretch",
    )  # fmt: skip


def _samples(session: CompareSession) -> None:
    """Choose k for all lanes that draw; one lane can be set apart in its dialog."""
    drawing = [entry for entry in session.entries if draws(entry.spec)]

    def apply() -> None:
        for entry in drawing:
            entry.spec = entry.spec.but(samples=int(state.widget("samples", 1)))

    if state.widget("samples") is None:
        state.set_widget("samples", max([1, *(entry.spec.samples for entry in drawing)]))
    st.number_input(
        "Samples a lane", 1, MAX_SAMPLES, key="samples", on_change=apply,
        disabled=not drawing,
        help="Texts of every lane that draws; the others would only repeat themselves. Several "
        "are needed to say how varied a way to decode is (self-BLEU).",
    )  # fmt: skip


def draws(spec: LaneSpec) -> bool:
    """True if another sample of the lane can be another text."""
    return spec.strategy not in CERTAIN and spec.settings.get("do_sample", True) is True


def _choice(
    key: str, label: str, options: list[str], default: str | None = None, help: str | None = None,
    format_func=str,
) -> str:  # fmt: skip
    asked = st.query_params.get(key)
    if asked is not None and asked not in options:
        state.tell(
            f"The link names the {key} “{asked[:60]}”, which cannot be chosen here; the default "
            f"is shown instead. Known: {', '.join(options[:8])}."
        )
    index = options.index(default) if default in options else 0
    return st.selectbox(label, options, index, key=key, bind="query-params", help=help,
                        format_func=format_func)  # fmt: skip


def _number(key: str, label: str, low: int, high: int, default: int, help: str) -> float:
    asked = st.query_params.get(key)
    if asked is not None:
        try:
            fits = low <= float(asked) <= high
        except ValueError:
            fits = False
        if not fits:
            state.tell(
                f"The link sets {key} to “{asked[:60]}”; it must be a number from {low} to "
                f"{high}. The default is used instead."
            )
    return st.number_input(label, low, high, default, key=key, bind="query-params", help=help)


def strategy_help(name: str) -> str:
    kind = STRATEGIES[name]
    return f"{controls.plain(kind.effect)}  \n{controls.plain(kind.source)}"
