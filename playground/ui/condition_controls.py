"""What a model is told of all it makes, by class or by words, and how strongly it is guided."""

from __future__ import annotations

import streamlit as st

from playground.comparison.conditions import text_to_speak
from playground.ui import state
from playground.ui.controls import name_bad_number, name_strangers
from playground.ui.resources import Loaded

ANY = "any"  # class
MAX_GUIDANCE = 8.0
CLEAR = 2.0  # towards a text: three of four digits are recognised, without it every second one
GUIDANCE = (
    "Classifier-free guidance: what the {told} makes likelier becomes likelier still. 1: off; 0: "
    "as if no {told} were told. Ho & Salimans 2022, arXiv:2207.12598"
)


def class_names(loaded: Loaded) -> list[str]:
    """Return the names of the classes that a model can be told; none if it knows no classes."""
    number = getattr(loaded.model.config, "n_class", 0)
    told = loaded.info.get("classes")
    names = [str(name) for name in told] if isinstance(told, list) else []
    return [names[i] if i < len(names) else f"class {i}" for i in range(number)]


def alphabet_of(loaded: Loaded) -> str:
    """Return the letters of the words that a model can be told; none if it reads no words."""
    return getattr(loaded.model.config, "alphabet", "")


def class_controls(loaded: Loaded) -> tuple[int | None, float]:
    """Choose a class, None for none in particular, and the guidance towards it."""
    names = class_names(loaded)
    if not names:
        return None, 1.0
    options = [ANY, *names]
    if state.value("class") not in (None, *options):
        state.forget_widget("class")  # one of another model
    name_strangers("class", options)
    chosen = st.selectbox(
        "Class", options, key="class", bind="query-params",
        help=f"What the model is told to make; “{ANY}”: it is told nothing.",
    )  # fmt: skip
    if chosen == ANY:
        return None, 1.0
    return names.index(chosen), _guidance("class")


def text_controls(loaded: Loaded, example: str) -> tuple[str | None, float]:
    """Write what is to be spoken, None for nothing, and choose the guidance towards it.

    Raises:
        ConfigError: it is too long, or has letters that the model does not know.
    """
    alphabet = alphabet_of(loaded)
    text = st.text_input(
        "Text to speak", example, key="say", bind="query-params",
        help=f"The model knows these letters: {alphabet.strip()}. Empty: it is told nothing.",
    )  # fmt: skip
    text = text_to_speak(text, alphabet)
    if text is None:
        return None, 1.0
    return text, _guidance("text", CLEAR)


def _guidance(told: str, default: float = 1.0) -> float:
    name_bad_number("guidance", 0.0, MAX_GUIDANCE)
    return st.slider(
        "Guidance", 0.0, MAX_GUIDANCE, default, 0.25, key="guidance", bind="query-params",
        help=GUIDANCE.format(told=told),
    )  # fmt: skip
