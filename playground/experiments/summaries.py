"""Means of an experiment's rows with their intervals, and how they are said in a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from playground.experiments.ordering import Interval, interval

Row = dict[str, Any]
AGREES, CONTRADICTS, UNDECIDED = "as the lesson says", "against the lesson", "not decided"


@dataclass(frozen=True)
class Finding:
    """Two sentences, and how they stand to what the lesson claims."""

    text: str
    verdict: str = ""  # AGREES, CONTRADICTS or UNDECIDED; empty where the lesson claims nothing


def verdict(holds: bool, contradicted: bool) -> str:
    """Return how a claim stands; it is undecided where neither is clear."""
    return AGREES if holds else CONTRADICTS if contradicted else UNDECIDED


def grouped(rows: Iterable[Row], *columns: str) -> dict[tuple, list[Row]]:
    """Return the rows by their values of some columns, in the order of their first row."""
    found: dict[tuple, list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row.get(column) for column in columns), []).append(row)
    return found


def known(rows: Iterable[Row], column: str) -> list[float]:
    """Return the values of a column that are numbers: some figures of a text are undefined."""
    values = (row.get(column) for row in rows)
    return [v for v in values if isinstance(v, int | float) and math.isfinite(v)]


def mean_of(rows: Iterable[Row], column: str) -> Interval | None:
    """Return the mean of a column and its 95 % interval; None if no row has a number there."""
    values = known(rows, column)
    return interval(values) if values else None


def paired(one: Iterable[Row], other: Iterable[Row], column: str) -> Interval | None:
    """Return the mean of `one` minus `other` over the seeds that both have, and its interval.

    The same seed has the same initial weights and batches, so the difference varies less than
    either. None if they share no seed.
    """
    a, b = ({row["seed"]: row[column] for row in rows} for rows in (one, other))
    gaps = [a[seed] - b[seed] for seed in a if seed in b]
    return interval(gaps) if gaps else None


def is_above(one: Interval | None, other: Interval | None) -> bool:
    """Whether `one` lies above `other` and their intervals share nothing."""
    return (
        one is not None and other is not None and one.mean > other.mean and not overlap(one, other)
    )


def overlap(one: Interval, other: Interval) -> bool:
    """Whether two intervals share a value; one of a single run is infinitely wide."""
    return abs(one.mean - other.mean) <= one.half_width + other.half_width


def told(found: Interval, digits: int = 2) -> str:
    """Say a mean with its interval, without one where there was a single run."""
    if math.isinf(found.half_width):
        return f"{found.mean:.{digits}f}"
    return f"{found.mean:.{digits}f} ± {found.half_width:.{digits}f}"


def ends(found: Interval) -> dict[str, float]:
    """Return the ends of an interval as a chart's row has them; none of a single run."""
    if math.isinf(found.half_width):
        return {}
    return {
        "low": round(found.mean - found.half_width, 5),
        "high": round(found.mean + found.half_width, 5),
    }


def listed(names: Sequence[str]) -> str:
    """Return "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
