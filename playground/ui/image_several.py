"""Several pictures of one Run: which is looked at, where they disagree, one of them closely."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import streamlit as st

from playground.data.images import contact_sheet
from playground.decoding.lane import Lane
from playground.tokenizers.image import ImageTokenizer
from playground.traces import metrics
from playground.traces.trace import Trace
from playground.ui import image_completion_run as actions
from playground.ui import picture_components as components
from playground.ui import state
from playground.ui.picture_input import known_after, per_pixel

SHEET = 112  # screen pixels across of one picture among several
LARGE = 280  # and of one that is looked at


def scale_of(across: int, tokenizer: ImageTokenizer) -> int:
    """Return the screen pixels of one pixel so that a picture is about `across` of them wide."""
    return max(1, across // tokenizer.width)


def whole_pixels(tokenizer: ImageTokenizer, count: int) -> np.ndarray:
    """Return 1 where the first `count` tokens decide a pixel whole, else 0 (H, W)."""
    return (known_after(tokenizer, count) == components.DECIDED).astype(np.uint8)


def pick(session, key: str) -> None:
    """Look closely at the picture of a sheet that was clicked; for its callback."""
    event = state.event(key, "choose")
    index = event.get("index") if isinstance(event, dict) else None
    if type(index) is int and index >= 0:
        session.chosen = index


def spread(
    key: str,
    tokenizer: ImageTokenizer,
    pixels: Sequence[np.ndarray],
    known: Sequence[np.ndarray],
    *,
    kept: int = 0,
    title: str,
) -> None:
    """Draw where pictures differ, over their mean; the first `kept` tokens were given."""
    if len(pixels) == 1:
        st.caption("Where pictures differ can be seen with two of them or more.")
        return
    in_all, deviation = np.min(known, axis=0), actions.disagreement(pixels)
    deviation[(in_all != components.DECIDED) | (whole_pixels(tokenizer, kept) == 1)] = np.nan
    mean = np.stack(pixels).mean(axis=0).round().astype(np.uint8)
    facts = "Nothing decided yet."
    if not np.isnan(deviation).all():
        facts = f"standard deviation {np.nanmean(deviation):.1f} on average, of 127.5 at most"
    components.picture_canvas(
        key=key,
        data=components.canvas_data(
            mean, in_all, scale=scale_of(LARGE, tokenizer),
            overlay=components.overlay(
                deviation, "entropy", actions.SPREAD, title="spread", low="all agree",
                high="half and half",
            ),
            figures={"standard deviation": deviation, "mean": mean.mean(axis=-1)},
            title=title, facts=facts,
            alt=f"The mean of {len(pixels)} pictures and where they differ; {facts}.",
        ),
    )  # fmt: skip


def closely(
    key: str,
    tokenizer: ImageTokenizer,
    trace: Trace,
    lane: Lane,
    pixels: np.ndarray,
    known: np.ndarray,
    *,
    title: str,
) -> None:
    """Draw one picture large, with the surprisal of each pixel that was not given."""
    steps, kept = trace.steps, len(trace.prompt) - 1
    before = [0.0] * kept
    bits = per_pixel(tokenizer, before + [step.surprisal for step in steps])
    entropy = per_pixel(tokenizer, before + [step.entropy_bits for step in steps])
    given = whole_pixels(tokenizer, kept) == 1
    bits[given] = entropy[given] = np.nan
    most = tokenizer.channels * np.log2(tokenizer.levels)
    facts = f"{actions.caption(trace)} per dimension, " if steps else ""
    facts += f"{-metrics.log_likelihood(steps) / np.log(2):,.0f} bits in all\n"
    components.picture_canvas(
        key=key,
        data=components.canvas_data(
            pixels, known, scale=scale_of(LARGE, tokenizer),
            overlay=components.overlay(
                bits, "surprisal", most, title="surprisal", low="0",
                high=f"{most:.3g} bits or more",
            ),
            figures={"surprisal (bits)": bits, "entropy (bits)": entropy},
            title=title, facts=facts + f"draw {lane.sample} with seed {lane.seed}",
        ),
    )  # fmt: skip


def sheet_png(tokenizer: ImageTokenizer, pictures: Sequence[np.ndarray], columns: int) -> bytes:
    """Return pictures side by side as a PNG file."""
    image = contact_sheet(np.stack(pictures), columns=columns, scale=scale_of(SHEET, tokenizer))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
