"""Components that draw pictures and levels, and what turns arrays into their data.

Bytes travel as base64 of uint8; a pixel's number is row * width + column, from 0. `level_bars`
knows nothing of pictures: its levels may be those of a sound.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from playground.errors import PromptError
from playground.ui.components import source

UNDECIDED, DECIDED, PARTLY, LATER = range(4)  # what is known of a pixel
OVERLAYS = ("surprisal", "entropy", "look")

_TITLES = '<p class="title"></p><p class="facts"></p>'
_TIP = '<p class="spoken" aria-live="polite"></p><div class="tip" hidden></div>'
_SHARED_CSS = source("pixels.css") + source("tip.css")
_SHARED_JS = source("color.js") + source("pixels.js")

_picture = st.components.v2.component(
    "playground_picture",
    html=f"""<div class="host">{_TITLES}<div class="frame">
<canvas class="hatched" tabindex="0" role="application"></canvas></div>
<div class="legend" aria-hidden="true">
<span class="heat" hidden><b class="heat-title"></b><span class="low"></span><i class="ramp"></i>
<span class="high"></span></span>
<span class="has-cursor" hidden><i class="key cursor"></i>comes next</span>
<span class="has-chosen" hidden><i class="key chosen"></i>in the chart</span>
<span class="has-field" hidden><i class="key field"></i>can be seen from there</span>
<span class="has-later" hidden><i class="key later"></i>decided later</span>
<span class="has-undecided" hidden><i class="key hatched"></i>not decided yet</span>
</div>{_TIP}</div>""",
    css=_SHARED_CSS + source("picture.css"),
    js=_SHARED_JS + source("picture.js"),
)

_sheet = st.components.v2.component(
    "playground_sheet",
    html=f"""<div class="host"><p class="title"></p><div class="grid" role="group"></div>
<div class="legend" aria-hidden="true" hidden><span><i class="key given"></i>border of what was
given</span></div>{_TIP}</div>""",
    css=_SHARED_CSS + source("sheet.css"),
    js=_SHARED_JS + source("sheet.js"),
)

_levels = st.components.v2.component(
    "playground_levels",
    html=f"""<div class="host">{_TITLES}
<div class="charts" tabindex="0" role="application"></div>
<div class="legend" aria-hidden="true">
<span><i class="key taken"></i>▲ the choice</span><span><i class="key kept"></i>possible</span>
<span><i class="key removed"></i>✕ removed</span>
</div>{_TIP}</div>""",
    css=_SHARED_CSS + source("levels.css"),
    js=_SHARED_JS + source("levels.js"),
)

_pad = st.components.v2.component(
    "playground_pad",
    html="""<div class="host"><div class="desk">
