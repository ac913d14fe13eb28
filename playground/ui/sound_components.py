"""Components that draw sound: the waveform that grows, what comes next, and what is read.

Samples travel as base64 of their mu-law levels; a sample's number counts from 0, without BOS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from playground.tokenizers.audio import to_wav
from playground.ui.components import source
from playground.ui.picture_components import pack
from playground.ui.sound_pictures import amplitude_ticks, spectrogram_data

NOTHING = 255  # where a colour says nothing
LEAST_P = 1e-4  # a probability that is drawn weakest, and all below it
CARD_WIDTH = 150  # screen pixels at least: two beside each other on a phone

_TITLES = '<p class="title"></p><p class="facts"></p>'
_TIP = '<p class="spoken" aria-live="polite"></p><div class="tip" hidden></div>'
_SHARED_CSS = source("pixels.css") + source("tip.css") + source("sound.css")
_SHARED_JS = source("color.js") + source("pixels.js") + source("time_axis.js")

_waveform = st.components.v2.component(
    "playground_waveform",
    html=f"""<div class="host">{_TITLES}
<div class="tools" role="toolbar" aria-label="Zoom">
<button type="button" class="in" aria-label="Zoom in">+</button>
<button type="button" class="out" aria-label="Zoom out">−</button>
<button type="button" class="whole">All</button>
<button type="button" class="near-cursor">10 ms</button>
<button type="button" class="louder"></button>
<span class="shown"></span></div>
<canvas tabindex="0" role="application"></canvas>
<div class="legend" aria-hidden="true">
<span class="has-heat" hidden><b class="heat-title"></b><span class="low"></span>
<i class="ramp"></i><span class="high"></span></span>
<span><i class="key cursor"></i>the chosen sample</span>
<span class="has-kept" hidden><i class="key given"></i>given by you</span>
<span class="has-marks" hidden><i class="key mark"></i><span class="marks-title"></span></span>
<span class="has-reads" hidden><i class="key read"></i>read by the model</span>
<span class="hint fine">drag moves, Ctrl + wheel zooms</span>
<span class="hint coarse">drag moves, two fingers zoom</span>
</div>{_TIP}</div>""",
    css=_SHARED_CSS + source("waveform.css"),
    js=_SHARED_JS + source("waveform.js"),
)

_heat = st.components.v2.component(
    "playground_distribution_heat_map",
    html=f"""<div class="host">{_TITLES}<canvas tabindex="0" role="application"></canvas>
<div class="legend" aria-hidden="true"><span><b>probability</b><span class="low"></span>
<i class="ramp"></i><span class="high"></span></span>
<span><i class="key taken"></i>the level taken</span>
<span><i class="key cursor"></i>the chosen sample</span></div>{_TIP}</div>""",
    css=_SHARED_CSS + source("heat.css"),
    js=_SHARED_JS + source("heat.js"),
)

_tree = st.components.v2.component(
    "playground_dilation_tree",
    html=f"""<div class="host">{_TITLES}<div class="drawing"></div>{_TIP}</div>""",
    css=_SHARED_CSS + source("tree.css"),
    js=_SHARED_JS + source("tree.js"),
)

_spectrogram = st.components.v2.component(
    "playground_spectrogram",
    html="""<div class="host"><p class="title"></p><img class="wave" alt="" hidden>
<div class="plot"><div class="hertz" aria-hidden="true"></div><img class="picture" alt="">
<div class="seconds" aria-hidden="true"></div></div>
<div class="legend" aria-hidden="true"><span><span class="low"></span><i class="ramp"></i>
<span class="high"></span></span></div></div>""",
    css=_SHARED_CSS + source("spectrogram.css"),
    js=_SHARED_JS + source("spectrogram.js"),
)


def _nobody() -> None:
    """Listen to a trigger, so that its value is told by the component's result."""


def sample_of(event: Any, count: int) -> int | None:
    """Return the sample that a trigger `go` tells, 0..count (count: what comes next), or None.

    Anybody can send anything to a server: what is no such number is nothing.
    """
    sample = event.get("sample") if isinstance(event, Mapping) else None
    return sample if type(sample) is int and 0 <= sample <= count else None


