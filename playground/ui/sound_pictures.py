"""Sound as numbers to draw and as small PNG pictures, without streamlit."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image

from playground.tokenizers.audio import FLOOR_DB, mel_spectrogram

INK = {"light": (0, 114, 178), "dark": (86, 180, 233)}
WAVE_HEIGHT = 48  # pixels of a waveform above a spectrogram
GIVEN = {"light": (138, 148, 163), "dark": (138, 148, 163)}
_ANCHORS = (  # black to light yellow over blue, violet and orange: lightness rises all along
    (8, 9, 22), (52, 26, 108), (150, 40, 116), (224, 92, 68), (246, 174, 70), (252, 244, 200),
)  # fmt: skip


def amplitudes(levels: int = 256) -> np.ndarray:
    """Return the amplitude (levels,) in [-1, 1] of each mu-law level.

    The inverse of ITU-T G.711's companding, as `AudioTokenizer.value` gives it.
    """
    steps = 2 * np.arange(levels) / (levels - 1) - 1
    return np.sign(steps) * np.expm1(np.abs(steps) * np.log1p(levels - 1)) / (levels - 1)


def amplitude_ticks(levels: int = 256) -> dict[int, str]:
    """Return level -> amplitude in words, a few that stand evenly on a mu-law axis."""
    mu = levels - 1
    ticks = {}
    for amplitude in (-1, -0.2, -0.03, 0, 0.03, 0.2, 1):
        squashed = np.sign(amplitude) * np.log1p(mu * abs(amplitude)) / np.log1p(mu)
        text = f"{amplitude:g}".replace("-", "\N{MINUS SIGN}")
        ticks[int(np.floor((squashed + 1) / 2 * mu + 0.5))] = text
    return ticks


def amplitude_swatches(levels: int = 256) -> list[str]:
    """Return a colour a level: violet below zero, grey at it, green above, stronger outwards."""
    ends = np.array([[118, 42, 131], [27, 120, 55]], float)
    middle = np.array([214, 217, 222], float)
    steps = 2 * np.arange(levels) / (levels - 1) - 1
    colors = middle + np.abs(steps)[:, None] * (ends[(steps > 0).astype(int)] - middle)
    return [f"rgb({r} {g} {b})" for r, g, b in np.round(colors).astype(int).tolist()]


def envelope(samples: np.ndarray, columns: int) -> np.ndarray:
    """Return the least and the greatest (2, columns) of each column's samples.

    Neighbouring columns share a sample, so that the drawing has no gaps between them.
    """
    samples = np.asarray(samples, np.float64)
    if not len(samples):
        return np.zeros((2, columns))
    edges = np.linspace(0, len(samples), columns + 1)
    starts = np.minimum(edges[:-1].astype(int), len(samples) - 1)
    ends = np.clip(np.ceil(edges[1:]).astype(int) + 1, starts + 1, len(samples))
    return np.array([[samples[a:b].min(), samples[a:b].max()]
                     for a, b in zip(starts, ends, strict=True)]).T  # fmt: skip


def waveform_picture(
    samples: np.ndarray, width: int = 240, height: int = 48, theme: str = "light", kept: int = 0,
    whole: int = 0,
) -> bytes:  # fmt: skip
    """Return a PNG of the waveform on a clear ground; the first `kept` samples are grey.

    Args:
        samples: (T,) in [-1, 1].
        theme: "light" or "dark", of what it lies on.
        whole: how many samples there is room for, if that is more than there are.
    """
    whole = max(whole, len(samples), 1)
    filled = -(-width * len(samples) // whole)  # rounded up: the first sample is seen at once
    low, high = envelope(samples, filled)
    low, high = (np.pad(side, (0, width - filled)) for side in (low, high))
    middle = (height - 1) / 2
    top = np.round(middle - np.clip(high, -1, 1) * middle).astype(int)
    bottom = np.round(middle - np.clip(low, -1, 1) * middle).astype(int)
    rows = np.arange(height)[:, None]
    drawn = (rows >= top) & (rows <= bottom) & (np.arange(width) < filled)
    given = np.arange(width) < kept * width / whole
    picture = np.zeros((height, width, 4), np.uint8)
    picture[..., :3] = np.where(given[:, None], GIVEN[theme], INK[theme])
    picture[..., 3] = 255 * drawn
    return _png(picture)


def _png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def oklab(rgb: np.ndarray) -> np.ndarray:
    """Return sRGB colours (..., 3) of 0..255 in OKLab (Ottosson 2020), where distance is seen."""
    c = np.asarray(rgb, np.float64) / 255
    c = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return np.cbrt(c @ _TO_LMS.T) @ _TO_LAB.T


def _to_srgb(lab: np.ndarray) -> np.ndarray:
    c = (lab @ np.linalg.inv(_TO_LAB).T) ** 3 @ np.linalg.inv(_TO_LMS).T
    c = np.clip(c, 0, 1)
    return np.where(c <= 0.0031308, 12.92 * c, 1.055 * c ** (1 / 2.4) - 0.055)


_TO_LMS = np.array([
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
])  # fmt: skip
_TO_LAB = np.array([
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
])  # fmt: skip


@lru_cache(maxsize=4)
def colour_map(count: int = 256) -> np.ndarray:
    """Return (count, 3) uint8 from black to light yellow, equal steps of which look equal.

    A line through a few anchors in OKLab, walked at an even pace.
    """
    anchors = oklab(np.array(_ANCHORS))
    dense = np.linspace(0, len(anchors) - 1, 2001)
    line = np.stack([np.interp(dense, np.arange(len(anchors)), a) for a in anchors.T], axis=1)
    walked = np.concatenate([[0], np.linalg.norm(np.diff(line, axis=0), axis=1).cumsum()])
    even = np.linspace(0, walked[-1], count)
    lab = np.stack([np.interp(even, walked, part) for part in line.T], axis=1)
    colors = np.round(255 * _to_srgb(lab)).astype(np.uint8)
    colors.setflags(write=False)
    return colors


def spectrogram_picture(decibels: np.ndarray) -> bytes:
    """Return a PNG of (bands, frames) dB, low sounds below: FLOOR_DB is black, 0 dB brightest.

    The scale is that of every sound, so that a soft one looks soft beside a loud one.
    """
    share = np.clip(1 - np.asarray(decibels) / FLOOR_DB, 0, 1)
    return _png(colour_map()[np.round(255 * share).astype(int)][::-1])


def mel_share(hertz: float, sample_rate: int) -> float:
    """Return how far up a mel axis from 0 to sample_rate / 2 a frequency stands, 0 to 1."""
    return float(np.log1p(hertz / 700) / np.log1p(sample_rate / 2 / 700))


def hertz_ticks(sample_rate: int, wanted: Sequence[int] = (0, 250, 500, 1000, 2000, 4000, 8000)):
    """Return [share of the height from below, words] for the mel axis of a spectrogram."""
    return [[round(mel_share(f, sample_rate), 4), f"{f / 1000:g} kHz" if f >= 1000 else f"{f} Hz"]
            for f in wanted if f <= sample_rate / 2]  # fmt: skip


def spectrogram_data(
    samples: np.ndarray, sample_rate: int, *, height: int = 160, waveform: bool = False,
    kept: int = 0, legend: bool = True, title: str = "", alt: str = "",
) -> dict:  # fmt: skip
    """Return what `sound_components.spectrogram` draws: pictures and their axes."""
    samples = np.asarray(samples, np.float32)
    seconds = len(samples) / sample_rate
    return {
        "png": _base64(spectrogram_picture(mel_spectrogram(samples, sample_rate))),
        "seconds": round(seconds, 6), "height": height, "hertz": hertz_ticks(sample_rate),
        "stops": [f"rgb({r} {g} {b})" for r, g, b in colour_map()[::15].tolist()],
        "low": f"{FLOOR_DB:.0f} dB".replace("-", "\N{MINUS SIGN}"), "high": "0 dB",
        "waves": _waves(samples, kept) if waveform else {}, "wave_height": WAVE_HEIGHT,
        "legend": legend, "title": title,
        "alt": alt or f"Mel spectrogram of {seconds:.2f} s of sound, 0 to {sample_rate // 2} Hz.",
    }  # fmt: skip


def wave_data(
    samples: np.ndarray, sample_rate: int, *, whole: int, kept: int = 0, title: str = ""
) -> dict:
    """Return what the same component draws of a sound that grows: its waveform alone.

    A spectrogram takes far longer, and would be drawn anew all the time.
    """
    seconds = len(samples) / sample_rate
    return {
        "png": "", "seconds": seconds, "height": 0, "hertz": [], "stops": [], "low": "",
        "high": "", "waves": _waves(samples, kept, whole), "wave_height": WAVE_HEIGHT,
        "legend": False, "title": title, "alt": f"Waveform, {seconds:.2f} s so far.",
    }  # fmt: skip


def _waves(samples: np.ndarray, kept: int, whole: int = 0) -> dict[str, str]:
    return {theme: _base64(waveform_picture(samples, 360, WAVE_HEIGHT, theme, kept, whole))
            for theme in INK}  # fmt: skip


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
