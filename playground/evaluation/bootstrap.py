"""How far a figure could have come out otherwise: the bootstrap over what was measured.

The percentile bootstrap of Efron 1979 (Annals of Statistics 7): the units (windows of a text,
pictures, sounds) are drawn anew with replacement, and the figure is computed of every draw. It
says what other units of the same kind would have given, not what other weights would have; and
units that stand beside each other in one text depend on each other, so it is rather too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from playground.errors import DataError, check_range, check_whole

RESAMPLES = 2000
LEVEL = 0.95
AT_ONCE = 2**20  # counts that are held at once
MAX_UNITS = 2**16


@dataclass(frozen=True)
class Interval:
    """A figure with the ends of its interval; of one unit alone these are None."""

    value: float
    low: float | None
    high: float | None
    units: int

    @property
    def says(self) -> str:
        """The interval in words."""
        if self.low is None:
            return f"{self.value:.3f} (one unit: no interval)"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def ratio_interval(
    totals: Sequence[float],
    sizes: Sequence[float],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """Return sum(totals) / sum(sizes), as bits per character are, with its interval.

    A unit keeps its total and its size together, so units of different sizes count as they are.
    Two sequences of equal length under the same seed are drawn alike: their difference is paired.

    Raises:
        DataError: there is no unit, or nothing in them.
    """
    totals, sizes = _checked(totals, sizes)
    value = float(totals.sum() / sizes.sum())
    if len(totals) == 1:
        return Interval(value, None, None, 1)
    drawn = _draws(totals, sizes, seed, resamples)
    return Interval(value, *_ends(drawn, level), len(totals))


def paired_interval(
    totals: Sequence[float],
    others: Sequence[float],
    sizes: Sequence[float],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """Return by how much sum(totals) / sum(sizes) exceeds that of `others`, of the same units.

    Two models agree on what is hard, so their difference is far surer than either figure.
    """
    totals, sizes = _checked(totals, sizes)
    differences = totals - np.asarray(others, np.float64)
    value = float(differences.sum() / sizes.sum())
    if len(totals) == 1:
        return Interval(value, None, None, 1)
    drawn = _draws(differences, sizes, seed, resamples)
    return Interval(value, *_ends(drawn, level), len(totals))


def _checked(totals: Sequence[float], sizes: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    totals, sizes = np.asarray(totals, np.float64), np.asarray(sizes, np.float64)
    if not 0 < len(totals) <= MAX_UNITS or len(totals) != len(sizes) or sizes.sum() <= 0:
        raise DataError(
            f"An interval is over 1 to {MAX_UNITS:,} units with something in them, got "
            f"{len(totals):,}. Measure a longer text, or more pictures or sounds."
        )
    return totals, sizes


def _draws(totals: np.ndarray, sizes: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """Return the figure (R,) of R draws: how often each unit came is all that matters."""
    check_whole("resamples", resamples, 1, 100_000)
    generator, n = np.random.default_rng(seed), len(totals)
    found = []
    while resamples:
        rows = min(resamples, max(1, AT_ONCE // n))
        times = generator.multinomial(n, np.full(n, 1 / n), size=rows)  # (rows, N)
        found.append((times @ totals) / np.maximum(times @ sizes, 1e-300))
        resamples -= rows
    return np.concatenate(found)


def _ends(drawn: np.ndarray, level: float) -> tuple[float, float]:
    check_range("level", level, 0.0, 1.0)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
