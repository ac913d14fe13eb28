"""What the results of the Arena show, as plain data made from votes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from playground.evaluation.agreement import Agreement, agreement
from playground.evaluation.ratings import (
    FEW_JUDGES,
    LOSS,
    TIE,
    WIN,
    Rating,
    Table,
    counts_of,
    rate,
    win_matrix,
)
from playground.votes.vote import ALL_CRITERIA, BAD, CRITERIA, FIRST, SECOND, Vote

ALL = "all together"
MOST_RATED = 24  # contestants: those with the most votes
OPEN = "open"  # the end of an interval that the votes set no bound to


@dataclass(frozen=True)
class Standing:
    """What votes say by one criterion."""

    table: Table
    names: tuple[str, ...]
    won: np.ndarray  # (N, N) share of its comparisons that i won against j; NaN: none
    met: np.ndarray  # (N, N) how often
    both_bad: dict[str, int]  # by name; counted as ties in the ratings
    verdicts: int
    judges: int
    left_out: int  # contestants beyond MOST_RATED
    model: str  # of all, which then is no part of the names; "": they are of several


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def criteria_of(modality: str) -> list[str]:
    return [*CRITERIA[modality], ALL]


def drawn_of(judges: int) -> str:
    """Say what the intervals of the ratings are a bootstrap over."""
    if judges == 1:
        return (
            "over the pairs of the only judge: what other pairs would have given, not what other "
            "people would say"
        )
    if judges < FEW_JUDGES:
        return "over judges, and over the pairs of each, as there are few judges: they are rough"
    return "over judges, as votes of one judge are not independent"


def names_of(votes: Sequence[Vote]) -> dict[str, str]:
    """Return a name for every contestant's mark; two of the same name get numbers."""
    latest: dict[str, str] = {}
    for vote in votes:
        latest |= {vote.first: vote.first_name, vote.second: vote.second_name}
    seen: dict[str, int] = {}
    told = {}
    for mark, name in latest.items():
        seen[name] = seen.get(name, 0) + 1
        told[mark] = name if seen[name] == 1 else f"{name} ({seen[name]})"
    return told


def shared_model(names: Sequence[str]) -> str:
    """Return the model that all names, as "greedy · kjv-char-lstm", end with; "" for none."""
    ends = {name.rpartition(" · ")[2] if " · " in name else "" for name in names}
    return ends.pop() if len(ends) == 1 else ""


def standing(votes: Sequence[Vote], criterion: str, seed: int = 0) -> Standing:
    """Return what the votes say by a criterion, or by all of them together."""
    counted: dict[str, int] = {}
    for vote in votes:
        for mark in (vote.first, vote.second):
            counted[mark] = counted.get(mark, 0) + 1
    marks = sorted(counted, key=lambda mark: (-counted[mark], mark))
    kept = marks[:MOST_RATED]
    places = {mark: i for i, mark in enumerate(kept)}
    told = names_of(votes)
    names = tuple(told[mark] for mark in kept)
    model = shared_model(names)
    names = tuple(name.removesuffix(f" · {model}") for name in names)
    outcomes, judges, pairs, bad = [], [], [], dict.fromkeys(names, 0)
    for vote in votes:
        if vote.first not in places or vote.second not in places:
            continue
        i, j = places[vote.first], places[vote.second]
        for verdict in _verdicts(vote, criterion):
            outcomes.append((i, j, {FIRST: WIN, SECOND: LOSS}.get(verdict, TIE)))
            judges.append(vote.judge)
            pairs.append(vote.pair)
            for mark in (i, j) if verdict == BAD else ():
                bad[names[mark]] += 1
    counts = counts_of(outcomes, len(names))
    return Standing(
        rate(names, outcomes, judges, pairs, seed=seed), names, win_matrix(counts), counts.sum(0),
        bad, len(outcomes), len(set(judges)), len(marks) - len(kept), model,
    )  # fmt: skip


def _verdicts(vote: Vote, criterion: str) -> list[str]:
    names = vote.verdicts if criterion == ALL else (criterion,)
    return [vote.verdicts[name] for name in names if name in vote.verdicts]


def agreements(votes: Sequence[Vote], modality: str) -> dict[str, Agreement]:
    """Return by criterion how far judges agree about the pairs that several have seen.

    A verdict is told by whom it favours, not by the side on which that one stood.
    """
    found = {}
    for criterion in ALL_CRITERIA:
        if criterion in CRITERIA[modality]:
            told = [
                (vote.pair, vote.judge,
                 {FIRST: vote.first, SECOND: vote.second}.get(v := vote.verdicts[criterion], v))
                for vote in votes
            ]  # fmt: skip
            found[criterion] = agreement(told)
    return found


def span_of(rating: Rating) -> str:
    """Return an interval in Elo points as it is read."""
    if rating.points is None:
        return ""
    ends = [OPEN if end is None else f"{end:.0f}" for end in (rating.low, rating.high)]
    return " to ".join(ends)


def rating_rows(found: Standing) -> list[dict[str, Any]]:
    """Return one row a contestant for the table, the best first."""
    rows = []
    for r in found.table.ratings:
        rows.append({
            "contestant": r.name, "rating": None if r.points is None else round(r.points),
            "95 % interval": span_of(r),
            "won": r.wins, "lost": r.losses, "tied": r.ties - found.both_bad[r.name],
            "both bad": found.both_bad[r.name], "group": r.group + 1,
        })  # fmt: skip
    return rows


def agreement_rows(found: dict[str, Agreement]) -> list[dict[str, Any]]:
    """Return one row a criterion."""
    return [
        {
            "criterion": name, "shared pairs": told.items, "judges": told.judges,
            "the same": told.observed, "alpha": told.alpha, "kappa": told.kappa,
            "kappa is": "Cohen's" if told.judges == 2 else "Fleiss'",
            "pairs of the kappa": told.kappa_items,
        }
        for name, told in found.items()
    ]  # fmt: skip


def warnings_of(found: Standing) -> list[str]:
    """Return what must be said beside the ratings."""
    told = []
    if not found.table.is_connected:
        together: dict[int, list[str]] = {}
        for r in found.table.ratings:
            if r.votes:
                together.setdefault(r.group, []).append(r.name)
        groups = "; ".join(", ".join(names) for names in together.values())
        told.append(
            "No votes connect all contestants, so ratings of different groups cannot be compared: "
            f"{groups}. Let some of one meet some of the other."
        )
    if found.table.unbounded:
        told.append(
            f"{', '.join(found.table.unbounded)}: the votes set no bound to one end, since wins "
            "and ties do not lead both to and from the others. The ratings shown are finite "
            "because every contestant is given half a win and half a loss against an average one."
        )
    if found.left_out:
        told.append(f"{found.left_out} contestants with fewer votes are left out.")
    return told
