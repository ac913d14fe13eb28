"""How strong competitors are, from who was preferred to whom: Bradley-Terry with ties.

A competitor i has a strength p_i > 0, and a comparison of i with j ends with a win of i, a win of
j or a tie with the odds p_i : p_j : nu sqrt(p_i p_j) (Bradley & Terry 1952; ties by Davidson 1970).
Strengths and nu are fitted by the MM algorithm of Hunter 2004, whose bound on the logarithm of the
denominator is followed by that of the arithmetic on the geometric mean, so that every step has a
closed form and raises the likelihood. They are told in Elo points, 400 log10 p with mean 0: 400
points are odds of 10 to 1.

Where the wins do not lead from every competitor to every other, no finite strengths fit best
(Ford 1957). So every competitor is given PRIOR wins and PRIOR losses against an average one; who
cannot be compared at all, since no votes connect them, is told by `groups`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from playground.errors import check_whole

WIN, LOSS, TIE = range(3)  # how a comparison of i with j ended, seen from i
PRIOR = 0.5
POINTS = 400 / np.log(10)  # Elo points of a unit of log strength
MOST_TIES = 1e3  # of nu, which is infinite where there are only ties
STEPS, CLOSE = 2000, 1e-7  # of the MM algorithm; log strengths that still change by more go on
ROUGHLY = 1e-4  # of the resamples, whose quantiles vary by far more
RESAMPLES = 400
FEW_JUDGES = 8  # of fewer, what each judged is drawn anew too: their own spread is told too small


@dataclass(frozen=True)
class Rating:
    """What is known of one competitor; points are None where it has no votes."""

    name: str
    points: float | None
    low: float | None  # 2.5 % and 97.5 % of the bootstrap; None where the votes set no bound
    high: float | None
    wins: int
    losses: int
    ties: int
    group: int  # those of different groups were never compared, not even by way of others

    @property
    def votes(self) -> int:
        return self.wins + self.losses + self.ties


@dataclass(frozen=True)
class Table:
    """The ratings of all competitors, the best first within a group."""

    ratings: tuple[Rating, ...]
    ties: float  # nu: how often equals tie is nu / (2 + nu)
    unbounded: tuple[str, ...]  # never lost, or never won, against the rest of their group

    @property
    def is_connected(self) -> bool:
        """Whether all that have votes can be compared with each other."""
        return len({r.group for r in self.ratings if r.votes}) <= 1


def counts_of(outcomes: Iterable[tuple[int, int, int]], count: int) -> np.ndarray:
    """Return how often each comparison ended how, (3, count, count), from both sides.

    `outcomes` are (i, j, WIN | LOSS | TIE) seen from i. counts[WIN, i, j] are wins of i over j,
    counts[LOSS] is its transpose, and counts[TIE] is symmetric.
    """
    counts = np.zeros((3, count, count))
    for i, j, ended in outcomes:
        check_whole("a competitor", i, 0, count - 1)
        check_whole("a competitor", j, 0, count - 1)
        mirrored = {WIN: LOSS, LOSS: WIN, TIE: TIE}[ended]
        if i != j:
            counts[ended, i, j] += 1
            counts[mirrored, j, i] += 1
    return counts


def fit(
    counts: np.ndarray, prior: float = PRIOR, close: float = CLOSE
) -> tuple[np.ndarray, np.ndarray]:
    """Return log strengths (..., N) with mean 0 and nu (...) of counts (..., 3, N, N).

    With a prior of 0 they are those of the greatest likelihood, which must be finite: one group,
    and a way of wins or ties from everyone to everyone (`groups` with `strongly`).
    """
    wins, ties = counts[..., WIN, :, :], counts[..., TIE, :, :]
    games = counts.sum(-3)
    score = wins.sum(-1) + ties.sum(-1) / 2 + prior
    tied, all_tied = ties.sum((-1, -2)) / 2, games.sum((-1, -2)) / 2
    logs = np.zeros(score.shape)
    nu = np.where(tied > 0, 1.0, 0.0)
    for _ in range(STEPS):
        half = np.exp(logs / 2)
        mean = half[..., :, None] * half[..., None, :]
        strength = half**2
        whole = strength[..., :, None] + strength[..., None, :] + nu[..., None, None] * mean
        per = games / whole
        # d/dp_i of the bound: 1 from p_i itself, nu/2 sqrt(p_j / p_i) from the geometric mean
        share = 1 + nu[..., None, None] / 2 * (half[..., None, :] / half[..., :, None])
        down = (per * share).sum(-1) + 2 * prior / (strength + 1)
        new = np.log(np.where(down > 0, score / np.where(down > 0, down, 1), 1.0))
        moved = np.abs(new - logs).max(initial=0)
        logs = new if prior else new - new.mean(-1, keepdims=True)
        half = np.exp(logs / 2)
        mean = half[..., :, None] * half[..., None, :]
        whole = half[..., :, None] ** 2 + half[..., None, :] ** 2 + nu[..., None, None] * mean
        room = (games * mean / whole).sum((-1, -2)) / 2
        new_nu = np.minimum(np.where(room > 0, tied / np.where(room > 0, room, 1), 0.0), MOST_TIES)
        moved = max(moved, np.abs(new_nu - nu).max(initial=0))
        nu = np.where(tied == all_tied, np.where(all_tied > 0, MOST_TIES, 0.0), new_nu)
        if moved < close:
            break
    return logs - logs.mean(-1, keepdims=True), nu


def probabilities(logs: np.ndarray, nu: float) -> np.ndarray:
    """Return the probabilities (3, N, N) of a win, a loss and a tie of i against j."""
    strength = np.exp(logs - logs.max(initial=0))
    mean = np.sqrt(strength[:, None] * strength[None])
    whole = strength[:, None] + strength[None] + nu * mean
    return np.stack([strength[:, None] / whole, strength[None] / whole, nu * mean / whole])


def groups(counts: np.ndarray, *, strongly: bool = False) -> list[int]:
    """Return the number of each competitor's group, counted from 0 in the order of appearance.

    Two are of one group if comparisons lead from one to the other; `strongly`: if wins and ties
    lead there and back, which is what finite strengths need.
    """
    count = counts.shape[-1]
    beats = counts[WIN] + counts[TIE] > 0
    reach = beats if strongly else beats | beats.T
    reach = reach | np.eye(count, dtype=bool)
    for middle in range(count):  # Warshall 1962
        reach = reach | (reach[:, middle : middle + 1] & reach[middle : middle + 1])
    together = reach & reach.T
    first = [int(np.argmax(row)) for row in together]
    order = {leader: number for number, leader in enumerate(dict.fromkeys(first))}
    return [order[leader] for leader in first]


def rate(
    names: Sequence[str],
    outcomes: Iterable[tuple[int, int, int]],
    judges: Sequence[Hashable] | None = None,
    pairs: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Table:
    """Return the ratings of `names` with intervals, from verdicts (i, j, WIN | LOSS | TIE).

    Each group is rated by itself, with mean 0. The intervals are percentiles of a bootstrap, the
    same for the same seed. `judges` and `pairs` say of each verdict who gave it and about what;
    without them each is taken as independent of all others. Verdicts of one judge are not, so
    whole judges are drawn (Davison & Hinkley 1997, section 3.8); of fewer than FEW_JUDGES, the
    pairs within each of them too, which is all that can be drawn of a single judge. Verdicts of
    one judge about one pair stay together.

    Raises:
        ConfigError: a verdict is about a competitor that does not exist.
        ValueError: there are not as many judges or pairs as verdicts.
    """
    outcomes = list(outcomes)
    judges = range(len(outcomes)) if judges is None else judges
    pairs = range(len(outcomes)) if pairs is None else pairs
    verdicts = list(zip(outcomes, judges, pairs, strict=True))
    counts = counts_of(outcomes, len(names))
    found = groups(counts)
    told: list[Rating] = []
    tied: list[tuple[float, float]] = []
    unbounded: list[str] = []
    for group in dict.fromkeys(found):
        own = [i for i, g in enumerate(found) if g == group]
        part = counts[np.ix_(range(3), own, own)]
        if len(own) < 2:
            told.append(Rating(names[own[0]], None, None, None, 0, 0, 0, group))
            continue
        logs, nu = fit(part)
        places = {i: place for place, i in enumerate(own)}
        within = [
            ((places[i], places[j], ended), judge, pair)
            for (i, j, ended), judge, pair in verdicts
            if i in places and i != j
        ]
        resampled = _resampled(within, part, np.random.default_rng(seed), resamples)
        drawn = fit(resampled, close=ROUGHLY)[0]
        low, high = np.quantile(drawn * POINTS, (0.025, 0.975), axis=0)
        tied.append((float(nu), float(part.sum() / 2)))
        strong = groups(part, strongly=True)
        for place, i in enumerate(own):
            wins, losses, ties = (int(part[kind, place].sum()) for kind in (WIN, LOSS, TIE))
            points = float(logs[place] * POINTS)
            outside = [j for j, other in enumerate(strong) if other != strong[place]]
            beaten = part[LOSS, place, outside].sum() + part[TIE, place, outside].sum()
            beats = part[WIN, place, outside].sum() + part[TIE, place, outside].sum()
            has_top, has_floor = not outside or beaten > 0, not outside or beats > 0
            if not (has_top and has_floor):
                unbounded.append(names[i])
            bounds = (
                min(float(low[place]), points) if has_floor else None,
                max(float(high[place]), points) if has_top else None,
            )
            told.append(Rating(names[i], points, *bounds, wins, losses, ties, group))
    told.sort(key=lambda r: (r.group, r.points is None, -(r.points or 0)))
    weight = sum(games for _, games in tied)
    mean = sum(nu * games for nu, games in tied) / weight if weight else 0.0
    return Table(tuple(told), mean, tuple(unbounded))


def _resampled(
    verdicts: Sequence[tuple], counts: np.ndarray, rng: np.random.Generator, times: int
) -> np.ndarray:
    """Return counts (times, 3, N, N) of votes by judges who are drawn from those that gave some.

    So that few votes that all say the same are not taken for certainty, wins and losses of each
    two that met are blurred by chance, up or down by about PRIOR.
    """
    size = counts.shape[-1]
    upper = np.triu_indices(size, 1)
    place = np.zeros((size, size), np.int64)
    place[upper] = np.arange(len(upper[0]))
    cells, units = [], []  # of each verdict: how it ended between which two; its judge and pair
    for (i, j, ended), judge, pair in verdicts:
        mirrored = {WIN: LOSS, LOSS: WIN, TIE: TIE}[ended]
        cells.append((ended if i < j else mirrored) * len(upper[0]) + place[min(i, j), max(i, j)])
        units.append((judge, pair))
    numbers = {unit: number for number, unit in enumerate(dict.fromkeys(units))}
    unit_of = np.array([numbers[unit] for unit in units])
    by_judge: dict[Hashable, list[int]] = {}
    for (judge, _), number in numbers.items():
        by_judge.setdefault(judge, []).append(number)
    whose = [np.array(own) for own in by_judge.values()]
    met = (counts.sum(0) > 0)[upper]
    drawn = np.zeros((times, 3, len(upper[0])))
    for sample in drawn:
        weights = np.zeros(len(numbers))
        for own, count in zip(whose, _drawn(len(whose), rng), strict=True):
            few = len(whose) < FEW_JUDGES
            weights[own] = sum(_drawn(len(own), rng) for _ in range(count)) if few else count
        sample += np.bincount(cells, weights[unit_of], sample.size).reshape(sample.shape)
        sample[[WIN, LOSS]] += rng.poisson(PRIOR * met, (2, len(met))) - PRIOR * met
    drawn = np.maximum(drawn, 0)
    made = np.zeros((times, *counts.shape))
    made[:, :, *upper] = drawn
    lower = (upper[1], upper[0])
    for kind, mirrored in ((WIN, LOSS), (LOSS, WIN), (TIE, TIE)):
        made[:, mirrored, *lower] = drawn[:, kind]
    return made


def _drawn(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return how often each of `count` comes among as many draws with replacement."""
    return rng.multinomial(count, np.full(count, 1 / count))


def win_matrix(counts: np.ndarray) -> np.ndarray:
    """Return the share of its comparisons (N, N) that i won against j, ties as half; NaN: none."""
    games = counts.sum(0)
    won = counts[WIN] + counts[TIE] / 2
    return np.divide(won, games, out=np.full(games.shape, np.nan), where=games > 0)
