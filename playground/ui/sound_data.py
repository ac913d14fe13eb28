"""Levels, distributions and dilations to what the components that draw sound are fed.

Samples travel as base64 of their mu-law levels; a sample's number counts from 0, without BOS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from playground.ui.picture_components import pack
from playground.ui.sound_pictures import amplitude_ticks

NOTHING = 255  # where a colour says nothing
LEAST_P = 1e-4  # a probability that is drawn weakest, and all below it


def sample_of(event: Any, count: int) -> int | None:
    """Return the sample that a trigger `go` tells, 0..count (count: what comes next), or None.

    Anybody can send anything to a server: what is no such number is nothing.
    """
    sample = event.get("sample") if isinstance(event, Mapping) else None
    return sample if type(sample) is int and 0 <= sample <= count else None


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

    whole = f"all {len(dilations)} layers" if len(dilations) > 1 else "the one layer"
    told = f"Receptive field of {whole}: {says(dilations)}."
    if len(shown) != len(dilations):
        told = f"The {len(shown)} layers drawn reach over {says(shown)}. {told}"
    if field(shown) > cursor:
        told += " Faint: before the sound begins, where there is nothing to read."
    return told
