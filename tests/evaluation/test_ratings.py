"""Bradley-Terry ratings with ties, and the agreement of judges, against figures known otherwise."""

import math

import numpy as np
import pytest

from playground.errors import ConfigError
from playground.evaluation.agreement import (
    agreement,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
)
from playground.evaluation.ratings import (
    LOSS,
    POINTS,
    TIE,
    WIN,
    counts_of,
    fit,
    groups,
    probabilities,
    rate,
    win_matrix,
)


def played(strengths: list[float], nu: float, games: int, seed: int = 0) -> list[tuple]:
    """Return comparisons of random pairs that ended as the model says."""
    rng = np.random.default_rng(seed)
    chances = probabilities(np.array(strengths), nu)
    found = []
    for _ in range(games):
        i, j = map(int, rng.choice(len(strengths), 2, replace=False))
        found.append((i, j, int(rng.choice(3, p=chances[:, i, j]))))
    return found


def log_likelihood(counts: np.ndarray, logs: np.ndarray, nu: float) -> float:
    chances = probabilities(logs, nu)
    counted = counts > 0
    return float((counts[counted] * np.log(chances[counted])).sum() / 2)


def test_two_competitors_without_ties_have_the_odds_of_their_wins():
    logs, nu = fit(counts_of([(0, 1, WIN)] * 3 + [(0, 1, LOSS)], 2), prior=0)
    assert nu == 0
    assert logs[0] - logs[1] == pytest.approx(math.log(3), abs=1e-5)


def test_ties_of_two_equals_give_nu():
    # equals with w wins each and t ties: t / (2 w + t) = nu / (2 + nu)
    logs, nu = fit(counts_of([(0, 1, WIN)] * 4 + [(0, 1, LOSS)] * 4 + [(0, 1, TIE)] * 6, 2), 0)
    assert logs == pytest.approx([0, 0], abs=1e-6)
    assert nu / (2 + nu) == pytest.approx(6 / 14, abs=1e-5)


def test_the_fit_has_the_greatest_likelihood():
    counts = counts_of(played([0.9, 0.2, -0.3, -0.8], 0.6, 400), 4)
    logs, nu = fit(counts, prior=0)
    best, rng = log_likelihood(counts, logs, nu), np.random.default_rng(1)
    for _ in range(50):
        near = logs + rng.normal(0, 0.03, 4)
        assert log_likelihood(counts, near, float(nu * np.exp(rng.normal(0, 0.03)))) < best


def test_strengths_that_made_the_votes_are_found_again_and_lie_in_their_intervals():
    true = [1.0, 0.0, -1.0]
    table = rate("abc", played(true, 0.7, 2000))
    assert [r.name for r in table.ratings] == ["a", "b", "c"]
    assert table.is_connected
    assert table.unbounded == ()
    assert table.ties == pytest.approx(0.7, abs=0.1)
    for rating, strength in zip(table.ratings, true, strict=True):
        assert rating.low < strength * POINTS < rating.high
        assert rating.high - rating.low < 60


def test_the_intervals_cover_what_they_should():
    """The true difference of two lies in the interval of its half about 95 times in 100."""
    covered = 0
    for seed in range(40):
        first = rate("ab", played([0.3, -0.3], 0.5, 80, seed), resamples=200)
        own = next(r for r in first.ratings if r.name == "a")
        covered += own.low <= 0.3 * POINTS <= own.high
    assert 34 <= covered <= 40  # 92 of 100 over 150 seeds, as percentile intervals of 80 votes do


def width(table) -> float:
    best = table.ratings[0]
    return best.high - best.low


def test_votes_of_one_judge_are_not_independent():
    """Ten judges of ten votes who never change their mind are ten opinions, not a hundred."""
    votes = [(0, 1, WIN if judge % 2 else LOSS) for judge in range(10) for _ in range(10)]
    judges = [judge for judge in range(10) for _ in range(10)]
    naive, clustered = rate("ab", votes), rate("ab", votes, judges)
    assert [r.points for r in naive.ratings] == [r.points for r in clustered.ratings]
    assert width(clustered) > 2 * width(naive)
    assert rate("ab", votes, list(range(100))) == naive


def test_of_a_single_judge_pairs_are_drawn_with_all_that_was_said_of_each():
    votes = [(0, 1, WIN if pair % 2 else LOSS) for pair in range(20) for _ in range(3)]
    pairs = [pair for pair in range(20) for _ in range(3)]
    naive, clustered = rate("ab", votes), rate("ab", votes, ["ann"] * 60, pairs)
    assert width(clustered) > 1.4 * width(naive)


