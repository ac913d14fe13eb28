"""Which picture is meant: a real one, an upload, a drawing, or what stands on the canvas.

Whatever comes from outside ends as bytes of the model's size with notes on what was done to it, or
as a message; an upload never ends the session. What was brought along is shared by all sections.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import streamlit as st

from playground.checkpoints import read_config
from playground.data.images import EXAMPLES, read_examples
from playground.errors import PlaygroundError
from playground.tokenizers.image import FORMATS, MAX_BYTES, ImageTokenizer
from playground.ui import picture_components as components
from playground.ui import state
from playground.ui.controls import name_strangers, plain
from playground.ui.resources import turn

SOURCES = {
    "example": "A real picture",
    "drawing": "Draw one",
    "upload": "Upload one",
    "canvas": "From the canvas",
}
THUMBNAIL = 52  # screen pixels across
PAD = 280
APART = 127  # grey values: what is farther apart is light and dark
MEMORY = "_pictures"


@dataclass(frozen=True, eq=False)
class PictureChoice:
    """A picture of the model's size, where it is from, and what was done to it."""

    pixels: np.ndarray  # (H, W, channels) uint8; not reduced to the model's levels yet
    source: str  # as a sentence names it: "real picture 3"
    notes: tuple[str, ...] = ()
    label: int | None = None  # its true class among `info["examples"]["classes"]`
    decided: int | None = None  # tokens of it that stand on the canvas; None: it is whole


@dataclass(frozen=True, eq=False)
class Examples:
    """Held-out pictures (N, H, W, channels) of a checkpoint, N = 0 if it has none."""

    pixels: np.ndarray
    labels: tuple[int | None, ...]
    names: tuple[str, ...]  # of their classes
    problem: str = ""


@dataclass(frozen=True, eq=False)
class Upload:
    """What became of a file: a picture, or a problem."""

    identity: tuple  # of the file and the size that it was made to fit
    name: str
    pixels: np.ndarray | None
    notes: tuple[str, ...] = ()
    problem: str = ""


@dataclass
class Memory:
    """What one visitor has brought along."""

    upload: Upload | None = None
    drawing: np.ndarray | None = None
    start: np.ndarray | None = None  # what the pad began with: another one would begin anew
    problem: str = ""  # of the last drawing


def choose(
    tokenizer: ImageTokenizer,
    key: str,
    folder: Path | None,
    canvas: Sequence[int] | None = None,
) -> PictureChoice | None:
    """Let the visitor choose a picture of the size of `tokenizer`; None until there is one.

    Args:
        key: of the widgets, and their names in the link.
        folder: of the checkpoint, whose examples are offered.
        canvas: the tokens, without BOS, that stand on the canvas of Step-through.
    """
    examples = examples_of(folder, tokenizer)
    if examples.problem:
        st.warning(plain(examples.problem))
    memory = _memory()
    _fit(memory, tokenizer)
    offered = [source for source in SOURCES if source != "example" or len(examples.pixels)]
    offered = [source for source in offered if source != "canvas" or canvas is not None]
    titles = [SOURCES[source] for source in offered]
    name_strangers(f"{key}_source", titles)
    title = st.segmented_control(
        "Which picture?", titles, default=titles[0], required=True, key=f"{key}_source",
        bind="query-params", on_change=_begin_drawing, label_visibility="collapsed",
    )  # fmt: skip
    source = next((s for s in offered if SOURCES[s] == title), offered[0])
    ground = ground_of(examples.pixels, tokenizer)
    choice = {
        "example": lambda: _example(examples, key),
        "upload": lambda: _uploaded(memory, tokenizer, key, ground),
        "drawing": lambda: _drawn(memory, tokenizer, key),
        "canvas": lambda: _on_canvas(tokenizer, canvas, ground),
    }[source]()
    for note in choice.notes if choice else ():
        st.caption(f":material/info: {plain(note)}")
    return choice


def background(tokenizer: ImageTokenizer, folder: Path | None) -> int:
    """Return the grey value 0..255 that the pictures of a checkpoint have around their subject."""
    return ground_of(examples_of(folder, tokenizer).pixels, tokenizer)


def ground_of(pictures: np.ndarray, tokenizer: ImageTokenizer) -> int:
    """Return the same of pictures (N, H, W, channels): the median along their edges.

    Without any it is black for grey pictures and white for those in colour, as most of ours are.
    """
    if not len(pictures):
        return 0 if tokenizer.shape[2] == 1 else 255
    return int(np.median(np.concatenate([_edge(picture) for picture in pictures])))


