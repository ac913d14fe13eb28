"""Components that draw sound: the waveform that grows, what comes next, and what is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import streamlit as st

from playground.tokenizers.audio import to_wav
from playground.ui.components import source
from playground.ui.sound_data import (
    heat_data,
    sample_of,
    tree_caption,
    tree_data,
    tree_levels,
    waveform_data,
)
from playground.ui.sound_pictures import spectrogram_data, wave_data

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
            shown = st.slider("How many of them", 1, depth, min(layers or depth, depth),
                              key=f"{key}_layers")  # fmt: skip
    part = tuple(dilations)[-shown:] if end == "next to the output" else tuple(dilations)[:shown]
    at = depth if end == "next to the output" else shown
    data = tree_data(part, kernel_size, cursor=cursor, sample_rate=sample_rate, top=at,
                     title=title)  # fmt: skip
    _tree(key=key, data=data)
    st.caption(tree_caption(dilations, part, kernel_size, sample_rate, cursor))


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


def growing_wave(
    samples: np.ndarray, sample_rate: int, *, whole: int, key: str, kept: int = 0, title: str = ""
) -> None:
    """Draw the waveform of a sound that will have `whole` samples, where many grow at once."""
    _spectrogram(key=key, data=wave_data(samples, sample_rate, whole=whole, kept=kept, title=title))


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
    border: bool = True,
) -> None:
    """Draw a sound to hear: title, waveform, spectrogram, player and a line of figures.

    Args:
        samples: (T,) in [-1, 1]; where T is 0 there is no player.
        figures: a caption, read as Markdown.
        kept: how many samples were given: grey in the waveform.
    """
    with st.container(border=border, key=key):
        spectrogram(samples, sample_rate, key=f"{key}_spectrogram", height=96, waveform=True,
                    kept=kept, legend=False, title=title)  # fmt: skip
        if len(samples):
            st.audio(to_wav(samples, sample_rate), format="audio/wav", alt=title)
        if figures:
            st.caption(figures)
