"""What all sounds of a comparison are told, how long they become, and what they begin with."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from playground.comparison.conditions import alphabet_of, text_to_speak
from playground.comparison.kinds import MAX_SECONDS, USUAL_SECONDS
from playground.comparison.sounds import LEAST_SECONDS, length_of
from playground.data.sounds import read_examples
from playground.decoding.spec import ANY, MAX_LABEL
from playground.ui.compare_choices import choice, class_choice, name_bad_number
from playground.ui.compare_state import NONE, Settings
from playground.ui.resources import Loaded
from playground.ui.sound_components import player_card

USUAL_KEPT, MOST_KEPT = 0.25, 1.5  # seconds


def sound_settings(made: Settings, loaded: Loaded) -> Settings:
    """Choose a class or a text, the length, and what all sounds keep of a real one.

    Raises:
        ConfigError: the text cannot be spoken.
        CheckpointError: the examples are damaged.
    """
    say = _text(loaded) if alphabet_of(loaded) else ""
    condition = "" if say else class_choice(loaded)
    seconds = _seconds("seconds", "Length in seconds", LEAST_SECONDS, MAX_SECONDS, USUAL_SECONDS,
                       "Of every sound, behind what it keeps. A second of one sound is thousands "
                       "of decisions.")  # fmt: skip
    example, keep = _kept(loaded)
    return replace(
        made, length=length_of(loaded.tokenizer, seconds), condition=condition, say=say,
        seconds=seconds, example=example, keep=keep,
    )  # fmt: skip


def _text(loaded: Loaded) -> str:
    """Write what every lane is to speak; ANY where it is told nothing."""
    alphabet = alphabet_of(loaded)
    text = st.text_input(
        "Text to speak", loaded.card.example, MAX_LABEL, key="say", bind="query-params",
        help=f"What every model that speaks is told. It knows these letters: {alphabet.strip()}. "
        f"Empty, or “{ANY}”: nothing. The pencil of a lane gives it a text of its own.",
    )  # fmt: skip
    return (text if text == ANY else text_to_speak(text, alphabet)) or ANY


def _kept(loaded: Loaded) -> tuple[str, float]:
    """Choose a real sound whose beginning all lanes continue; ("", 0) for none."""
    clips = read_examples(loaded.card.folder, loaded.tokenizer)
    if clips is None:
        return "", 0.0
    example = choice(
        "example", "Continue an example", [NONE, *(str(i + 1) for i in range(len(clips)))],
        help="Every lane begins with the same part of a real sound that the model has not heard "
        "in training, and continues it.",
    )  # fmt: skip
    if example == NONE:
        return "", 0.0
    keep = _seconds("keep", "Seconds that are kept", 0.0, MOST_KEPT, USUAL_KEPT,
                    "Of the example; all of it if it is shorter.")  # fmt: skip
    rate, clip = loaded.tokenizer.sample_rate, clips[int(example) - 1]
    player_card(clip, rate, key="kept_part", title="the example, what is kept in grey",
                kept=min(len(clip), round(keep * rate)))  # fmt: skip
    return example, keep


def _seconds(key: str, label: str, low: float, high: float, usual: float, help: str) -> float:
    name_bad_number(key, low, high)
    return float(st.slider(label, low, high, usual, 0.05, key=key, bind="query-params", help=help))