def known_after(tokenizer: ImageTokenizer, count: int) -> np.ndarray:
    """Return what is known of each pixel (H, W) once the first `count` tokens are: as canvases
    want it."""
    known = np.full(tokenizer.height * tokenizer.width, components.UNDECIDED, np.uint8)
    whole, colors = divmod(max(0, count), tokenizer.channels)
    order = tokenizer.pixels_in_order
    known[order[:whole]] = components.DECIDED
    if colors and whole < len(order):
        known[order[whole]] = components.PARTLY
    return known.reshape(tokenizer.height, tokenizer.width)


def per_pixel(tokenizer: ImageTokenizer, values: Sequence[float]) -> np.ndarray:
    """Add up numbers of the first tokens by pixel: (H, W), NaN where there is none."""
    total = np.full(tokenizer.height * tokenizer.width, np.nan)
    pixels = tokenizer.places[: len(values)] // tokenizer.channels
    total[pixels] = 0.0
    np.add.at(total, pixels, np.asarray(values, np.float64))
    return total.reshape(tokenizer.height, tokenizer.width)


def examples_of(folder: Path | None, tokenizer: ImageTokenizer) -> Examples:
    """Return the examples of a checkpoint; a damaged file is told, and nothing is offered."""
    path = None if folder is None else folder / EXAMPLES
    written = path.stat().st_mtime_ns if path is not None and path.is_file() else 0
    if path is None or not path.exists():
        return _no_examples(tokenizer)
    return _read_examples(str(folder), written, json.dumps(tokenizer.to_json()), tokenizer)


# -- inside ----------------------------------------------------------------------------------------


@st.cache_data(max_entries=32, show_spinner=False)
def _read_examples(folder: str, written: int, tokens: str, _tokenizer) -> Examples:
    try:
        pixels = read_examples(Path(folder), _tokenizer)
        info = read_config(Path(folder)).get("info") or {}
    except PlaygroundError as error:
        return replace(_no_examples(_tokenizer), problem=f"No real pictures are shown: {error}")
    if pixels is None:
        return _no_examples(_tokenizer)
    told = info.get("examples") if isinstance(info, dict) else None
    told = told if isinstance(told, dict) else {}
    names, labels = told.get("classes"), told.get("labels")
    names = tuple(map(str, names)) if isinstance(names, list) else ()
    labels = labels if isinstance(labels, list) and len(labels) == len(pixels) else []
    # Those of a folder without subfolders are all of one kind, which has no name.
    known = [n if type(n) is int and 0 <= n < len(names) else None for n in labels]
    return Examples(pixels, tuple(known or [None] * len(pixels)), names)


def _no_examples(tokenizer: ImageTokenizer) -> Examples:
    return Examples(np.empty((0, *tokenizer.shape), np.uint8), (), ())


def _memory() -> Memory:
    return st.session_state.setdefault(MEMORY, Memory())


def _fit(memory: Memory, tokenizer: ImageTokenizer) -> None:
    """Forget what is of another size than the model's pictures."""
    shape = tokenizer.shape
    if memory.drawing is not None and memory.drawing.shape != shape:
        memory.drawing = None
    if memory.start is not None and memory.start.shape != shape:
        memory.start = None
    if memory.upload is not None and memory.upload.pixels is not None:
        memory.upload = memory.upload if memory.upload.pixels.shape == shape else None


def _begin_drawing() -> None:
    """Let a pad that is about to appear begin with what was drawn before."""
    memory = _memory()
    memory.start = memory.drawing


def _name(examples: Examples, index: int) -> str:
    label = examples.labels[index]
    return f"{index + 1} · {examples.names[label]}" if label is not None else str(index + 1)


