"""Sound to tokens and back: one token a sample, μ-law companded.

A token is an amplitude: one of `levels` steps that lie close together near silence and far apart
near full scale, as the ear hears them (ITU-T G.711's continuous formula with μ = levels - 1, the
256 levels of WaveNet, van den Oord et al. 2016, arXiv:1609.03499); BOS comes after them. Whatever
somebody uploads goes through `read_sound`, which looks at what a file claims before a decoder
takes memory for it, and never reads more than a bounded number of samples.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from playground.errors import (
    CheckpointError,
    PlaygroundError,
    PromptError,
    check_range,
    check_whole,
)

FORMATS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "FLAC", "OGG", "MP3")  # libsndfile's names
MAX_BYTES = 64 * 2**20
MIN_RATE, MAX_RATE = 1_000, 384_000  # Hz, of an upload
MAX_MODEL_RATE = 48_000  # Hz, of a model
MAX_CHANNELS = 64
MAX_FRAMES = 2**24  # read or resampled to, whatever is asked for: 64 MB in mono
UNKNOWN = 2**48  # frames; a stream that does not know its length claims more
BLOCK_VALUES = 2**18  # decoded at once, all channels together
MAX_KERNEL = 2**20  # values of a resampling filter
MAX_NOT_NUMBERS = 0.1  # of the samples
SILENCE = 2.0**-15  # one step of 16 bits
LONGEST_SECONDS = 60.0
FLOOR_DB = -80.0
WINDOW_SECONDS = 0.032
NEXT_STEP = "Save it as a WAV, FLAC or OGG file of the usual kind and try again."


@dataclass(frozen=True)
class PreparedSound:
    """An upload as the model hears it, and what was done to it."""

    samples: np.ndarray  # (T,) float32 in [-1, 1]
    notes: tuple[str, ...]


class AudioTokenizer:
    """One token a sample, one of `levels` amplitudes from -1 to 1, then BOS."""

    eos_token = None

    def __init__(self, sample_rate: int = 8_000, levels: int = 256):
        from torchaudio.functional import mu_law_decoding

        check_whole("sample_rate", sample_rate, MIN_RATE, MAX_MODEL_RATE)
        check_whole("levels", levels, 4, 256)
        self.sample_rate, self.levels = sample_rate, levels
        self.bos_token = levels
        self.vocab_size = levels + 1
        # In doubles: in floats, the levels of full scale can come out a little beyond it.
        values = mu_law_decoding(_tensor(np.arange(levels, dtype=np.float64)), levels)
        self._values = values.numpy().astype(np.float32)

    def quantise(self, samples: np.ndarray) -> np.ndarray:
        """Return the levels (T,) uint8 of samples (T,); beyond [-1, 1] the outermost.

        Raises:
            PromptError: they are not one row of finite floats.
        """
        from torchaudio.functional import mu_law_encoding

        samples = np.asarray(samples)
        if samples.ndim != 1 or (samples.size and samples.dtype.kind != "f"):
            raise PromptError(
                "Samples must be one row of floats from -1 to 1, got an array "
                f"{samples.shape} of {samples.dtype}. Mix the channels and scale them first."
            )
        if not np.isfinite(samples).all():
            raise PromptError(
                f"Samples must be finite numbers from -1 to 1; {_count_bad(samples):,} of "
                f"{samples.size:,} are not. Leave them out first."
            )
        clipped = np.clip(samples.astype(np.float64), -1, 1)
        return mu_law_encoding(_tensor(clipped), self.levels).numpy().astype(np.uint8)

    def encode(self, samples: np.ndarray) -> list[int]:
        """Return the tokens of samples (T,) at `sample_rate`, one each.

        Raises:
            PromptError: see `quantise`; `prepare` turns a file into such samples.
        """
        return self.quantise(samples).tolist()

    def decode(self, tokens: Sequence[int]) -> np.ndarray:
        """Return the samples (T,) float32 of `tokens`, BOS left out."""
        known = [token for token in tokens if 0 <= token < self.levels]
        return self._values[np.array(known, np.int64)]

    def value(self, token: int) -> float:
        """Return the amplitude of one level, from -1 to 1."""
        return float(self._values[token])

    def label(self, token: int) -> str:
        """Return a short name of one token: its amplitude in per cent of full scale."""
        if token == self.bos_token:
            return "⟨start⟩"
        percent = 100 * self.value(token)
        return f"{percent:+.{1 if abs(percent) >= 10 else 2}f} %"

    def to_json(self) -> dict:
        return {"type": "audio", "sample_rate": self.sample_rate, "levels": self.levels}

    @classmethod
    def from_json(cls, data: dict) -> AudioTokenizer:
        """Return the tokenizer that wrote `data` with `to_json`.

        Raises:
            CheckpointError: it is not such a dictionary.
        """
        try:
            return cls(data["sample_rate"], data["levels"])
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                f"The audio tokenizer is damaged ({type(error).__name__}: {error}). Use another "
                "checkpoint."
            ) from error
        except PlaygroundError as error:
            raise CheckpointError(f"The audio tokenizer is damaged: {error}") from error

    def prepare(self, data: bytes, longest_seconds: float = LONGEST_SECONDS) -> PreparedSound:
        """Turn the bytes of a sound file into samples that `encode` takes.

        Raises:
            PromptError: see `read_sound`.
        """
        return read_sound(data, self.sample_rate, longest_seconds=longest_seconds)


def read_sound(
    source: bytes | Path, sample_rate: int, *, longest_seconds: float = LONGEST_SECONDS
) -> PreparedSound:
    """Return the first `longest_seconds` of a sound file in mono at `sample_rate` Hz.

    Raises:
        PromptError: the file is no sound, damaged, empty, too large, of a rate outside
            [MIN_RATE, MAX_RATE] or of more than MAX_CHANNELS channels, or holds no numbers.
    """
    check_whole("sample_rate", sample_rate, MIN_RATE, MAX_RATE)
    check_range("longest_seconds", longest_seconds, 0, 36_000, open_low=True)
    samples, rate, notes = _decode_file(_bytes_of(source), sample_rate, longest_seconds)
    peak = float(np.abs(samples).max())
    if peak > 1:
        samples = (samples / np.float64(peak)).astype(np.float32)
        notes.append(f"Louder than full scale (peak {peak:.3g}): turned down to a peak of 1.")
    elif peak < SILENCE:
        notes.append("Silence: no sample is louder than one step of 16 bits.")
    if rate != sample_rate:
        samples = resample(samples, rate, sample_rate)
        notes.append(f"Resampled from {rate:,} to {sample_rate:,} Hz.")
    return PreparedSound(samples, tuple(notes))


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Return samples (T,) float32 in [-1, 1] at another rate, by windowed sinc interpolation."""
    import torchaudio

    # The filter has rate * new_rate values once the common factor is out: without a bound, 44,101
    # Hz would take gigabytes. The nearest small fraction is less than 0.1 % off.
    wave, ratio = _tensor(np.asarray(samples, np.float32)), Fraction(rate, new_rate)
    ratio = ratio.limit_denominator(max(1, math.isqrt(int(MAX_KERNEL / ratio))))
    new = torchaudio.functional.resample(wave, ratio.numerator, ratio.denominator)
    return new.clamp(-1, 1).numpy()  # the filter may overshoot


