"""The sidebar of the Compare page; everything but the lanes is bound to the address bar."""

from __future__ import annotations

import streamlit as st

from playground.comparison.kinds import classes_of
from playground.data.images import read_examples
from playground.decoding.spec import ANY, MAX_SAMPLES, LaneSpec
from playground.decoding.strategy_catalogue import STRATEGIES
from playground.devices import available_devices, describe_device
from playground.registry import ModelCard
from playground.ui import compare_state as state
from playground.ui import controls, resources
from playground.ui.compare_data import explanation
from playground.ui.compare_picture_data import known_of, scale_of
from playground.ui.compare_state import NONE, CompareSession, Settings
from playground.ui.picture_components import picture_sheet, sheet_data
from playground.ui.relatives import draft_of, judge_of, kin_of
from playground.ui.resources import Loaded

MAX_LENGTH = 2000
MAKES = {"text": "Writes text", "image": "Draws pictures"}  # by modality
BY_HAND = "by hand"
CERTAIN = ("greedy", "beam_search", "diverse_beam_search", "constrained_beam_search",
           "contrastive_search")  # fmt: skip


def settings(session: CompareSession, cards: dict[str, ModelCard]) -> Settings:
    """Choose model, what all lanes begin with, and what else a run needs.

    Raises:
        PromptError: the prompt is longer than the page reads.
        CheckpointError: a model of pictures, or its examples, cannot be read.
    """
    model = _choice("model", "Model", list(cards), help="Those that write text, then those that "
                    "draw pictures.")  # fmt: skip
    card = cards[model]
    makes = MAKES[card.modality]
    st.caption(f"{makes} · **{controls.plain(card.title)}**  \n{controls.plain(card.summary)}")
    session.turn_to(state.KINDS[card.modality])
    is_text = card.modality == "text"
    begins = st.container()
    prompt, length = "", 0
    left, right = st.columns(2)
    if is_text:
        with begins:
            prompt = controls.prompt_area()
        with left:
            length = _number("length", "Tokens to make", 1, MAX_LENGTH, 200,
                             "Every text ends after so many tokens behind the prompt.")  # fmt: skip
    with right:
        seed = _number("seed", "Seed", 0, 2**31, 0,
                       "One seed for all lanes: the same link gives the same result.")  # fmt: skip
    with st.container() if is_text else left:
        _samples(session)
    kin = kin_of(model, cards)
    with st.expander("Second model, judge, device"):
        second = _choice(
            "second", "Second model", [NONE, *kin], draft_of(kin, cards) or NONE,
            "Drafts for speculative decoding, is the amateur of contrastive decoding and the "
            "partner of an ensemble. Only models with the same tokens are offered.",
        )  # fmt: skip
        judges = [name for name in cards if cards[name].modality == "text"] if is_text else kin
        judge = _choice(
            "judge", "Judge", [NONE, *judges],
            (is_text and judge_of(model, kin, cards)) or NONE,
            "Another model that says how likely the samples are; the model itself likes what it "
            "made. Of texts, a judge with other tokens is compared best in bits a character.",
        )  # fmt: skip
        devices = available_devices()
        device = _choice(
            "device", "Device", devices, devices[0], "Where the models compute; the best is "
            "chosen. Small models are faster on a CPU than on a GPU.", describe_device,
        )  # fmt: skip
        slide = is_text and st.toggle(
            "Slide the window", key="slide", bind="query-params",
            help="When the model's context is full, drop its oldest half and go on.",
        )  # fmt: skip
    condition, example, rows = "", "", 0
    if not is_text:
        loaded = resources.load_model(card, device)
        with begins:
            condition = _class(loaded)
            example, rows = _kept(loaded)
        tokenizer = loaded.tokenizer
        length = tokenizer.size - rows * tokenizer.width * tokenizer.channels
    return Settings(
        model, prompt, int(seed), int(length), slide, device,
        second if second != NONE else "", judge if judge != NONE else "",
        condition, example, rows, card.modality,
    )  # fmt: skip


def _class(loaded: Loaded) -> str:
    """Choose the class of all lanes; empty for none."""
    names = classes_of(loaded)
    if not names:
        return ""
    chosen = _choice(
        "class", "Class", [ANY, *names], names[0], "What every model that knows classes is told "
        f"to draw; “{ANY}”: nothing. The pencil of a lane gives it a class of its own.",
    )  # fmt: skip
    return "" if chosen == ANY else chosen


def _kept(loaded: Loaded) -> tuple[str, int]:
    """Choose a real picture whose top part all lanes complete; ("", 0) for none."""
    tokenizer = loaded.tokenizer
    pixels = read_examples(loaded.card.folder, tokenizer)
    if pixels is None or tokenizer.height < 3:
        return "", 0
    example = _choice(
        "example", "Complete an example", [NONE, *(str(i + 1) for i in range(len(pixels)))],
        help="Every lane begins with the same part of a real picture that the model has not seen "
        "in training, and completes it.",
    )  # fmt: skip
    if example == NONE:
        return "", 0
    _name_bad_number("rows", 1, tokenizer.height - 1)
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
    _name_bad_number(key, low, high)
    return st.number_input(label, low, high, default, key=key, bind="query-params", help=help)


def _name_bad_number(key: str, low: int, high: int) -> None:
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


def strategy_help(name: str) -> str:
    kind = STRATEGIES[name]
    return f"{controls.plain(kind.effect)}  \n{controls.plain(kind.source)}"
