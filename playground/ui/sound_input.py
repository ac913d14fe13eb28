"""Which sound is meant: a real one, an upload, a recording, or what was made step by step.

Whatever comes from outside ends as samples of the model's rate with notes on what was done to it,
or as a message; a file never ends the session. What was brought along is shared by all sections.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st

from playground.checkpoints import read_config
from playground.data.sounds import EXAMPLES, read_examples
from playground.errors import PlaygroundError
from playground.tokenizers.audio import FORMATS, AudioTokenizer, to_wav
from playground.ui import state
from playground.ui.controls import name_strangers, plain
from playground.ui.resources import turn
from playground.ui.sound_components import spectrogram

SOURCES = {
    "example": "A real one",
    "record": "Record",
    "upload": "Upload",
    "canvas": "Step by step",
}
LONGEST = 4.0  # seconds that are read
MAX_MB = 16  # of a file
MEMORY = "_sounds"


@dataclass(frozen=True, eq=False)
class SoundChoice:
    """A sound at the model's rate, where it is from, and what was done to it."""

    samples: np.ndarray  # (T,) float32 in [-1, 1]; not reduced to the model's levels yet
    source: str  # as a sentence names it: "real sound 3"
    notes: tuple[str, ...] = ()
    label: int | None = None  # its true class, as the model counts classes
    text: str = ""  # what is said in it, where that is known
    is_model_s: bool = False  # made here, by some model


@dataclass(frozen=True, eq=False)
class Examples:
    """Held-out sounds of a checkpoint; none if it has none."""

    clips: tuple[np.ndarray, ...] = ()
    labels: tuple[int | None, ...] = ()
    texts: tuple[str, ...] = ()
    names: tuple[str, ...] = ()  # of the classes
    problem: str = ""


@dataclass(frozen=True, eq=False)
class Brought:
    """What became of a file: samples, or a problem."""

    identity: tuple  # of the file and the rate that it was read at
    name: str
    samples: np.ndarray | None
    notes: tuple[str, ...] = ()
    problem: str = ""


@dataclass
class Memory:
    """What one visitor has brought along, by where it came from."""

    record: Brought | None = None
    upload: Brought | None = None


def choose(
    tokenizer: AudioTokenizer, key: str, folder: Path, canvas: Sequence[int] = ()
) -> SoundChoice | None:
    """Let the visitor choose a sound; None until there is one.

    Args:
        key: of the widgets, and their names in the link.
        folder: of the checkpoint, whose examples are offered.
        canvas: the tokens, without BOS, that were made step by step.
    """
    examples = examples_of(folder, tokenizer)
    if examples.problem:
        st.warning(plain(examples.problem))
    offered = [source for source in SOURCES if source != "example" or examples.clips]
    titles = [SOURCES[source] for source in offered]
    name_strangers(f"{key}_source", titles)
    title = st.segmented_control(
        "Which sound?", titles, default=titles[0], required=True, key=f"{key}_source",
        bind="query-params", label_visibility="collapsed",
    )  # fmt: skip
    source = next((s for s in offered if SOURCES[s] == title), offered[0])
    choice = {
        "example": lambda: _example(examples, key),
        "record": lambda: _recorded(tokenizer, key),
        "upload": lambda: _uploaded(tokenizer, key),
        "canvas": lambda: _on_canvas(tokenizer, canvas),
    }[source]()
    if choice is not None:
        st.audio(to_wav(choice.samples, tokenizer.sample_rate), format="audio/wav",
                 alt=choice.source)  # fmt: skip
        spectrogram(choice.samples, tokenizer.sample_rate, key=f"{key}_spectrogram", height=96,
                    waveform=True, legend=False)  # fmt: skip
        for note in choice.notes:
            st.caption(f":material/info: {plain(note)}")
    return choice


def examples_of(folder: Path, tokenizer: AudioTokenizer) -> Examples:
    """Return the examples of a checkpoint; a damaged file is told, and nothing is offered."""
    path = folder / EXAMPLES
    if not path.exists():
        return Examples()
    return _read_examples(
        str(folder), path.stat().st_mtime_ns, json.dumps(tokenizer.to_json()), tokenizer
    )


# -- inside ----------------------------------------------------------------------------------------