def to_wav(samples: np.ndarray, sample_rate: int) -> bytes:
    """Return a WAV file, 16 bits, of samples (T,) in [-1, 1]; louder ones are clipped."""
    return _write(samples, sample_rate, "WAV")


def to_flac(samples: np.ndarray, sample_rate: int) -> bytes:
    """Return a FLAC file of the same; of no samples no byte, since FLAC has no empty file."""
    return _write(samples, sample_rate, "FLAC")


def mel_spectrogram(
    samples: np.ndarray, sample_rate: int, n_mels: int = 64, hop_seconds: float = 0.008
) -> np.ndarray:
    """Return the power (n_mels, frames) float32 in dB of samples (T,), low frequencies first.

    A sine of full scale has about 0 dB; nothing is below FLOOR_DB. Frame i is centred on the time
    i * hop_seconds (rounded to samples), what lies outside the sound counts as silence.
    """
    import torch
    from torchaudio.functional import melscale_fbanks, spectrogram

    check_whole("n_mels", n_mels, 1, 256)
    samples = np.asarray(samples, np.float32)
    wave = _tensor(samples if samples.size else np.zeros(1, np.float32))
    window = torch.hann_window(max(4, round(WINDOW_SECONDS * sample_rate)))
    # The lowest band is the narrowest: the bins of the transform must be finer than it is.
    mels = 2595 * math.log10(1 + sample_rate / 2 / 700) / (n_mels + 1)
    narrowest = 700 * (10 ** (mels / 2595) - 1)  # Hz
    n_fft = 2 ** math.ceil(math.log2(max(sample_rate / narrowest, len(window))))
    hop = max(1, round(hop_seconds * sample_rate))
    power = spectrogram(
        wave, 0, window, n_fft, hop, len(window), power=2.0, normalized=False, pad_mode="constant"
    )  # (n_fft / 2 + 1, frames)
    bands = melscale_fbanks(n_fft // 2 + 1, 0.0, sample_rate / 2, n_mels, sample_rate)
    # A sine's power, spread over the bins of the window's main lobe, sums up to this (Parseval).
    full_scale = n_fft * window.square().sum() / 4
    power = (bands.T @ power) / full_scale
    return (10 * power.clamp_min(10 ** (FLOOR_DB / 10)).log10()).numpy()


def _bytes_of(source: bytes | Path) -> bytes:
    """Return the bytes of a file, if they are not too many."""
    if isinstance(source, Path):
        if not source.is_file():  # a pipe would be waited for
            raise PromptError(f"There is no file {source.name!r}. Choose a sound file that exists.")
        try:
            with source.open("rb") as file:
                source = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise PromptError(
                f"The file {source.name!r} cannot be read ({error.strerror}). Choose another."
            ) from error
    if not source:
        raise PromptError(f"The file is empty: it has 0 bytes, a sound has some. {NEXT_STEP}")
    if len(source) > MAX_BYTES:
        raise PromptError(
            f"The file is too large: at most {MAX_BYTES >> 20} MB are read. Cut the sound shorter "
            "or save it as FLAC or OGG."
        )
    return source


def _decode_file(
    data: bytes, new_rate: int, longest_seconds: float
) -> tuple[np.ndarray, int, list[str]]:
    """Return the samples (T,) float32 of a file in mono, its rate and notes; T is bounded."""
    import soundfile

    opened = False
    try:
        # From memory, without a name: libsndfile takes a file called .raw for samples alone.
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            opened = True
            _check_claims(file)
            rate, channels = file.samplerate, file.channels
            limit = min(int(longest_seconds * rate), MAX_FRAMES * rate // max(rate, new_rate))
            limit = max(1, limit)
            samples, n_bad = _read_mono(file, limit)
            more = file.frames > limit and len(samples) == limit
            missing = min(file.frames, limit) - len(samples) if file.frames < UNKNOWN else 0
    except soundfile.LibsndfileError as error:
        if opened:
            what = "The sound is damaged or cut short"
        elif "SF_INFO struct incomplete" in error.error_string:
            what = "The sound claims a rate of 0 or no channel; both must be at least 1"
        elif any(byte < 9 for byte in data[:1000]):
            what = "The file is no sound or its header is damaged, whatever its name says"
        else:
            what = "The file is text, not sound, whatever its name says"
        raise PromptError(
            f"{what}: {len(data):,} bytes, and their decoder says {error.error_string!r}. "
            f"{NEXT_STEP}"
        ) from error
    if not len(samples):
        raise PromptError(
            f"The sound has 0 samples; at least one is needed. The file has {len(data):,} bytes "
            f"and may be cut short. {NEXT_STEP}"
        )
    if n_bad > MAX_NOT_NUMBERS * len(samples):
        raise PromptError(
            f"{n_bad:,} of {len(samples):,} samples are not finite numbers; at most "
            f"{MAX_NOT_NUMBERS:.0%} may be (silence is put there). {NEXT_STEP}"
        )
    notes = []
    if n_bad:
        notes.append(f"Silence in place of {n_bad:,} sample(s) that are not finite numbers.")
    if channels > 1:
        notes.append(f"Mixed from {channels} channels to one.")
    if more:
        notes.append(f"Only the first {round(len(samples) / rate, 3):g} seconds were taken.")
    if missing > 0:
        notes.append(f"The file is cut short: {missing:,} samples that it claims are missing.")
    return samples, rate, notes


def _check_claims(file) -> None:
    """Raise PromptError if a file of this format, rate or number of channels is not decoded."""
    if file.format not in FORMATS:
        raise PromptError(
            f"The file is {file.format}; only {', '.join(FORMATS)} are read. {NEXT_STEP}"
        )
    if not MIN_RATE <= file.samplerate <= MAX_RATE:
        raise PromptError(
            f"The sound claims {file.samplerate:,} samples a second; {MIN_RATE:,} to "
            f"{MAX_RATE:,} are read. Save it at 8,000 or 44,100 Hz."
        )
    if file.channels > MAX_CHANNELS:
        raise PromptError(
            f"The sound has {file.channels:,} channels; at most {MAX_CHANNELS} are mixed to one. "
            "Save it in mono or stereo."
        )


def _read_mono(file, limit: int) -> tuple[np.ndarray, int]:
    """Return at most `limit` frames as the mean of their channels, and how many were not finite.

    Read in blocks, so that memory does not grow with the channels.
    """
    blocks, n_frames, n_bad = [np.zeros(0, np.float32)], 0, 0
    largest = float(np.finfo(np.float32).max)  # a file of doubles can hold more
    while n_frames < limit:
        count = min(BLOCK_VALUES // file.channels, limit - n_frames)
        block = file.read(count, dtype="float64", always_2d=True)  # (count, channels)
        if not len(block):
            break
        bad = ~np.isfinite(block)
        n_bad += int(bad.any(axis=1).sum())
        block[bad] = 0
        blocks.append(np.clip(block, -largest, largest).mean(axis=1).astype(np.float32))
        n_frames += len(block)
    return np.concatenate(blocks), n_bad


def _write(samples: np.ndarray, sample_rate: int, kind: str) -> bytes:
    import soundfile

    whole = np.clip(np.asarray(samples, np.float64), -1, 1) * 32767
    buffer = io.BytesIO()
    soundfile.write(buffer, whole.round().astype(np.int16), sample_rate, "PCM_16", format=kind)
    return buffer.getvalue()


def _count_bad(samples: np.ndarray) -> int:
    return int((~np.isfinite(samples)).sum())


def _tensor(array: np.ndarray):
    import torch

    return torch.from_numpy(np.require(array, requirements=("C", "W")))  # a copy only if need be