<canvas class="paper" tabindex="0" role="application"></canvas>
<div class="tools">
<fieldset><legend>Tool</legend><div class="row tool-row"></div></fieldset>
<fieldset><legend>Size</legend><div class="row size-row"></div></fieldset>
<fieldset><legend>Colour</legend><div class="row color-row"></div>
<label class="own" hidden><input type="color">a colour of your own</label></fieldset>
<div class="row"><button type="button" class="undo">Undo</button>
<button type="button" class="clear">Clear</button></div>
<div class="row"><button type="button" class="use">Use this drawing</button></div>
</div></div></div>""",
    css=_SHARED_CSS + source("pad.css"),
    js=_SHARED_JS + source("pad.js"),
)


def picture_canvas(key: str, data: dict, on_go_change: Callable[[], None] | None = None):
    """Draw the picture of `canvas_data`; a click or Enter triggers `go` {"pixel": number}.

    Without a callback it can be read but not clicked.
    """
    data = {**data, "still": on_go_change is None}
    return _picture(key=key, data=data, on_go_change=on_go_change)


def level_bars(key: str, data: dict, on_take_change: Callable[[], None] | None = None):
    """Draw the charts of `levels_data`; a click or Enter triggers `take` {"sid": "12:3"}."""
    return _levels(key=key, data=data, on_take_change=on_take_change)


def picture_sheet(key: str, data: dict, on_choose_change: Callable[[], None] | None = None):
    """Draw the pictures of `sheet_data`; a click triggers `choose` {"index": number}.

    Without a callback they can be read but not clicked.
    """
    data = {**data, "still": on_choose_change is None}
    return _sheet(key=key, data=data, on_choose_change=on_choose_change)


def drawing_pad(key: str, data: dict, on_use_change: Callable[[], None] | None = None):
    """Let somebody draw on the pad of `pad_data`; its button triggers `use`, see `pixels_of`."""
    return _pad(key=key, data=data, on_use_change=on_use_change)


def pack(values: np.ndarray) -> str:
    """Return an array of bytes or truth values as base64 of uint8, in C order.

    Raises:
        ValueError: it holds something else: a cast would draw a wrong picture silently.
    """
    if values.dtype not in (np.uint8, np.bool_):
        raise ValueError(f"Bytes must be uint8 or bool, got {values.dtype}.")
    return base64.b64encode(values.astype(np.uint8).tobytes()).decode()


def _sides(pixels: np.ndarray) -> tuple[int, int, int]:
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
        raise ValueError(f"A picture must be (H, W, 1) or (H, W, 3), got {pixels.shape}.")
    return pixels.shape


def _of_size(name: str, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if values.shape != shape:
        raise ValueError(f"{name} must be of shape {shape}, got {values.shape}.")
    return values


def overlay(
    values: np.ndarray, kind: str, most: float, *, title: str = "", low: str = "", high: str = ""
) -> dict:
    """Return a heat map for `canvas_data`: what is not finite or below 0 stays clear.

    Args:
        values: (H, W) numbers, for example bits a pixel.
        kind: "surprisal", "entropy" or "look"; each has its colours.
        most: the number that is drawn strongest, and all above it.
    """
    if kind not in OVERLAYS:
        raise ValueError(f"An overlay must be one of {OVERLAYS}, got {kind!r}.")
    share = np.nan_to_num(np.asarray(values, np.float64), nan=0.0) / max(most, 1e-12)
    strength = np.round(255 * np.clip(share, 0, 1)).astype(np.uint8)
    return {"values": strength, "kind": kind, "title": title or kind, "low": low, "high": high}


def canvas_data(
    pixels: np.ndarray,
    known: np.ndarray,
    *,
    scale: int = 14,
    cursor: int | None = None,
    chosen: int | None = None,
    overlay: Mapping[str, Any] | None = None,
    field: np.ndarray | None = None,
    figures: Mapping[str, Any] | None = None,
    title: str = "",
    facts: str = "",
    alt: str = "",
) -> dict:
    """Return what `picture_canvas` draws.

    Args:
        pixels: (H, W, 1 or 3) uint8, the values to show; undecided pixels are not read.
        known: (H, W) of UNDECIDED, DECIDED, PARTLY (some of its colours are) and LATER (decided
            behind the one that is looked at, so drawn faintly), or of truth values.
        scale: screen pixels a pixel, where there is room for it.
        cursor, chosen: numbers of the pixel that comes next and of the one in the chart.
        overlay: see `overlay`, whose values are (H, W) uint8.
        field: (H, W) of 0 and 1: the receptive field, outlined.
        figures: name with unit -> (H, W) numbers or H*W in a list (None or NaN: nothing to
            say there), or None; the tip tells them.
        alt: says what there is to see, to those who do not see it.
    """
    height, width, colors = _sides(pixels)
    _of_size("known", known, (height, width))
    data: dict[str, Any] = {
        "height": height, "width": width, "colors": colors, "scale": scale,
        "pixels": pack(pixels), "known": pack(known), "cursor": cursor, "chosen": chosen,
        "overlay": None, "field": None, "title": title, "facts": facts,
        "figures": {name: _rounded(values, height * width)
                    for name, values in (figures or {}).items() if values is not None},
    }  # fmt: skip
    if overlay is not None:
        strength = _of_size("overlay values", overlay["values"], (height, width))
        data["overlay"] = {**overlay, "values": pack(strength)}
    if field is not None:
        data["field"] = pack(_of_size("field", field, (height, width)))
    decided = int(np.count_nonzero(known == DECIDED))
    data["alt"] = alt or (
        f"A picture of {width} by {height} pixels, {decided} of {height * width} decided."
    )
    return data


def _rounded(values: Any, count: int) -> list[float | None]:
    numbers = np.array(values, np.float64).ravel()  # None becomes NaN
    if numbers.size != count:
        raise ValueError(f"A figure must be told of {count} pixels, got {numbers.size}.")
    return [None if not np.isfinite(n) else int(n) if n == int(n) else round(float(n), 3)
            for n in numbers]  # fmt: skip


def grey_swatches(values: Sequence[int]) -> list[str]:
    """Return the colours of brightnesses 0..255, for `levels_data`."""
    return [f"rgb({v} {v} {v})" for v in map(int, values)]


def color_swatches(values: Sequence[int], channel: int) -> list[str]:
    """Return the colours of intensities 0..255 of red (0), green (1) or blue (2) alone."""
    return [f"rgb({' '.join(str(v if c == channel else 0) for c in range(3))})"
            for v in map(int, values)]  # fmt: skip


def levels_data(
    stages: Sequence[str],
    logprobs: np.ndarray,
    taken: int | None,
    swatches: Sequence[str],
    position: int | None,
    *,
    names: Sequence[str] | None = None,
    ticks: Mapping[int, str] | None = None,
    title: str = "",
    facts: str = "",
    alt: str = "",
) -> dict:
    """Return what `level_bars` draws: a distribution over levels through each processor.

    Args:
        stages: names, the model's first; S of them.
        logprobs: (S, L) natural logarithms; -inf is what a stage, or one before it, removed.
        taken: the level that is taken, or None.
        swatches: L colours as CSS writes them.
        position: of the decision, returned with a click; None: nothing can be taken.
        names: what the tip says of each level, for example "brightness 170".
        ticks: level -> what the axis says there, for example amplitudes; None: level numbers.
    """
    logprobs = np.asarray(logprobs, np.float64)
    if logprobs.ndim != 2 or logprobs.shape[0] != len(stages):
        raise ValueError(f"Logprobs must be ({len(stages)} stages, levels), got {logprobs.shape}.")
    levels = logprobs.shape[1]
    if len(swatches) != levels or (names is not None and len(names) != levels):
        raise ValueError(f"There must be one swatch and one name for each of {levels} levels.")
    gone = np.isneginf(logprobs)
    earlier = np.vstack([np.zeros((1, levels), bool), gone[:-1]])
    probs = np.exp(logprobs)
    likeliest = int(probs[-1].argmax())
    return {
        "position": position, "title": title, "facts": facts, "stages": list(stages),
        "probs": np.round(probs, 6).tolist(), "taken": taken, "swatches": list(swatches),
        "removed": [np.flatnonzero(row).tolist() for row in gone & ~earlier],
        "names": None if names is None else list(names),
        "ticks": None if ticks is None else [[level, text] for level, text in ticks.items()],
        "alt": alt or (f"Probabilities of {levels} levels after {stages[-1]}; the likeliest is "
                       f"{likeliest} with {probs[-1, likeliest]:.1%}."),
    }  # fmt: skip


def sheet_data(
    pictures: Sequence[np.ndarray],
    known: Sequence[np.ndarray | None] | None = None,
    *,
    captions: Sequence[str] | None = None,
    tips: Sequence[str] | None = None,
    scale: int = 4,
    chosen: int | None = None,
    kept: int | np.ndarray | None = None,
    title: str = "",
) -> dict:
    """Return what `picture_sheet` draws.

    Args:
        pictures: each (H, W, 1 or 3) uint8, all of one shape.
        known: of each (H, W) as in `canvas_data`; None: all is decided.
        captions, tips: of each, below it and when it is pointed at.
        kept: how many pixels were given in raster order, or which: (H, W) of 0 and 1.
    """
    count = len(pictures)
    if not count:
        return {"height": 1, "width": 1, "colors": 1, "scale": scale, "pictures": [],
                "chosen": None, "kept": None, "title": title}  # fmt: skip
    height, width, colors = _sides(pictures[0])
    whole = np.ones((height, width), np.uint8)
    drawn = []
    for i, pixels in enumerate(pictures):
        mask = whole if known is None or known[i] is None else known[i]
        drawn.append({
            "pixels": pack(_of_size("a picture", pixels, (height, width, colors))),
            "known": pack(_of_size("known", mask, (height, width))),
            "caption": captions[i] if captions else "",
            "tip": tips[i] if tips else "",
        })  # fmt: skip
    if isinstance(kept, np.ndarray):
        kept = pack(_of_size("kept", kept, (height, width)))
    return {"height": height, "width": width, "colors": colors, "scale": scale,
            "pictures": drawn, "chosen": chosen, "kept": kept, "title": title}  # fmt: skip


def pad_data(
    height: int,
    width: int,
    colors: int = 1,
    *,
    levels: int = 256,
    scale: int = 12,
    start: np.ndarray | None = None,
) -> dict:
    """Return what `drawing_pad` offers: a sheet of `height` by `width` and up to 16 colours.

    `start` (H, W, colors) uint8 is what is drawn on; another start begins anew.
    """
    if start is not None:
        start = pack(_of_size("start", start, (height, width, colors)))
    return {"height": height, "width": width, "colors": colors, "levels": levels,
            "scale": scale, "start": start}  # fmt: skip


def pixels_of(event: Any, height: int, width: int, colors: int) -> np.ndarray:
    """Return the drawing (H, W, colors) uint8 that `drawing_pad` sent.

    Raises:
        PromptError: it is not such a drawing; anybody can send anything to a server.
    """
    size = height * width * colors
    text = event.get("pixels") if isinstance(event, Mapping) else None
    problem = None
    if not isinstance(text, str):
        problem = "holds no pixels"
    elif len(text) != 4 * -(-size // 3):  # before anything is decoded
        problem = f"has {len(text)} letters of base64"
    else:
        try:
            values = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            problem = "is not base64"
        else:
            problem = f"has {len(values)} bytes" if len(values) != size else None
    if problem:
        raise PromptError(
            f"The drawing {problem}. It must hold {size} bytes: {width}x{height} pixels of "
            f"{colors} colour(s). Reload the page and draw it again."
        )
    return np.frombuffer(values, np.uint8).reshape(height, width, colors).copy()