@st.cache_data(max_entries=16, show_spinner=False)
def _read_examples(folder: str, written: int, tokens: str, _tokenizer) -> Examples:
    try:
        clips = read_examples(Path(folder), _tokenizer)
        info = read_config(Path(folder)).get("info") or {}
    except PlaygroundError as error:
        return Examples(problem=f"No real sounds are offered: {error}")
    if clips is None:
        return Examples()
    told = info.get("examples") if isinstance(info, dict) else None
    told = told if isinstance(told, dict) else {}
    names = info.get("classes")
    names = tuple(map(str, names)) if isinstance(names, list) else ()

    def column(name: str) -> list:
        values = told.get(name)
        fits = isinstance(values, list) and len(values) == len(clips)
        return values if fits else [None] * len(clips)

    labels = [n if type(n) is int and 0 <= n < len(names) else None for n in column("labels")]
    texts = [text if isinstance(text, str) else "" for text in column("texts")]
    return Examples(tuple(clips), tuple(labels), tuple(texts), names)


def _memory() -> Memory:
    return st.session_state.setdefault(MEMORY, Memory())


def _forget(source: str) -> None:
    """Another file was chosen, or none; whoever merely looks elsewhere keeps theirs."""
    setattr(_memory(), source, None)


def _name(examples: Examples, index: int) -> str:
    label, text = examples.labels[index], examples.texts[index]
    said = examples.names[label] if label is not None else text[:40]
    return f"{index + 1} · {said}" if said else str(index + 1)


def _example(examples: Examples, key: str) -> SoundChoice:
    names = [_name(examples, i) for i in range(len(examples.clips))]
    widget = f"{key}_example"
    if state.value(widget) not in (None, *names):
        state.forget_widget(widget)  # it was one of another model
    name_strangers(widget, names)
    name = st.selectbox("Real sound, which the model has not heard", names, key=widget,
                        bind="query-params")  # fmt: skip
    index = names.index(name) if name in names else 0
    return SoundChoice(
        examples.clips[index], f"real sound {names[index]}", label=examples.labels[index],
        text=examples.texts[index],
    )  # fmt: skip


def _recorded(tokenizer: AudioTokenizer, key: str) -> SoundChoice | None:
    file = st.audio_input(
        "Record a sound", sample_rate=16_000, key=f"{key}_recording",
        on_change=_forget, args=("record",),
        help=f"Of at most {LONGEST:g} seconds. It stays on this server while the page is open.",
    )  # fmt: skip
    memory = _memory()
    memory.record = _read(file, tokenizer, memory.record)
    return _brought(memory.record, "your recording")


def _uploaded(tokenizer: AudioTokenizer, key: str) -> SoundChoice | None:
    file = st.file_uploader(
        "A sound from your device", key=f"{key}_file", max_upload_size=MAX_MB,
        on_change=_forget, args=("upload",),
        label_visibility="collapsed",
    )  # fmt: skip
    st.caption(
        f"{', '.join(FORMATS)}. Its first {LONGEST:g} seconds are read, in mono at "
        f"{tokenizer.sample_rate:,} samples a second."
    )
    memory = _memory()
    memory.upload = _read(file, tokenizer, memory.upload)
    name = memory.upload.name[:60] if memory.upload is not None else ""
    return _brought(memory.upload, f"your sound {name}")


def _read(file, tokenizer: AudioTokenizer, before: Brought | None) -> Brought | None:
    """Return what a file holds; whoever merely looks elsewhere keeps what they brought."""
    if file is None:
        return before
    identity = (file.file_id, json.dumps(tokenizer.to_json()))
    if before is not None and before.identity == identity:
        return before
    try:
        with turn():  # a large file takes as much memory and time as a model
            prepared = tokenizer.prepare(file.getvalue(), LONGEST)
    except PlaygroundError as error:
        return Brought(identity, file.name, None, problem=str(error))
    return Brought(identity, file.name, prepared.samples, prepared.notes)


def _brought(brought: Brought | None, source: str) -> SoundChoice | None:
    if brought is None:
        return None
    if brought.samples is None:
        st.error(plain(brought.problem))
        return None
    return SoundChoice(brought.samples, source, brought.notes)


def _on_canvas(tokenizer: AudioTokenizer, tokens: Sequence[int]) -> SoundChoice | None:
    if not tokens:
        st.caption("Nothing was made step by step yet.")
        return None
    return SoundChoice(
        tokenizer.decode(tokens), "the sound that was made step by step", is_model_s=True
    )
