"""Does it matter in which order a model decides the pixels? What `python -m train.ordering` found.

The chain rule gives the same joint distribution in every order; whether one model learns its
factors as well in each is measured: the same small Transformer, several seeds, four orders.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from playground.errors import DataError

RESULT = Path(__file__).with_name("ordering.json")
T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)  # 1 to 9 degrees of freedom
Z_95 = 1.959964  # infinitely many


@dataclass(frozen=True)
class Trained:
    """One training: its seed, what it reached on the test pictures, and on the way there."""

    seed: int
    bits_per_dim: float
    curve: tuple[tuple[int, float], ...]  # (step, bits per dimension on all test pictures)
    seconds: int
    command: str


@dataclass(frozen=True)
class Interval:
    """A mean and the half-width of its 95 % confidence interval (Student's t)."""

    mean: float
    half_width: float

    @property
    def excludes_zero(self) -> bool:
        return abs(self.mean) > self.half_width


@dataclass(frozen=True)
class Ordered:
    """All trainings of one order."""

    order: str
    trained: tuple[Trained, ...]
    picture_bits: tuple[float, ...]  # bits per dimension of every test picture, mean of the seeds
    pixel_bits: tuple[float, ...]  # bits of every pixel, row by row, mean of pictures and seeds

    @property
    def bits_per_dim(self) -> Interval:
        """What the order needs: the mean of the seeds, and how far chance moves it."""
        return interval([run.bits_per_dim for run in self.trained])


@dataclass(frozen=True)
class Difference:
    """How many bits per dimension one order needs more than another."""

    order: str
    than: str
    over_seeds: Interval  # paired: both orders share the seed's weights, batches and dropout
    over_pictures: Interval  # paired: both orders are judged by the same pictures

    @property
    def is_clear(self) -> bool:
        """Whether neither another seed nor other test pictures would make it nothing, at 95 %."""
        return self.over_seeds.excludes_zero and self.over_pictures.excludes_zero


@dataclass(frozen=True)
class Ordering:
    """The whole experiment."""

    command: str
    data: str
    train_pictures: int
    test_pictures: int
    levels: int
    parameters: int
    steps: int
    machine: str
    baselines: dict[str, float]  # bits per dimension
    orders: tuple[Ordered, ...]

    def __getitem__(self, order: str) -> Ordered:
        return next(found for found in self.orders if found.order == order)

    def difference(self, order: str, than: str) -> Difference:
        """Compare two orders run by run and picture by picture."""
        a, b = self[order], self[than]
        runs = zip(a.trained, b.trained, strict=True)
        pictures = zip(a.picture_bits, b.picture_bits, strict=True)
        return Difference(
            order, than,
            interval([x.bits_per_dim - y.bits_per_dim for x, y in runs]),
            interval([x - y for x, y in pictures]),
        )  # fmt: skip

    @property
    def best_first(self) -> tuple[Ordered, ...]:
        return tuple(sorted(self.orders, key=lambda found: found.bits_per_dim.mean))

    def finding(self) -> str:
        """Say in two sentences what the numbers allow to say, and no more."""
        best, *others = self.best_first
        gaps = [self.difference(found.order, best.order) for found in others]
        clear = [gap for gap in gaps if gap.is_clear]
        unclear = [gap.order for gap in gaps if not gap.is_clear]
        worst, seeds = others[-1], len(best.trained)
        first = (
            f"From {best.bits_per_dim.mean:.3f} bits per dimension ({best.order}) to "
            f"{worst.bits_per_dim.mean:.3f} ({worst.order}): "
        )
        if seeds < 2:
            return first + "whether chance made the difference cannot be said. Train more seeds."
        if not clear:
            return first + (
                "the order did not matter as far as this experiment can see. No difference exceeds "
                f"its 95 % interval over {seeds} seeds and {self.test_pictures} test pictures."
            )
        dearer = _listed([f"{gap.order} by {gap.over_seeds.mean:.3f}" for gap in clear])
        second = (
            f"Clearly dearer than {best.order}, by more than the 95 % intervals over {seeds} seeds "
            f"and over {self.test_pictures} test pictures: {dearer}"
        )
        if unclear:
            second += f"; not to be told from it: {_listed(unclear)}"
        return f"{first}the order matters to this model. {second}."


def interval(values: Sequence[float]) -> Interval:
    """Return the mean of values and its 95 % confidence interval, infinite for a single one.

    By Student's t, whose quantile beyond ten values is the normal one, corrected to 0.003 by the
    first terms of its expansion (Abramowitz & Stegun 1964, 26.7.5).
    """
    n = len(values)
    if n < 2:
        return Interval(float(np.mean(values)), math.inf)
    t = T_95[n - 2] if n - 2 < len(T_95) else _t_95(n - 1)
    return Interval(float(np.mean(values)), t * float(np.std(values, ddof=1)) / math.sqrt(n))


def _t_95(degrees: int) -> float:
    z = Z_95
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)


def independent_pixels(train: np.ndarray, test: np.ndarray, levels: int) -> float:
    """Return the bits per dimension of test pictures (N, T) by one histogram a pixel of `train`.

    What a model needs that looks at no other pixel; every level is counted once more than seen.
    """
    counts = np.ones((train.shape[1], levels))
    for place, column in enumerate(train.T):
        counts[place] += np.bincount(column, minlength=levels)
    bits = -np.log2(counts / counts.sum(1, keepdims=True))
    return float(bits[np.arange(test.shape[1]), test].mean())


@lru_cache(maxsize=1)
def load_ordering(path: Path = RESULT) -> Ordering:
    """Return the experiment's result.

    Raises:
        DataError: its file is missing or damaged.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        orders = tuple(
            Ordered(
                name,
                tuple(
                    Trained(**run | {"curve": tuple(map(tuple, run["curve"]))})
                    for run in found["trained"]
                ),
                tuple(found["picture_bits"]),
                tuple(found["pixel_bits"]),
            )
            for name, found in data["orders"].items()
        )
        return Ordering(**data | {"orders": orders})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path.name} cannot be read ({error}). Make it again: python -m train.ordering."
        ) from error


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