def waveform(
    levels: bytes | Sequence[int] | np.ndarray,
    *,
    sample_rate: int,
    cursor: int,
    key: str,
    kept: int = 0,
    window: tuple[int, int] | None = None,
    colours: Sequence[float | None] | np.ndarray | None = None,
    colours_title: str = "",
    colours_unit: str = "bits",
    colours_most: float = 8.0,
    marks: Sequence[float] | np.ndarray | None = None,
    marks_title: str = "gradient",
    dilation: Sequence[int] = (),
    level_count: int = 256,
    title: str = "",
    facts: str = "",
    alt: str = "",
    on_go: Callable[[], None] | None = None,
) -> int | None:
    """Draw a sound as it grows; see `waveform_data` for what is drawn.

    A click, or Enter at the sample that the arrow keys point at, chooses a sample.

    Args:
        on_go: called at the start of the rerun that a choice begins; it finds
            {"sample": number} at `st.session_state[key]["go"]`, see `sample_of`.

    Returns:
        The sample that was chosen in this very run, 0..T (T: what comes next), or None.
    """
    data = waveform_data(
        levels, sample_rate=sample_rate, cursor=cursor, kept=kept, window=window, colours=colours,
        colours_title=colours_title, colours_unit=colours_unit, colours_most=colours_most,
        marks=marks, marks_title=marks_title, dilation=dilation, level_count=level_count,
        title=title, facts=facts, alt=alt,
    )  # fmt: skip
    result = _waveform(key=key, data=data, on_go_change=on_go or _nobody)
    return sample_of(result.go, data["count"])


def waveform_data(
    levels: bytes | Sequence[int] | np.ndarray,
    *,
    sample_rate: int,
    cursor: int,
    kept: int = 0,
    window: tuple[int, int] | None = None,
    colours: Sequence[float | None] | np.ndarray | None = None,
    colours_title: str = "",
    colours_unit: str = "bits",
    colours_most: float = 8.0,
    marks: Sequence[float] | np.ndarray | None = None,
    marks_title: str = "gradient",
    dilation: Sequence[int] = (),
    level_count: int = 256,
    title: str = "",
    facts: str = "",
    alt: str = "",
) -> dict:
    """Return what `waveform` draws.

    Args:
        levels: T mu-law levels, 0..level_count - 1, of the whole branch without BOS.
        cursor: the chosen sample, 0..T; T is the one that comes next.
        kept: how many samples somebody gave: grey.
        window: the samples (first, behind the last) to show; another one than before moves the
            view there, after that it is the visitor's. None: all of them.
        colours: up to T numbers, of sample 0 first, drawn as a strip below; None, NaN and what
            is missing stay clear. `colours_most` is drawn strongest, and all above it.
        marks: up to T weights of past samples, drawn behind the waveform as their share of the
            strongest.
        dilation: samples that are read, ticked below the waveform.

    Raises:
        ValueError: levels are no levels, or there are more colours or marks than samples.
    """
    values = _levels(levels, level_count)
    count = len(values)
    data: dict[str, Any] = {
        "levels": pack(values), "count": count, "mu": level_count - 1, "sample_rate": sample_rate,
        "cursor": int(cursor), "kept": int(kept), "title": title, "facts": facts,
        "window": None if window is None else [int(window[0]), int(window[1])],
        "colours": None, "marks": None, "reads": [int(i) for i in dilation if 0 <= i < count],
    }  # fmt: skip
    if colours is not None:
        share = _shorter("colours", colours, count) / colours_most
        strength = np.round((NOTHING - 1) * np.clip(np.nan_to_num(share), 0, 1)).astype(np.uint8)
        strength[np.isnan(share)] = NOTHING
        data["colours"] = {"values": pack(strength), "title": colours_title, "most": colours_most,
                           "unit": colours_unit}  # fmt: skip
    if marks is not None:
        weights = np.nan_to_num(np.abs(_shorter("marks", marks, count)), posinf=0.0)
        share = weights / max(float(weights.max(initial=0.0)), 1e-30)
        # Roots: gradients span decades, and a linear byte would leave only the strongest few.
        data["marks"] = {"values": pack(np.round(255 * np.sqrt(share)).astype(np.uint8)),
                         "title": marks_title}  # fmt: skip
    data["alt"] = alt or (
        f"Waveform of {count} samples, {1000 * count / sample_rate:.1f} ms; sample {cursor} is "
        "chosen."
    )
    return data


