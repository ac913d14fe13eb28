"""What is to be trained: family, size, text, schedule and minutes, chosen in the sidebar."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from playground.running import trainings
from playground.running.corpora import installed
from playground.running.families import FAMILIES, NUMBERS, OPTIONS, SIZES
from playground.running.order import MAX_MINUTES, SCHEDULES, Order, own_sizes
from playground.ui.controls import name_bad_number, name_strangers

OWN_TEXT, OWN_SIZE = "a text of my own", "own"
TITLES = {"--positions": "Positions", "--connection": "Between cells",
          "--layer-norm": "Layer normalisation"}  # fmt: skip


@dataclass(frozen=True)
class Wish:
    """What is to be trained on what, and how the run is called."""

    order: Order
    data: str  # name of a corpus, "" for `upload`
    upload: bytes | None
    characters: int
    name: str


def wish(runs: Path) -> Wish:
    """Choose everything; whoever presses Start without a look gets three minutes.

    Raises:
        ConfigError: a number is out of its range.
    """
    name_strangers("family", list(FAMILIES))
    family = st.selectbox("Family", list(FAMILIES), key="family", bind="query-params")
    st.caption(f"**{FAMILIES[family].title}.** {FAMILIES[family].summary}")
    sizes = _size(family)
    data, upload, characters = _corpus()
    name_bad_number("minutes", 0.5, MAX_MINUTES)
    minutes = st.number_input(
        "Minutes", 0.5, float(MAX_MINUTES), 3.0, 0.5, key="minutes", bind="query-params",
        format="%g", disabled=family == "ngram",
        help="The first 20 steps are timed, and as many are planned as fit; the schedule spans "
        "them. On a machine that gets busier it takes longer.",
    )  # fmt: skip
    name_strangers("schedule", SCHEDULES)
    schedule = st.selectbox(
        "Learning rate", SCHEDULES, key="schedule", bind="query-params", disabled=family == "ngram",
        help="After a warm-up of 20 steps it falls like half a cosine, in a line, with the root of "
        "the step, or not at all.",
    )  # fmt: skip
    options, dropout, seed = _more(family)
    order = Order(family, sizes, schedule, float(minutes), seed, dropout, options)
    return Wish(order, data, upload, characters, _name(runs, family, data))


def _size(family: str) -> str:
    known = FAMILIES[family]
    choices = [*SIZES, OWN_SIZE]
    name_strangers("size", choices)
    size = st.segmented_control("Size", choices, default="small", required=True, key="size",
                                bind="query-params")  # fmt: skip
    if size == OWN_SIZE:
        chosen = {}
        for flag in known.own:
            n = NUMBERS[flag]
            chosen[flag] = int(st.number_input(n.label, n.least, n.most, n.default,
                                               key=f"own{flag}"))  # fmt: skip
        return own_sizes(chosen)
    told = known.sizes[size]
    counted = f"about {told.parameters:,} parameters" if told.parameters else "a table of counts"
    st.caption(f"{counted}: `{told.flags}`")
    return told.flags


def _corpus() -> tuple[str, bytes | None, int]:
    """Choose a corpus that is here, or upload one; return its name, its bytes, its length."""
    here = installed()
    choices = [*here, OWN_TEXT]
    name_strangers("corpus", choices)
    data = st.selectbox("Text to learn from", choices, key="corpus", bind="query-params")
    if data != OWN_TEXT:
        st.caption(f"{here[data][0]}: {here[data][1] / 1e6:.1f} million characters")
        return data, None, here[data][1]
    limit = trainings.MAX_UPLOAD // 2**20
    file = st.file_uploader(
        "A UTF-8 text", key="train_text", max_upload_size=limit,
        help=f"Up to {limit} MB; it is kept beside the run.",
    )  # fmt: skip
    upload = file.getvalue() if file is not None else None
    return "", upload, len(upload or b"")


def _more(family: str) -> tuple[dict[str, str], float, int]:
    with st.expander("More", key="train_more"):
        options = {
            flag: st.selectbox(TITLES[flag], OPTIONS[flag], key=f"option{flag}")
            for flag in FAMILIES[family].options
        }
        dropout = st.slider("Dropout", 0.0, 0.5, 0.0, 0.05, key="dropout")
        seed = st.number_input("Seed", 0, 2**31 - 1, 0, key="train_seed",
                               help="Of weights and of the order of the text.")  # fmt: skip
    return options, float(dropout), int(seed)


def _name(runs: Path, family: str, data: str) -> str:
    """Choose a name; the one that is suggested is free."""
    stem = f"my-{family}-{data or 'text'}"[:36].rstrip("-")
    free, number = stem, 2
    while (runs / free).exists():
        free, number = f"{stem}-{number}", number + 1
    given = st.text_input("Name of the run", "", key="train_name", placeholder=free, max_chars=60,
                          help="It is found under this name in the lists of models.")  # fmt: skip
    return given.strip() or free
