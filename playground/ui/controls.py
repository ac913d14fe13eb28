"""Widgets that set something; each is bound to the address bar, so that is the link to share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import streamlit as st
from streamlit.errors import StreamlitAPIException

from playground.errors import PromptError
from playground.registry import ModelCard
from playground.ui import state

PROMPT = "In the beginning "
MAX_PROMPT = 20_000  # characters
MAX_LENGTH = 2000  # tokens that Run goes at most

ICON = Path(__file__).parent / "icon.png"  # a named icon would be fetched from the network
PAGES = (  # script, label, icon: the menu of every page, in order
    ("app.py", "Home", ":material/home:"),
    ("pages/1_Text.py", "Text", ":material/notes:"),
    ("pages/2_Image.py", "Image", ":material/grid_on:"),
    ("pages/3_Audio.py", "Audio", ":material/graphic_eq:"),
    ("pages/4_Compare.py", "Compare", ":material/view_column:"),
    ("pages/5_Evaluate.py", "Evaluate", ":material/straighten:"),
    ("pages/6_Experiments.py", "Experiments", ":material/science:"),
    ("pages/7_Train.py", "Train", ":material/model_training:"),
)


def page_setup(title: str) -> None:
    """Name the page and draw the menu; the first call of every page."""
    st.set_page_config(
        page_title=f"{title} · Autoregressive playground", page_icon=ICON, layout="wide"
    )
    state.begin_page(title)
    with st.sidebar:
        for script, label, page_icon in PAGES:
            try:
                st.page_link(script, label=label, icon=page_icon)
            except StreamlitAPIException:
                return  # a page that is run by itself, as tests do, has no others


def plain(text: str) -> str:
    """Return `text` so that Markdown shows it as it is: messages quote what visitors wrote."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|<>~$:&])", r"\\\1", text)


def model_picker(cards: dict[str, ModelCard], *, knows_link: bool = False) -> ModelCard:
    """Choose a model by name; `knows_link`: what the link names was seen to already."""
    names = list(cards)
    if not knows_link:
        name_strangers("model", names)
    name = st.selectbox("Model", names, key="model", bind="query-params")
    st.caption(f"**{plain(cards[name].title)}**  \n{plain(cards[name].summary)}")
    return cards[name]


def mode_picker(modes: Sequence[str]) -> str:
    """Choose what to do with the model."""
    name_strangers("do", modes)
    return st.segmented_control(
        "What to do", modes, default=modes[0], required=True, key="do", bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip


def prompt_area() -> str:
    """Write the prompt.

    Raises:
        PromptError: it is longer than the page reads.
    """
    prompt = st.text_area(
        "Prompt", PROMPT, key="prompt", bind="query-params", height=90,
        help="What comes before the first token. Empty: the model starts from its start token.",
    )  # fmt: skip
    if len(prompt) > MAX_PROMPT:
        raise PromptError(
            f"The prompt has {len(prompt):,} characters; at most {MAX_PROMPT:,} are read. "
            "Shorten it, or keep its end, which is what the next token depends on most."
        )
    return prompt


def length_controls() -> tuple[int, bool, int]:
    """Choose how far Run goes, whether the window slides, and how fast Play is."""
    name_bad_number("length", 1, MAX_LENGTH)
    length = st.number_input(
        "Tokens to run", 1, MAX_LENGTH, 200, key="length", bind="query-params",
        help="Run and Play stop after so many tokens behind the prompt.",
    )  # fmt: skip
    slide = st.toggle(
        "Slide the window", key="slide", bind="query-params",
        help="When the model's context is full, drop its oldest half and go on. The model then "
        "sees only what is left.",
    )  # fmt: skip
    speed = st.slider("Play: tokens a second", 1, 10, 4, key="speed")
    return int(length), slide, speed


def name_strangers(key: str, known: Sequence[str]) -> None:
    """Say so if the link names something that does not exist; Streamlit drops it silently."""
    value = st.query_params.get(key)
    if value is not None and value not in known:
        state.tell(
            f"The link names the {key} “{value[:60]}”, which is not here; "
            f"the default is shown instead. Known: {', '.join(known[:8])}."
        )


def name_bad_number(key: str, low: float, high: float) -> None:
    value = st.query_params.get(key)
    if value is None:
        return
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not low <= number <= high:
        state.tell(
            f"The link sets {key} to “{value[:60]}”; it must be a number from {low} to {high}. "
            "The default is used instead."
        )
