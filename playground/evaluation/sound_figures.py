"""All figures of a set of sounds in one row: how likely, how loud, how varied, how like real ones.

Bits per sample alone reward silence, which is the likeliest of all sounds: a model hesitates
between levels on both sides of zero, and who takes the likeliest of them each time never leaves it.
So loudness and silence stand beside them. Sounds are compared by mel spectrograms in dB, which
tell sounds apart as ears do, and only where something was decided.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from playground.evaluation.diversity import mean, pairwise_distance
from playground.evaluation.judge import Judge, Judgement, entropies
from playground.evaluation.judge import judge as judged
from playground.models.base import ARModel
from playground.tokenizers.audio import mel_spectrogram
from playground.traces.trace import Trace

NEAR_SILENT = 0.01  # of full scale: -40 dB
QUIETEST_DB = -100.0


@dataclass(frozen=True)
class SoundFigures:
    """What is told of k sounds; None where it is not defined."""

    samples: int  # sounds
    mean_length: float | None  # samples of a sound that were decided, the mean
    log_likelihood: float | None  # nats a sound, under the raw model told its condition
    bits_per_sample: float | None  # of all samples of all sounds
    entropy: float | None  # bits of the raw model's distributions, the mean
    judge_log_likelihood: float | None  # under the judge
    judge_bits_per_sample: float | None
    loudness: float | None  # dB; see the functions of these names
    silent_share: float | None  # 0 to 1
    spectral_distance: float | None  # dB, between two of the sounds
    real_distance: float | None  # dB, between one of them and a real one

    def to_dict(self) -> dict[str, float | int | None]:
        """Return one row of a table; numbers that JSON does not know become None."""
        return {
            name: value if value is None or math.isfinite(value) else None
            for name, value in asdict(self).items()
        }


def loudness(samples: np.ndarray) -> float | None:
    """Return the root mean square in dB of samples (T,) in [-1, 1]; None without any.

    A square wave of full scale has 0 dB, a sine -3, and nothing has less than QUIETEST_DB.
    """
    if not samples.size:
        return None
    power = float(np.square(samples.astype(np.float64)).mean())
    return max(QUIETEST_DB, 10 * math.log10(power)) if power > 0 else QUIETEST_DB


def silent_share(samples: np.ndarray) -> float | None:
    """Return the share of samples (T,) below NEAR_SILENT of full scale; None without any."""
    return float((np.abs(samples) < NEAR_SILENT).mean()) if samples.size else None


def spectra(sounds: Sequence[np.ndarray], sample_rate: int, length: int) -> np.ndarray:
    """Return the mel spectrograms in dB (N, bands * frames) of sounds (T_i,).

    Sounds are cut off behind `length` samples; after a shorter one there is silence.
    """
    rows = []
    for sound in sounds:
        padded = np.zeros(length, np.float32)
        padded[: len(sound)] = sound[:length]
        rows.append(mel_spectrogram(padded, sample_rate).ravel())
    return np.stack(rows) if rows else np.zeros((0, 0), np.float32)


def spectral_distance(ours: np.ndarray, theirs: np.ndarray) -> float | None:
    """Return the mean of |a - b| over all pairs of rows of `ours` (N, D) and `theirs` (M, D)."""
    if not ours.size or not theirs.size:
        return None
    return float(np.mean([np.abs(theirs - row).mean() for row in ours]))


def sound_figures(
    traces: Sequence[Trace],
    model: ARModel | None = None,
    judge: Judge | None = None,
    *,
    tokenizer: Any,
    real: Sequence[np.ndarray] = (),
) -> SoundFigures:
    """Return the figures of the sounds of one lane.

    The raw model's log p and entropy are what the Steps tell; with `model` they are computed anew.
    `real` are the tokens of real sounds (T_i,), which the lane's are compared with.

    Raises:
        PromptError: the judge or the model cannot read a sound.
    """
    sequences, starts = [t.tokens for t in traces], [len(t.prompt) for t in traces]
    if model is not None:
        own, hesitation = judged(model, sequences, starts), entropies(model, sequences, starts)
    else:
        own = Judgement(tuple(tuple(step.logprob for step in trace.steps) for trace in traces))
        hesitation = [[step.entropy for step in trace.steps] for trace in traces]
    theirs = judge.read(sequences, starts, tokenizer) if judge else None
    return _figures(sequences, starts, own, hesitation, theirs, tokenizer, real)


def real_sound_figures(
    real: Sequence[np.ndarray],
    model: ARModel,
    judge: Judge | None = None,
    *,
    tokenizer: Any,
    given: int = 0,
    length: int | None = None,
) -> SoundFigures:
    """Return the figures of real sounds (T_i,) of tokens, judged as those of a lane are.

    Each is given its own first `given` samples; of what follows at most `length` are judged, all
    without it. Sounds that are no longer than what is given are left out.

    Raises:
        PromptError: the model or the judge does not know the tokens.
    """
    end = None if length is None else given + length
    sequences = [(tokenizer.bos_token, *row[:end].tolist()) for row in real if len(row) > given]
    starts = [1 + given] * len(sequences)
    own, hesitation = judged(model, sequences, starts), entropies(model, sequences, starts)
    theirs = judge.read(sequences, starts, tokenizer) if judge else None
    return _figures(sequences, starts, own, hesitation, theirs, tokenizer, ())


def _figures(
    sequences: Sequence[Sequence[int]],
    starts: Sequence[int],
    own: Judgement,
    hesitation: Sequence[Sequence[float]],
    theirs: Judgement | None,
    tokenizer: Any,
    real: Sequence[np.ndarray],
) -> SoundFigures:
    pairs = list(zip(sequences, starts, strict=True))
    sounds = [tokenizer.decode(tokens[start:]) for tokens, start in pairs]
    length = max(map(len, sounds), default=0)
    apart = away = None
    if length:
        seen = spectra(sounds, tokenizer.sample_rate, length)
        apart = pairwise_distance(seen)
        first = starts[0] - 1  # behind BOS
        others = [tokenizer.decode(row[first:]) for row in real if len(row) > first]
        away = spectral_distance(seen, spectra(others, tokenizer.sample_rate, length))
    heard = np.concatenate([np.zeros(0, np.float32), *sounds])
    nats = mean(number for row in hesitation for number in row)
    theirs = theirs or Judgement(())
    return SoundFigures(
        samples=len(sounds),
        mean_length=mean(map(len, sounds)),
        log_likelihood=mean(own.log_likelihoods),
        bits_per_sample=own.bits_per_token,
        entropy=None if nats is None else nats / math.log(2),
        judge_log_likelihood=mean(theirs.log_likelihoods),
        judge_bits_per_sample=theirs.bits_per_token,
        loudness=loudness(heard),
        silent_share=silent_share(heard),
        spectral_distance=apart,
        real_distance=away,
    )
