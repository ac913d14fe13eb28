"""What is guessed: held-out texts, pictures and sounds, and what is uncovered of them so far."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from playground.data.text import EXCERPT, held_out_excerpt
from playground.errors import ConfigError
from playground.tokenizers.audio import to_wav
from playground.ui import picture_components as components
from playground.ui import picture_input, sound_input, state
from playground.ui import shannon_state as play
from playground.ui.controls import name_bad_number, plain
from playground.ui.resources import Loaded
from playground.ui.shannon_state import Game
from playground.ui.sound_components import waveform

PASSAGES = 20
GIVEN = 200  # characters
LONGEST = 600  # characters of a passage
SHOWN = 500  # characters of a text
ACROSS = 280  # screen pixels of a picture
BEFORE = 240  # samples of a sound that are drawn
LOUD_S = 0.05  # that loudness is taken over
SECONDS = 1.0  # of a sound that are known at most
SWATCH = 36


@dataclass(frozen=True)
class Item:
    """What is guessed, and how much of it is known from the start."""

    modality: str
    mark: Hashable
    tokens: Sequence[int]  # BOS left out
    given: int


def choose(loaded: Loaded) -> Item | None:
    """Choose what is guessed; the link names it by its number, which tells nothing of it.

    Raises:
        PlaygroundError: the checkpoint's held-out things cannot be read.
    """
    tokenizer = loaded.tokenizer
    if hasattr(tokenizer, "symbols"):
        return _passage(loaded)
    if hasattr(tokenizer, "height"):
        return _picture(loaded)
    return _sound(loaded)


def _number(label: str, key: str, most: int) -> int:
    if (value := state.value(key)) is not None and not 1 <= value <= most:
        state.forget_widget(key)  # it was one of another model
    name_bad_number(key, 1, most)
    return int(st.number_input(label, 1, most, 1, key=key, bind="query-params"))


def _passage(loaded: Loaded) -> Item | None:
    """Choose a passage of the held-out text, or paste one."""
    folder = loaded.card.folder
    if not (folder / EXCERPT).is_file():
        st.info(f"{plain(loaded.card.name)} keeps no held-out text. Choose another model.")
        return None
    text = held_out_excerpt(folder)
    number = _number(f"Passage (1 to {PASSAGES})", "passage", PASSAGES)
    found = passage_of(text, number)
    return Item("text", number, loaded.tokenizer.encode(found), min(GIVEN, len(found) // 2))


def passage_of(text: str, number: int) -> str:
    """Return passage 1 to PASSAGES of a text: from some word on."""
    start = (number - 1) * max(0, len(text) - LONGEST) // PASSAGES
    start = text.find(" ", start) + 1 if start else 0
    return text[start : start + LONGEST]


def _picture(loaded: Loaded) -> Item | None:
    tokenizer = loaded.tokenizer
    examples = picture_input.examples_of(loaded.card.folder, tokenizer)
    if not len(examples.pixels):
        st.info(f"{plain(loaded.card.name)} keeps no held-out pictures. Choose another model.")
        return None
    with st.container(horizontal=True):
        number = _number("Picture", "guessed", len(examples.pixels))
        name_bad_number("known", 0, 90)
        known = st.select_slider("Known from the start, in per cent", range(0, 91, 10), 40,
                                 key="known", bind="query-params")  # fmt: skip
    given = tokenizer.size * known // 100 // tokenizer.channels * tokenizer.channels
    tokens = tokenizer.encode(examples.pixels[number - 1])
    if tokenizer.levels > play.MOST_LEVELS:
        st.caption(f"The {tokenizer.levels} levels are guessed in {play.BANDS} bands; the model's "
                   "probabilities are added up alike.")  # fmt: skip
    return Item("image", (number, known), tokens, given)


def _sound(loaded: Loaded) -> Item | None:
    tokenizer = loaded.tokenizer
    examples = sound_input.examples_of(loaded.card.folder, tokenizer)
    if not examples.clips:
        st.info(f"{plain(loaded.card.name)} keeps no held-out sounds. Choose another model.")
        return None
    number = _number("Sound", "guessed", len(examples.clips))
    clip = examples.clips[number - 1]
    start, end, given = loud_part(clip, tokenizer.sample_rate)
    if end - start < 2:
        raise ConfigError(f"Sound {number} is too short to be guessed. Choose another.")
    st.caption(
        f"Each sample is one of {tokenizer.levels} levels, guessed in {play.BANDS} bands of as "
        "many levels each; the model's probabilities are added up alike. What is given ends "
        "where the sound is loudest."
    )
    tokens = tokenizer.encode(clip[start:end])
    return Item("audio", number, tokens, given)


def loud_part(clip: np.ndarray, sample_rate: int) -> tuple[int, int, int]:
    """Return the ends of at most SECONDS around the loudest moment, and how much is known of it.

    What is known ends where the sound is loudest, so that there is something to guess.
    """
    room = max(1, round(LOUD_S * sample_rate))
    energy = np.cumsum(np.concatenate([[0.0], clip.astype(np.float64) ** 2]))
    middle = int((energy[room:] - energy[:-room]).argmax()) if len(clip) > room else len(clip) // 2
    half = round(SECONDS * sample_rate / 2)
    start, end = max(0, middle - half), min(len(clip), middle + half)
    return start, end, middle - start


# -- what is uncovered -----------------------------------------------------------------------------


def draw(game: Game, loaded: Loaded) -> None:
    """Draw what is known so far, and where the next one will be."""
    tokenizer, known = loaded.tokenizer, game.truth[: game.place]
    if hasattr(tokenizer, "symbols"):
        text = tokenizer.decode(known)
        more = "…" if len(text) > SHOWN else ""
        st.code(f"{more}{text[-SHOWN:]}▁", language=None, wrap_lines=True)
    elif hasattr(tokenizer, "height"):
        pixel = None
        if not game.is_over:
            pixel = int(tokenizer.places[game.place]) // tokenizer.channels
        components.picture_canvas(
            key="shannon_picture",
            data=components.canvas_data(
                tokenizer.decode(known), picture_input.known_after(tokenizer, len(known)),
                scale=max(1, ACROSS // tokenizer.width), cursor=pixel,
                title=_colour(game, tokenizer),
            ),
        )  # fmt: skip
    else:
        start = max(0, len(known) - BEFORE)
        waveform(
            np.array(known[start:], np.int64), sample_rate=tokenizer.sample_rate,
            cursor=len(known) - start, key="shannon_sound", level_count=tokenizer.levels,
            title=f"The last {len(known) - start} samples",
        )  # fmt: skip
        st.audio(to_wav(tokenizer.decode(known), tokenizer.sample_rate), format="audio/wav",
                 alt="What is known of the sound")  # fmt: skip


def _colour(game: Game, tokenizer) -> str:
    if tokenizer.channels == 1 or game.is_over:
        return "The next pixel is marked"
    channel = int(tokenizer.places[game.place]) % tokenizer.channels
    name = ("red", "green", "blue")[channel] if tokenizer.channels == 3 else "value"
    return f"The next pixel is marked: how much {name} has it?"


def swatches(game: Game, loaded: Loaded) -> None:
    """Draw the levels as they look; a click guesses one."""
    tokenizer, count = loaded.tokenizer, len(game.symbols.names)
    channels = tokenizer.shape[2]
    channel = int(tokenizer.places[game.place]) % tokenizer.channels if channels > 1 else 0
    pictures = []
    for symbol in range(count):
        own = [level for level in range(tokenizer.levels)
               if game.symbols.of_token[level] == symbol]  # fmt: skip
        picture = np.zeros((1, 1, channels), np.uint8)
        middle = own[len(own) // 2] if len(own) > 2 else own[0]
        picture[0, 0, channel] = round(255 * middle / (tokenizer.levels - 1))
        pictures.append(picture)
    names = [
        "✕" if symbol in game.tried else name for symbol, name in enumerate(game.symbols.names)
    ]
    components.picture_sheet(
        key="shannon_levels",
        data=components.sheet_data(pictures, captions=names, scale=SWATCH),
        on_choose_change=lambda: _clicked(game),
    )


def _clicked(game: Game) -> None:
    event = state.event("shannon_levels", "choose")
    index = event.get("index") if isinstance(event, dict) else None
    if type(index) is int:
        play.guess(game, index)