def _example(examples: Examples, key: str) -> PictureChoice:
    names = [_name(examples, i) for i in range(len(examples.pixels))]
    widget = f"{key}_example"
    if state.value(widget) not in (None, *names):
        state.forget_widget(widget)  # it was one of another model
    name_strangers(widget, names)
    name = st.selectbox("Real picture, which the model has not seen", names, key=widget,
                        bind="query-params")  # fmt: skip
    index = names.index(name) if name in names else 0
    width = examples.pixels.shape[2]
    components.picture_sheet(
        key=f"{key}_examples",
        data=components.sheet_data(
            list(examples.pixels), tips=names, scale=max(1, THUMBNAIL // width), chosen=index
        ),
        on_choose_change=lambda: _pick(key, names),
    )
    return PictureChoice(
        examples.pixels[index], f"real picture {names[index]}", label=examples.labels[index]
    )


def _pick(key: str, names: list[str]) -> None:
    event = state.event(f"{key}_examples", "choose")
    index = event.get("index") if isinstance(event, dict) else None
    if type(index) is int and 0 <= index < len(names):
        state.set_widget(f"{key}_example", names[index])


def _uploaded(
    memory: Memory, tokenizer: ImageTokenizer, key: str, ground: int
) -> PictureChoice | None:
    file = st.file_uploader(
        "A picture from your device", key=f"{key}_file", max_upload_size=MAX_BYTES >> 20,
        on_change=_forget_upload, label_visibility="collapsed",
        help=f"{', '.join(FORMATS)}. It is made as small as the model's pictures are.",
    )  # fmt: skip
    if file is not None:
        identity = (file.file_id, json.dumps(tokenizer.to_json()), ground)
        if memory.upload is None or memory.upload.identity != identity:
            memory.upload = _prepare(file, identity, tokenizer, ground)
    upload = memory.upload
    if upload is None:
        st.caption(f"It becomes {tokenizer.width} × {tokenizer.height} pixels, as the model's are.")
        return None
    if upload.pixels is None:
        st.error(plain(upload.problem))
        return None
    choice = PictureChoice(upload.pixels, f"your picture {upload.name[:60]}", upload.notes)
    return _inverted(choice, tokenizer, key, ground)


def _forget_upload() -> None:
    """Another file was chosen, or none; whoever merely looks elsewhere keeps theirs."""
    _memory().upload = None


def _prepare(file, identity: tuple, tokenizer: ImageTokenizer, ground: int) -> Upload:
    try:
        with turn():  # a large file takes as much memory and time as a model
            prepared = tokenizer.prepare(file.getvalue(), ground)
    except PlaygroundError as error:
        return Upload(identity, file.name, None, problem=str(error))
    return Upload(identity, file.name, prepared.pixels, prepared.notes)


def _inverted(
    choice: PictureChoice, tokenizer: ImageTokenizer, key: str, ground: int
) -> PictureChoice:
    """Offer to swap light and dark where the model's grey pictures have the other ground."""
    own = int(np.median(_edge(choice.pixels)))
    if tokenizer.shape[2] != 1 or abs(own - ground) <= APART:
        return choice
    seen, theirs = ("dark on light", "light on dark")[:: 1 if own > ground else -1]
    invert = st.toggle(
        "Invert light and dark", True, key=f"{key}_invert", bind="query-params",
        help=f"The picture looks {seen}; the model has only seen pictures that are {theirs}.",
    )  # fmt: skip
    note = (
        f"Light and dark were swapped: it was {seen}, the model's pictures are {theirs}."
        if invert
        else f"Left {seen}, though the model's pictures are {theirs}: it will find this strange."
    )
    pixels = 255 - choice.pixels if invert else choice.pixels
    return replace(choice, pixels=pixels, notes=(*choice.notes, note))


def _drawn(memory: Memory, tokenizer: ImageTokenizer, key: str) -> PictureChoice | None:
    height, width, channels = tokenizer.shape
    components.drawing_pad(
        key=f"{key}_pad",
        data=components.pad_data(
            height, width, channels, levels=tokenizer.levels, scale=max(1, PAD // width),
            start=memory.start,
        ),
        on_use_change=lambda: _use(key, (height, width, channels)),
    )  # fmt: skip
    if memory.problem:
        st.error(plain(memory.problem))
    if memory.drawing is None:
        st.caption("Draw something, then press **Use this drawing**.")
        return None
    return PictureChoice(memory.drawing, "your drawing")


def _use(key: str, shape: tuple[int, int, int]) -> None:
    memory = _memory()
    memory.problem = ""
    try:
        memory.drawing = components.pixels_of(state.event(f"{key}_pad", "use"), *shape)
    except PlaygroundError as error:
        memory.problem = str(error)


def _on_canvas(
    tokenizer: ImageTokenizer, tokens: Sequence[int], ground: int
) -> PictureChoice | None:
    if not tokens:
        st.caption("Nothing stands on the canvas of Step-through yet.")
        return None
    tokens = list(tokens)[: tokenizer.size]
    pixels = tokenizer.decode(tokens, unknown=ground)
    if len(tokens) == tokenizer.size:
        return PictureChoice(pixels, "the picture on the canvas")
    note = f"{len(tokens):,} of its {tokenizer.size:,} values are decided."
    return PictureChoice(pixels, "the picture on the canvas", (note,), decided=len(tokens))


def _edge(picture: np.ndarray) -> np.ndarray:
    """Return the values along the edge of a picture (H, W, channels)."""
    sides = (picture[0], picture[-1], picture[:, 0], picture[:, -1])
    return np.concatenate([side.ravel() for side in sides])