def _levels(levels: bytes | Sequence[int] | np.ndarray, level_count: int) -> np.ndarray:
    if isinstance(levels, bytes | bytearray | memoryview):
        values = np.frombuffer(levels, np.uint8)
    else:
        values = np.asarray(levels)
    if values.ndim != 1 or (len(values) and values.dtype.kind not in "iu"):
        raise ValueError(f"Levels must be (T,) whole numbers, got {values.dtype} {values.shape}.")
    if len(values) and not (0 <= values.min() and values.max() < level_count):
        raise ValueError(f"Levels must be 0 to {level_count - 1}, got {values.min()} to "
                         f"{values.max()}. BOS is none: leave it out.")  # fmt: skip
    return values.astype(np.uint8)


def _shorter(name: str, values: Any, count: int) -> np.ndarray:
    numbers = np.array(values, np.float64)  # None becomes NaN
    if numbers.ndim != 1 or len(numbers) > count:
        raise ValueError(f"{name} must be up to {count} numbers, got {numbers.shape}.")
    return numbers


def distribution_heat_map(
    logprobs: np.ndarray,
    taken: Sequence[int | None],
    *,
    sample_rate: int,
    first_index: int,
    key: str,
    cursor: int | None = None,
    title: str = "",
    facts: str = "",
    alt: str = "",
    on_go: Callable[[], None] | None = None,
) -> int | None:
    """Draw the distributions over the levels at several samples, one a column.

    A click on a column chooses its sample; see `heat_data` and, for `on_go`, `waveform`.

    Returns:
        The sample that was chosen in this very run, or None.
    """
    data = heat_data(logprobs, taken, sample_rate=sample_rate, first_index=first_index,
                     cursor=cursor, title=title, facts=facts, alt=alt)  # fmt: skip
    result = _heat(key=key, data=data, on_go_change=on_go or _nobody)
    sample = sample_of(result.go, first_index + data["count"] - 1)
    return sample if sample is not None and sample >= first_index else None


def heat_data(
    logprobs: np.ndarray,
    taken: Sequence[int | None],
    *,
    sample_rate: int,
    first_index: int,
    cursor: int | None = None,
    title: str = "",
    facts: str = "",
    alt: str = "",
) -> dict:
    """Return what `distribution_heat_map` draws.

    Args:
        logprobs: (T, L) natural logarithms; colours are of log p, from `LEAST_P` to 1.
        taken: T levels, None where none is.
        first_index: the sample of the first column; cursor: the chosen sample.
    """
    logprobs = np.asarray(logprobs, np.float64)
    if logprobs.ndim != 2 or len(taken) != len(logprobs):
        raise ValueError(f"Logprobs must be ({len(taken)}, levels), got {logprobs.shape}.")
    count, levels = logprobs.shape
    share = 1 - np.maximum(logprobs, np.log(LEAST_P)) / np.log(LEAST_P)
    strength = np.round(255 * np.clip(share, 0, 1)).astype(np.uint8)
    first, last = (1000 * (first_index + i) / sample_rate for i in (0, count))
    return {
        "values": pack(strength), "count": count, "levels": levels, "first": int(first_index),
        "taken": [None if level is None else int(level) for level in taken],
        "sample_rate": sample_rate, "cursor": cursor, "least": LEAST_P, "title": title,
        "facts": facts, "ticks": [[level, text] for level, text in amplitude_ticks(levels).items()],
        "alt": alt or f"Distributions over {levels} levels at {count} samples, {first:.1f} to "
        f"{last:.1f} ms.",
    }  # fmt: skip


def tree_levels(dilations: Sequence[int], kernel_size: int = 2) -> list[np.ndarray]:
    """Return how far back each layer is read, the output first, the input last.

    A causal convolution of dilation d reads 0, d, ..., (kernel_size - 1) d samples back
    (van den Oord et al. 2016, WaveNet, figure 3). L layers make L + 1 rows of offsets, ascending.
    """
    rows = [np.zeros(1, np.int64)]
    for dilation in reversed(dilations):
        taps = dilation * np.arange(kernel_size)
        rows.append(np.unique(rows[-1][:, None] + taps))
    return rows


def samples_read(dilations: Sequence[int], kernel_size: int, cursor: int) -> list[int]:
    """Return the samples that have a say in the one at `cursor`, ascending; none lies before 0."""
    offsets = tree_levels(dilations, kernel_size)[-1]
    return [int(i) for i in (cursor - 1 - offsets[::-1]) if i >= 0]


