"""The sidebar of the Compare page; everything but the lanes is bound to the address bar."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from playground.comparison.kinds import KINDS, REMOTE_TEXT
from playground.data.images import read_examples
from playground.decoding.spec import MAX_SAMPLES, LaneSpec
from playground.decoding.strategy_catalogue import STRATEGIES
from playground.devices import available_devices, describe_device
from playground.registry import ModelCard
from playground.ui import compare_state as state
from playground.ui import controls, resources
from playground.ui.compare_choices import choice, class_choice, name_bad_number, number
from playground.ui.compare_data import explanation
from playground.ui.compare_picture_data import known_of, scale_of
from playground.ui.compare_sound_controls import sound_settings
from playground.ui.compare_state import NONE, CompareSession, Settings
from playground.ui.picture_components import picture_sheet, sheet_data
from playground.ui.relatives import draft_of, judge_of, kin_of
from playground.ui.resources import Loaded

MAX_LENGTH = 2000
MAKES = {"text": "Writes text", "image": "Draws pictures", "audio": "Makes sounds"}  # by modality
BY_HAND = "by hand"
CERTAIN = ("greedy", "beam_search", "diverse_beam_search", "constrained_beam_search",
           "contrastive_search")  # fmt: skip


def settings(session: CompareSession, cards: dict[str, ModelCard]) -> Settings:
    """Choose model, what all lanes begin with, and what else a run needs.

    Raises:
        PromptError: the prompt is longer than the page reads.
        CheckpointError: a model of pictures or sounds, or its examples, cannot be read.
    """
    model = choice("model", "Model", list(cards), help="Those that write text, then those that "
                   "draw pictures, then those that make sounds.")  # fmt: skip
    card = cards[model]
    makes = MAKES[card.modality]
    st.caption(f"{makes} · **{controls.plain(card.title)}**  \n{controls.plain(card.summary)}")
    session.turn_to(REMOTE_TEXT if card.remote is not None else KINDS[card.modality])
    is_text, is_sound = card.modality == "text", card.modality == "audio"
    begins = st.container()
    prompt, length = "", 0
    left, right = st.columns(2)
    if is_text:
        with begins:
            prompt = controls.prompt_area()
        with left:
            length = number("length", "Tokens to make", 1, MAX_LENGTH, 200,
                             "Every text ends after so many tokens behind the prompt.")  # fmt: skip
    with right:
        seed = number("seed", "Seed", 0, 2**31, 0,
                       "One seed for all lanes: the same link gives the same result.")  # fmt: skip
    with st.container() if is_text else left:
        _samples(session)
    kin = kin_of(model, cards)
    with st.expander("Second model, judge, device"):
        second = choice(
            "second", "Second model", [NONE, *kin], draft_of(kin, cards) or NONE,
            "Drafts for speculative decoding, is the amateur of contrastive decoding and the "
            "partner of an ensemble. Only models with the same tokens are offered.",
        )  # fmt: skip
        judges = [name for name in cards if cards[name].modality == "text"] if is_text else kin
        judge = choice(
            "judge", "Judge", [NONE, *judges],
            (is_text and judge_of(model, kin, cards)) or NONE,
            "Another model that says how likely the samples are; the model itself likes what it "
            "made. Of texts, a judge with other tokens is compared best in bits a character.",
        )  # fmt: skip
        devices = available_devices()
        device = choice(
            "device", "Device", devices, devices[0], "Where the models compute; the best is "
            "chosen. Small models are faster on a CPU than on a GPU.", describe_device,
        )  # fmt: skip
        slide = is_sound or (is_text and st.toggle(
            "Slide the window", key="slide", bind="query-params",
            help="When the model's context is full, drop its oldest half and go on.",
        ))  # fmt: skip
    made = Settings(
        model, prompt, int(seed), int(length), slide, device,
        second if second != NONE else "", judge if judge != NONE else "", modality=card.modality,
    )  # fmt: skip
    if is_text:
        return made
    loaded = resources.load_model(card, device)
    with begins:
        return (sound_settings if is_sound else _picture_settings)(made, loaded)


def _picture_settings(made: Settings, loaded: Loaded) -> Settings:
    """Choose a class, and what all pictures keep of a real one."""
    condition = class_choice(loaded)
    example, rows = _kept(loaded)
    tokenizer = loaded.tokenizer
    length = tokenizer.size - rows * tokenizer.width * tokenizer.channels
    return replace(made, condition=condition, example=example, rows=rows, length=length)


def _kept(loaded: Loaded) -> tuple[str, int]:
    """Choose a real picture whose top part all lanes complete; ("", 0) for none."""
    tokenizer = loaded.tokenizer
    pixels = read_examples(loaded.card.folder, tokenizer)
    if pixels is None or tokenizer.height < 3:
        return "", 0
    example = choice(
        "example", "Complete an example", [NONE, *(str(i + 1) for i in range(len(pixels)))],
        help="Every lane begins with the same part of a real picture that the model has not seen "
        "in training, and completes it.",
    )  # fmt: skip
    if example == NONE:
        return "", 0
    name_bad_number("rows", 1, tokenizer.height - 1)
    rows = st.slider("Rows that are kept", 1, tokenizer.height - 1, tokenizer.height // 2,
                     key="rows", bind="query-params")  # fmt: skip
    known = known_of(tokenizer, rows * tokenizer.width * tokenizer.channels)
    picture = tokenizer.decode(tokenizer.encode(pixels[int(example) - 1]))
    data = sheet_data([picture, picture], [known, None], captions=["kept", "the whole"],
                      scale=scale_of(tokenizer, 90))  # fmt: skip
    picture_sheet("kept_part", data)
    return example, int(rows)


def add_lane_list(session: CompareSession, on_change, *args) -> None:
    """A list of presets, each with what it does; choosing one adds a lane."""
    presets = session.kind.offer.presets
    told = {name: f"{name}: {explanation(spec)}" for name, spec in presets.items()}
    told[BY_HAND] = "by hand: choose strategy, processors and their order yourself"
    st.selectbox(
        "Add a lane", [BY_HAND, *presets], index=None, key="add_lane", format_func=told.get,
        placeholder="Add a lane: choose a way to decode", label_visibility="collapsed",
        on_change=on_change, args=(session, *args), width="stretch",
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
        help="Of every lane that draws tokens; the others would only repeat themselves. Several "
        "are needed to say how varied a way to decode is.",
    )  # fmt: skip


def draws(spec: LaneSpec) -> bool:
    """True if another sample of the lane can be another text."""
    return spec.strategy not in CERTAIN and spec.settings.get("do_sample", True) is True


def strategy_help(name: str) -> str:
    kind = STRATEGIES[name]
    return f"{controls.plain(kind.effect)}  \n{controls.plain(kind.source)}"
