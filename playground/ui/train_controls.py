"""What is to be trained: family, size, text, schedule and minutes, chosen in the sidebar."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from playground import registry
from playground.errors import ConfigError
from playground.running import order, trainings
from playground.running.corpora import installed
from playground.running.families import FAMILIES, NUMBERS, SIZES
from playground.running.order import MAX_MINUTES, SCHEDULES, Order, own_sizes
from playground.running.settings import Setting, Value, settings_of
from playground.ui.controls import name_bad_number, name_strangers

OWN_TEXT, OWN_SIZE = "a text of my own", "own"
CHARACTERS, PAIRS = UNITS = ("characters", "byte pairs")


@dataclass(frozen=True)
class Text:
    """What is learned from: the name of a corpus, or the bytes of an upload, once there are any."""

    title: str
    characters: int
    corpus: str = ""
    upload: bytes | None = None

    @property
    def is_here(self) -> bool:
        return bool(self.corpus) or self.upload is not None


@dataclass(frozen=True)
class Wish:
    """What is to be trained on what, and how the run is called."""

    order: Order
    text: Text
    name: str
    size: str

    @property
    def flags(self) -> list[str]:
        """Flags of train.text without those of the folder, and of an own text.

        Raises:
            ConfigError, DataError: a number is out of its range, the text is too long.
        """
        return self.order.flags(self.text.corpus, self.text.characters)

    @property
    def command(self) -> str:
        """What one would type for the same training."""
        data = [] if self.text.corpus else ["--data", self.text.title or "my-text.txt"]
        words = ["python", "-m", "train.text", *self.flags, *data, "--out", f"runs/{self.name}"]
        return shlex.join(words)

    @property
    def summary(self) -> str:
        """Say it in a line."""
        parts = [f"{FAMILIES[self.order.family].title}, {self.size}", self.text.title or OWN_TEXT]
        if self.order.pieces:
            parts.append(f"{self.order.pieces:,} byte pairs")
        if self.order.family != "ngram":
            unit = "minute" if self.order.minutes == 1 else "minutes"
            parts.append(f"{self.order.minutes:g} {unit}, {self.order.schedule} rate")
        return " · ".join(parts)


def wish(runs: Path, begun: int) -> Wish:
    """Choose everything; whoever presses Start without a look gets three minutes.

    `begun` is how many trainings the visitor has started: each empties the field of the name.

    Raises:
        ConfigError: a number is out of its range, or the name will not do.
    """
    name_strangers("family", list(FAMILIES))
    family = st.selectbox("Family", list(FAMILIES), key="family", bind="query-params")
    st.caption(f"**{FAMILIES[family].title}.** {FAMILIES[family].summary}")
    learns = family != "ngram"
    size_box = st.container()  # its parameters depend on the tokens, which are chosen below
    text = _text()
    pieces = _tokens(text)
    with size_box:
        size, sizes = _size(family, pieces)
    minutes, schedule = _time() if learns else (Order.minutes, Order.schedule)
    settings = _advanced(family) if learns else {}
    name = _name(runs, f"my-{family}-{text.corpus or 'text'}", begun)
    chosen = Order(family, sizes, schedule, minutes, pieces, settings)
    return Wish(chosen, text, name, size)


def _size(family: str, pieces: int) -> tuple[str, str]:
    """Choose a size; return its name and its flags."""
    known = FAMILIES[family]
    choices = [*SIZES, OWN_SIZE]
    name_strangers("size", choices)
    size = st.pills("Size", choices, default="small", required=True, key="size",
                    bind="query-params")  # fmt: skip
    if size == OWN_SIZE:
        chosen = {}
        for flag in known.own:
            n = NUMBERS[flag]
            chosen[flag] = int(st.number_input(n.label, n.least, n.most, n.default,
                                               key=f"own{flag}", help=f"`{flag}`"))  # fmt: skip
        return "a size of my own", own_sizes(chosen)
    told = known.sizes[size]
    if told.parameters:
        count = told.parameters_at(pieces) if pieces else told.parameters
        st.caption(f"about {count:,} parameters: `{told.flags}`")
    else:
        st.caption(f"a table of counts: `{told.flags}`")
    return size, told.flags


def _text() -> Text:
    """Choose a corpus that is here, or upload a text."""
    here = installed()
    choices = [*here, OWN_TEXT]
    name_strangers("corpus", choices)
    data = st.selectbox("Text to learn from", choices, key="corpus", bind="query-params")
    if data != OWN_TEXT:
        title, characters = here[data]
        st.caption(f"{title}: {characters / 1e6:.1f} million characters")
        return Text(title, characters, data)
    limit = trainings.MAX_UPLOAD // 2**20
    file = st.file_uploader(
        "A UTF-8 text", key="train_text", max_upload_size=limit,
        help=f"Up to {limit} MB; it is kept beside the run, on the disk of the server.",
    )  # fmt: skip
    if file is None:
        return Text("", 0)
    upload = file.getvalue()
    return Text(file.name, len(upload), upload=upload)


def _tokens(text: Text) -> int:
    """Choose what a token is; return the size of the vocabulary of byte pairs, 0 for characters."""
    name_strangers("tokens", UNITS)
    unit = st.segmented_control("Tokens", UNITS, default=CHARACTERS, required=True, key="tokens",
                                bind="query-params", width="stretch")  # fmt: skip
    if unit == CHARACTERS:
        return 0
    pieces = st.number_input(
        "Size of the vocabulary", order.LEAST_PIECES, order.MAX_PIECES, 1024, 256, key="pieces",
        help="`--vocab-size`: the 256 bytes, then the pairs that are most frequent in the text, "
        "each put together from two shorter ones (byte-pair encoding).",
    )  # fmt: skip
    seconds = max(1, round(text.characters / order.PAIRED_A_SECOND))
    st.caption(
        f"The pieces are learned first, which takes about {seconds} s for this text and is not "
        "counted in the minutes."
    )
    return int(pieces)


def _time() -> tuple[float, str]:
    """Choose the minutes and the schedule."""
    name_bad_number("minutes", 0.5, MAX_MINUTES)
    minutes = st.number_input(
        "Minutes", 0.5, float(MAX_MINUTES), 3.0, 0.5, key="minutes", bind="query-params",
        format="%g",
        help="The first 20 steps are timed, and as many are planned as fit; the schedule spans "
        "them. On a machine that gets busier it takes longer.",
    )  # fmt: skip
    name_strangers("schedule", SCHEDULES)
    schedule = st.selectbox(
        "Learning-rate schedule", SCHEDULES, key="schedule", bind="query-params",
        help="After the warm-up it falls like half a cosine, in a line, with the root of the step, "
        "or not at all.",
    )  # fmt: skip
    return float(minutes), schedule


def _advanced(family: str) -> dict[str, Value]:
    """Choose the other settings that the family has; return them by their flags."""
    chosen: dict[str, Value] = {}
    with st.expander("Advanced", key="train_more"):
        for flag, setting in settings_of(family).items():
            if setting.idle_if is None or chosen[setting.idle_if[0]] != setting.idle_if[1]:
                chosen[flag] = _setting(flag, setting)
    return chosen


def _setting(flag: str, setting: Setting) -> Value:
    key, told = f"set{flag}", f"{setting.help} `{flag}`"
    if setting.choices:
        return st.selectbox(setting.label, setting.choices, key=key, help=told)
    kind = type(setting.default)
    step = kind(1) if kind is int else setting.default / 2 or 0.05
    return kind(
        st.number_input(
            setting.label, kind(setting.least), kind(setting.most), setting.default, step, key=key,
            format="%d" if kind is int else "%g", help=told,
        )
    )  # fmt: skip


def _name(runs: Path, stem: str, begun: int) -> str:
    """Choose a name; the one that is suggested is free."""
    stem = stem[:36].rstrip("-")
    suggested, number = stem, 2
    while _is_taken(runs, suggested):
        suggested, number = f"{stem}-{number}", number + 1
    given = st.text_input(
        "Name of the run", "", key=f"train_name_{begun}", placeholder=suggested, max_chars=40,
        help="It is found under this name in the lists of models.",
    ).strip()  # fmt: skip
    if not given:
        return suggested
    trainings.check_name(given)
    if _is_taken(runs, given):
        raise ConfigError(
            f"There is a model or a run {given} already. Give another name, or none: "
            f"{suggested} is free."
        )
    return given


def _is_taken(runs: Path, name: str) -> bool:
    is_shipped = (registry.ROOT / "checkpoints" / name).exists()  # the lists show that one
    is_known = any(card.name == name for card in registry.MODELS)
    return is_shipped or is_known or not trainings.is_free(runs / name)