def dilation_tree(
    dilations: Sequence[int],
    kernel_size: int,
    *,
    cursor: int,
    sample_rate: int,
    key: str,
    layers: int | None = None,
    title: str = "",
) -> None:
    """Draw which past samples feed the one at `cursor`, layer by layer, and how many to show.

    Args:
        dilations: of each layer, the one next to the input first.
        layers: how many are drawn at first; None: all.
    """
    depth = len(dilations)
    left, right = st.columns(2)
    with left:
        end = st.segmented_control("Layers to draw", ("next to the output", "next to the input"),
                                   default="next to the output", required=True,
                                   key=f"{key}_end")  # fmt: skip
    with right:
        shown = depth
        if depth > 1:
            shown = st.slider("How many of them", 1, depth, layers or depth, key=f"{key}_layers")
    part = tuple(dilations)[-shown:] if end == "next to the output" else tuple(dilations)[:shown]
    at = depth if end == "next to the output" else shown
    data = tree_data(part, kernel_size, cursor=cursor, sample_rate=sample_rate, top=at,
                     title=title)  # fmt: skip
    _tree(key=key, data=data)
    st.caption(tree_caption(dilations, part, kernel_size, sample_rate, cursor))


def tree_data(
    dilations: Sequence[int], kernel_size: int, *, cursor: int, sample_rate: int,
    top: int | None = None, title: str = "",
) -> dict:  # fmt: skip
    """Return what `dilation_tree` draws; `top` is the number of its uppermost layer, from 1."""
    rows = tree_levels(dilations, kernel_size)
    top = len(dilations) if top is None else top
    read = len(rows[-1])
    return {
        "rows": [row.tolist() for row in rows], "dilations": list(reversed(dilations)),
        "kernel_size": kernel_size, "cursor": int(cursor), "sample_rate": sample_rate, "top": top,
        "title": title,
        "alt": f"{len(dilations)} layers of dilated convolutions: sample {cursor} at the top reads "
        f"{read} nodes of the lowest row.",
    }  # fmt: skip


def tree_caption(
    dilations: Sequence[int], shown: Sequence[int], kernel_size: int, sample_rate: int, cursor: int
) -> str:
    """Say how far the layers that are drawn reach, how far all do, and what lies before 0."""

    def field(part: Sequence[int]) -> int:
        return 1 + (kernel_size - 1) * sum(part)

    def says(part: Sequence[int]) -> str:
        return f"{field(part):,} samples, {1000 * field(part) / sample_rate:.1f} ms"

    told = f"Receptive field of all {len(dilations)} layers: {says(dilations)}."
    if len(shown) != len(dilations):
        told = f"The {len(shown)} layers drawn reach over {says(shown)}. {told}"
    if field(shown) > cursor:
        told += " Faint: before the sound begins, where there is nothing to read."
    return told


def spectrogram(
    samples: np.ndarray,
    sample_rate: int,
    *,
    key: str,
    height: int = 160,
    waveform: bool = False,
    kept: int = 0,
    legend: bool = True,
    title: str = "",
    alt: str = "",
) -> None:
    """Draw the mel spectrogram of (T,) samples in [-1, 1], axes in Hz and s.

    Args:
        waveform: whether a small one stands above it; its first `kept` samples are grey.
        legend: whether the colours are told; they are the same for every sound.
    """
    data = spectrogram_data(samples, sample_rate, height=height, waveform=waveform, kept=kept,
                            legend=legend, title=title, alt=alt)  # fmt: skip
    _spectrogram(key=key, data=data)


def player_grid():
    """Return a container for player cards: up to four beside each other, two on a phone."""
    return st.grid(4, min_column_width=CARD_WIDTH)


def player_card(
    samples: np.ndarray,
    sample_rate: int,
    *,
    key: str,
    title: str,
    figures: str = "",
    kept: int = 0,
) -> None:
    """Draw a sound to hear: title, waveform, spectrogram, player and a line of figures.

    Args:
        samples: (T,) in [-1, 1]; where T is 0 there is no player.
        figures: a caption, read as Markdown.
        kept: how many samples were given: grey in the waveform.
    """
    with st.container(border=True, key=key):
        spectrogram(samples, sample_rate, key=f"{key}_spectrogram", height=96, waveform=True,
                    kept=kept, legend=False, title=title)  # fmt: skip
        if len(samples):
            st.audio(to_wav(samples, sample_rate), format="audio/wav", alt=title)
        if figures:
            st.caption(figures)
