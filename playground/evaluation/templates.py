"""Which of some known sounds another one is most like: a recogniser without a model.

Both are described by cepstra, the shape of the spectrum every 8 ms without its loudness (Davis &
Mermelstein 1980), and laid over each other so that they fit best (dynamic time warping, Sakoe &
Chiba 1978).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from playground.tokenizers.audio import mel_spectrogram

N_CEPSTRA = 13
FLOOR = 40.0  # decibels below the loudest: what is quieter is taken for noise
QUIET = 30.0  # decibels below the loudest frame: what is quieter at the ends is cut off


def cepstra(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return cepstra (frames, N_CEPSTRA) of the part of a sound (T,) that is not silence."""
    mel = mel_spectrogram(samples, sample_rate).T  # (frames, n_mels) in decibels
    loudness = mel.max(axis=1)
    heard = np.flatnonzero(loudness > loudness.max() - QUIET)
    mel = mel[heard[0] : heard[-1] + 1].clip(min=loudness.max() - FLOOR)
    n = mel.shape[1]
    waves = np.cos(np.pi / n * np.outer(np.arange(1, N_CEPSTRA + 1), np.arange(n) + 0.5))
    found = mel @ waves.T / n
    return found - found.mean(axis=0)


def warped_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the summed distance of sequences (N, D) and (M, D) along their best alignment.

    Divided by N + M, so that long sounds are not far from all others (Sakoe & Chiba's unweighted
    steps: a diagonal one counts once).
    """
    costs = np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))  # (N, M)
    N, M = costs.shape
    before, last = np.full(N, np.inf), np.full(N, np.inf)  # of two diagonals, by row
    for diagonal in range(N + M - 1):
        rows = np.arange(max(0, diagonal - M + 1), min(N, diagonal + 1))
        best = np.minimum(last[rows], np.where(rows > 0, last[rows - 1], np.inf))
        best = np.minimum(best, np.where(rows > 0, before[rows - 1], np.inf))
        if diagonal == 0:
            best = np.zeros(1)
        now = np.full(N, np.inf)
        now[rows] = costs[rows, diagonal - rows] + best
        before, last = last, now
    return float(last[N - 1] / (N + M))


def nearest(sound: np.ndarray, templates: Sequence[np.ndarray], sample_rate: int) -> int:
    """Return the number of the template that a sound (T,) is most like."""
    known = [cepstra(template, sample_rate) for template in templates]
    heard = cepstra(sound, sample_rate)
    return int(np.argmin([warped_distance(heard, template) for template in known]))