def test_few_judges_who_agree_are_no_certainty():
    """Both gave two in three of their votes to a: what each would say of other pairs is open."""
    votes = [(0, 1, LOSS if pair % 3 == 2 else WIN) for _ in range(2) for pair in range(12)]
    table = rate("ab", votes, [0] * 12 + [1] * 12, list(range(12)) * 2)
    assert width(table) > 0.9 * width(rate("ab", votes))
    with pytest.raises(ValueError, match="shorter"):
        rate("ab", votes, [0])


def test_the_same_seed_gives_the_same_intervals():
    votes = played([0.5, 0.0, -0.5], 0.3, 60)
    assert rate("abc", votes, seed=3) == rate("abc", votes, seed=3)
    assert rate("abc", votes, seed=3) != rate("abc", votes, seed=4)


def test_who_was_never_compared_is_in_another_group():
    table = rate("abcde", [(0, 1, WIN), (0, 1, LOSS), (2, 3, TIE)])
    group = {r.name: r.group for r in table.ratings}
    assert group["a"] == group["b"] != group["c"] == group["d"]
    assert not table.is_connected
    assert next(r for r in table.ratings if r.name == "e").points is None


def test_who_won_all_is_rated_finitely_without_an_upper_bound():
    table = rate("abc", [(0, 1, WIN)] * 5 + [(1, 2, WIN), (1, 2, LOSS)])
    best = table.ratings[0]
    assert best.name == "a"
    assert 0 < best.points < 1000
    assert best.high is None
    assert best.low < best.points
    assert set(table.unbounded) == {"a", "b", "c"}  # b and c may lie any distance below a
    found = groups(counts_of([(0, 1, WIN)] * 5 + [(1, 2, WIN), (1, 2, LOSS)], 3), strongly=True)
    assert found == [0, 1, 1]


def test_ties_alone_make_equals_and_no_votes_make_nothing():
    table = rate("ab", [(0, 1, TIE)] * 5)
    assert [r.points for r in table.ratings] == pytest.approx([0, 0], abs=1e-6)
    assert all(r.low < 0 < r.high for r in table.ratings)
    assert [r.points for r in rate("ab", []).ratings] == [None, None]
    with pytest.raises(ConfigError):
        counts_of([(0, 2, WIN)], 2)


def test_the_win_matrix_counts_a_tie_as_half():
    matrix = win_matrix(counts_of([(0, 1, WIN), (1, 0, TIE)], 3))
    assert matrix[0, 1] == 0.75
    assert matrix[1, 0] == 0.25
    assert np.isnan(matrix[0, 2])


# -- agreement -------------------------------------------------------------------------------------


def test_cohens_kappa_of_a_textbook():
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    assert cohen_kappa(pairs) == pytest.approx(0.4)
    assert cohen_kappa([("y", "y")] * 3) is None, "chance explains everything"
    assert cohen_kappa([]) is None


def test_fleiss_kappa_of_his_own_example():
    """Ten subjects, 14 raters, five categories, as Wikipedia's article on it works it out."""
    table = [
        (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
        (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
    ]  # fmt: skip
    rows = [{c: n for c, n in enumerate(row) if n} for row in table]
    assert fleiss_kappa(rows) == pytest.approx(0.210, abs=5e-4)
    with pytest.raises(ValueError, match="as many judges"):
        fleiss_kappa([{"a": 2}, {"a": 3}])


def test_krippendorffs_alpha_of_his_own_example():
    """Four observers, 12 units, missing values: nominal alpha 0.743 (Krippendorff 2011, C)."""
    units = [
        "1 1 . 1", "2 2 3 2", "3 3 3 3", "3 3 3 3", "2 2 2 2", "1 2 3 4", "4 4 4 4", "1 1 2 1",
        "2 2 2 2", ". 5 5 5", ". . 1 1", ". . 3 .",
    ]  # fmt: skip
    rows = []
    for unit in units:
        values = [v for v in unit.split() if v != "."]
        rows.append({v: values.count(v) for v in values})
    assert krippendorff_alpha(rows) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha([{"a": 1}]) is None
    assert krippendorff_alpha([{"a": 2}, {"a": 3}]) is None


def test_agreement_counts_what_is_shared_and_a_judges_first_word():
    told = agreement([
        ("p", "ann", "x"), ("p", "bob", "x"), ("p", "bob", "y"), ("q", "ann", "x"),
        ("q", "bob", "y"), ("r", "ann", "x"),
    ])  # fmt: skip
    assert (told.judges, told.items, told.judgements) == (2, 2, 4)
    assert told.observed == 0.5
    assert told.kappa == pytest.approx(0.0)
    assert agreement([("p", "ann", "x")]).kappa is None
    three = agreement([(i, j, "x" if (i + j) % 4 else "y") for i in range(6) for j in range(3)])
    assert three.judges == 3
    assert three.kappa_items == 6
    assert three.alpha is not None
