"""Sounds in and out of a comparison: the part that all lanes keep, and files to listen to."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Sequence

import numpy as np

from playground.comparison.engine import LaneResult
from playground.comparison.kinds import MAX_SECONDS
from playground.errors import ConfigError, check_range
from playground.tokenizers.audio import AudioTokenizer, to_flac, to_wav

LEAST_SECONDS = 0.05  # of sounds that are compared
PAUSE_SECONDS = 0.25  # between two sounds of one file
WRITERS = {".wav": to_wav, ".flac": to_flac}  # by what a file's name ends with


def length_of(tokenizer: AudioTokenizer, seconds: float) -> int:
    """Return how many samples last so long.

    Raises:
        ConfigError: it is shorter or longer than what is compared.
    """
    check_range("the length in seconds", seconds, LEAST_SECONDS, MAX_SECONDS)
    return round(seconds * tokenizer.sample_rate)


def kept_part(tokenizer: AudioTokenizer, samples: np.ndarray, seconds: float | None) -> list[int]:
    """Return the tokens of the first `seconds` of a sound (T,); None: of a quarter of a second.

    Raises:
        ConfigError: the seconds are out of range, or none of the sound is kept.
        PromptError: these are no samples.
    """
    seconds = 0.25 if seconds is None else seconds
    check_range("the seconds to keep", seconds, 0, MAX_SECONDS)
    return tokenizer.encode(samples[: round(seconds * tokenizer.sample_rate)])


def heard(tokenizer: AudioTokenizer, results: Sequence[LaneResult]) -> list[list[np.ndarray]]:
    """Return the sounds (T,) of every lane, with what they were given."""
    return [[tokenizer.decode(trace.tokens) for trace in result.traces] for result in results]


def writer(suffix: str) -> Callable[[np.ndarray, int], bytes]:
    """Return what writes sounds to files whose names end so.

    Raises:
        ConfigError: there is no such kind of file.
    """
    if suffix.lower() not in WRITERS:
        raise ConfigError(
            f"Sounds are written to files that end with {' or '.join(WRITERS)}, not with "
            f"{suffix[:20]!r}. Name another file."
        )
    return WRITERS[suffix.lower()]


def one_file(
    tokenizer: AudioTokenizer, sounds: Sequence[Sequence[np.ndarray]], suffix: str = ".wav"
) -> bytes:
    """Return a file with all sounds of all lanes one after the other, with a pause between two.

    Raises:
        ConfigError: `suffix` names no kind of file that is written.
    """
    write = writer(suffix)
    pause = np.zeros(round(PAUSE_SECONDS * tokenizer.sample_rate), np.float32)
    laid = [part for lane in sounds for sound in lane for part in (pause, sound)]
    return write(np.concatenate([pause[:0], *laid[1:]]), tokenizer.sample_rate)


def zipped(
    tokenizer: AudioTokenizer, labels: Sequence[str], sounds: Sequence[Sequence[np.ndarray]]
) -> bytes:
    """Return a ZIP archive with a WAV file for every sound, named after its lane."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (label, lane) in enumerate(zip(labels, sounds, strict=True), start=1):
            name = re.sub(r"[^\w.-]+", "-", label, flags=re.ASCII).strip("-.") or "lane"
            for i, sound in enumerate(lane, start=1):
                # Dates would make two archives of the same sounds differ.
                entry = zipfile.ZipInfo(f"{number}-{name}-{i}.wav")
                archive.writestr(entry, to_wav(sound, tokenizer.sample_rate))
    return out.getvalue()
