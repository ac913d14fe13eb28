"""How far judges agree about the same things, beyond what chance alone would make them agree.

1 is perfect agreement, 0 what chance gives, below 0 less than that. None where it is not defined:
nothing was judged twice, or all judgements are the same, so that chance explains everything.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

Judgement = tuple[Hashable, Hashable, Hashable]  # item, judge, category


@dataclass(frozen=True)
class Agreement:
    """How far judges agree about the items that at least two of them judged."""

    judges: int  # who share an item with another
    items: int  # judged by two or more
    judgements: int  # of these items
    observed: float | None  # share of the pairs of judgements of an item that are the same
    alpha: float | None  # Krippendorff's, nominal
    kappa: float | None  # Cohen's where two judges share items, else Fleiss'
    kappa_items: int  # that the kappa is of: Fleiss' needs the same number of judges for each


def agreement(judgements: Iterable[Judgement]) -> Agreement:
    """Return the agreement of judgements (item, judge, category); a judge's first one counts."""
    items: dict[Hashable, dict[Hashable, Hashable]] = defaultdict(dict)
    for item, judge, category in judgements:
        items[item].setdefault(judge, category)
    shared = {item: told for item, told in items.items() if len(told) > 1}
    judges = {judge for told in shared.values() for judge in told}
    total = sum(map(len, shared.values()))
    if len(judges) == 2:
        one, other = sorted(judges, key=str)
        pairs = [(told[one], told[other]) for told in shared.values()]
        kappa, counted = cohen_kappa(pairs), len(pairs)
    else:
        kappa, counted = _fleiss_of_most(shared)
    rows = [Counter(told.values()) for told in shared.values()]
    return Agreement(
        len(judges), len(shared), total, _observed(rows), krippendorff_alpha(rows), kappa, counted
    )


def cohen_kappa(pairs: Iterable[tuple[Hashable, Hashable]]) -> float | None:
    """Return the kappa of two judges, each of whom has habits of their own (Cohen 1960)."""
    pairs = list(pairs)
    if not pairs:
        return None
    n = len(pairs)
    one, other = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    by_chance = sum(one[c] * other[c] for c in one) / n**2
    return _beyond(sum(a == b for a, b in pairs) / n, by_chance)


def fleiss_kappa(rows: Iterable[Mapping[Hashable, int]]) -> float | None:
    """Return the kappa of any judges, as many for every item (Fleiss 1971).

    `rows` say for each item how many chose which category.

    Raises:
        ValueError: the items have different numbers of judges, or only one each.
    """
    rows = list(rows)
    if not rows:
        return None
    sizes = {sum(row.values()) for row in rows}
    if len(sizes) > 1 or min(sizes) < 2:
        raise ValueError(f"Fleiss' kappa needs as many judges for every item, got {sorted(sizes)}.")
    all_together = sum(map(Counter, rows), Counter())
    total = sum(all_together.values())
    by_chance = sum((count / total) ** 2 for count in all_together.values())
    agreed = [_same(row) for row in rows]
    return _beyond(sum(agreed) / len(agreed), by_chance)


def krippendorff_alpha(rows: Iterable[Mapping[Hashable, int]]) -> float | None:
    """Return alpha for categories without order (Krippendorff 2011): any number of judges each.

    Items that one judge alone has seen say nothing and are left out.
    """
    rows = [row for row in rows if sum(row.values()) > 1]
    all_together = sum(map(Counter, rows), Counter())
    total = sum(all_together.values())
    if not total:
        return None
    differ = sum(
        sum(row.values()) * (1 - _same(row)) for row in rows
    )  # each item weighs as much as it has judgements
    by_chance = total**2 - sum(count**2 for count in all_together.values())
    return None if by_chance == 0 else 1 - (total - 1) * differ / by_chance


def _fleiss_of_most(shared: Mapping) -> tuple[float | None, int]:
    """Return Fleiss' kappa of the items with the commonest number of judges, and how many."""
    if not shared:
        return None, 0
    sizes = Counter(map(len, shared.values()))
    size = max(sizes, key=lambda s: (sizes[s], s))
    rows = [Counter(told.values()) for told in shared.values() if len(told) == size]
    return fleiss_kappa(rows), len(rows)


def _same(row: Mapping[Hashable, int]) -> float:
    """Return the share of the pairs of judgements of an item that are the same."""
    n = sum(row.values())
    return sum(count * (count - 1) for count in row.values()) / (n * (n - 1))


def _observed(rows: list[Counter]) -> float | None:
    return sum(map(_same, rows)) / len(rows) if rows else None


def _beyond(observed: float, by_chance: float) -> float | None:
    return None if by_chance >= 1 else (observed - by_chance) / (1 - by_chance)
