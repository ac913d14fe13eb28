"""Findings say what the rows say: known numbers in, known sentences out, chance called chance."""

from dataclasses import replace

import pytest

from playground.errors import DataError
from playground.experiments.findings import finding
from playground.experiments.findings_of_models import of_strategies
from playground.experiments.findings_of_training import matrix
from playground.experiments.ordering import Interval, interval
from playground.experiments.results import FOLDER, NAMES, load_result
from playground.experiments.summaries import (
    AGREES,
    CONTRADICTS,
    UNDECIDED,
    is_above,
    listed,
    overlap,
    paired,
    told,
)
from tests import made_up_experiments as made_up


def says(result, *parts: str) -> str:
    """Return the verdict of a finding that has two sentences and says all that in this order."""
    found = finding(result)
    place = 0
    for part in parts:
        assert part in found.text[place:], found.text
        place += found.text[place:].index(part) + len(part)
    sentences = found.text.replace(". ", ".\n").splitlines()
    assert len(sentences) == 2, found.text
    assert found.text.endswith(".")
    return found.verdict


def test_intervals_overlap_where_they_share_a_value():
    assert overlap(Interval(1.0, 0.2), Interval(1.3, 0.1))
    assert not overlap(Interval(1.0, 0.2), Interval(1.31, 0.1))
    assert overlap(interval([1.0]), interval([9.0]))  # single runs say nothing
    assert is_above(Interval(2.0, 0.1), Interval(1.0, 0.1))
    assert not is_above(Interval(2.0, 0.1), None)
    assert told(Interval(2.0, 0.1)) == "2.00 ± 0.10"
    assert told(interval([2.0])) == "2.00"
    assert listed(["a", "b", "c"]) == "a, b and c"


def test_pairs_are_the_seeds_that_both_have():
    one = [{"seed": seed, "bits": value} for seed, value in ((0, 2.0), (1, 3.0), (5, 9.0))]
    other = [{"seed": seed, "bits": value} for seed, value in ((1, 2.5), (0, 1.5), (7, 1.0))]
    assert paired(one, other, "bits") == Interval(0.5, 0.0)
    assert paired(one, other[2:], "bits") is None


def test_families_are_told_apart_only_where_their_intervals_are():
    verdict = says(
        made_up.families(), "transformer needs the fewest", "2.40 ± 0.02",
        "lstm cannot be told from it, since their intervals overlap", "gru (2.50 ± 0.02)",
        "rnn (2.80", "5-gram, needs 2.20 after 3.0 s", "no network clearly beats it",
    )  # fmt: skip
    assert verdict == AGREES
    assert "only transformer and lstm clearly beat" in finding(made_up.families(counted=2.46)).text
    assert finding(made_up.families(lstm=2.9, gru=2.9, rnn=2.5)).verdict == CONTRADICTS
    assert finding(made_up.families(noise=(0.0,))).verdict == UNDECIDED  # one seed


def test_what_repeats_itself_is_held_against_people():
    assert says(
        made_up.quality(), "perplexity 31.9 and repeats 2%", "by greedy, has 4.0 and repeats 50%",
        "Not to be told from people in both figures", "nucleus",
    ) == AGREES  # fmt: skip
    alone = made_up.quality(human=(32, 0.3), greedy=(4, 0.0))
    assert says(alone, "by greedy", "nearest in perplexity is greedy") == CONTRADICTS


def test_means_over_prompts_do_not_count_seeds_as_prompts():
    row = next(row for row in of_strategies(made_up.quality()) if row["strategy"] == "greedy")
    assert row["perplexity"] == pytest.approx(4 * (0.9 * 1.0 * 1.1) ** (1 / 3), rel=1e-4)
    assert row["seq_rep_4"] == pytest.approx(0.505)
    half = interval([0.5, 0.505, 0.51]).half_width
    assert row["seq_rep_4_high"] == pytest.approx(0.505 + half, abs=1e-4)


def test_the_exponents_are_the_fitted_ones_and_held_against_hoffmann():
    verdict = says(made_up.scaling(), "fits 45 runs", "a = 0.3", "b = 0.4", "to the power 0.5")
    assert verdict in (AGREES, CONTRADICTS)
    far = made_up.scaling(a=0.6, b=0.3)
    assert says(far, "a = 0.6", "b = 0.3", "to the power 0.3", "contradicts the 0.5") == (
        CONTRADICTS
    )


def test_a_loss_that_rises_beyond_the_trained_length_is_named():
    assert says(
        made_up.lengths(), "clearly rises for rotary (+1.00 bits)", "lstm and alibi",
        "After 1000 tokens", "0.10 ms a token instead of 10.00", "alibi and rotary alone",
    ) == AGREES  # fmt: skip
    assert says(made_up.lengths(lstm=0.5), "lstm (+0.50 bits)", "grows for no family") == (
        CONTRADICTS
    )
    assert "clearly rises for no family" in finding(made_up.lengths(lstm=0.0)).text


def test_transfer_is_against_the_model_that_was_trained_there():
    assert says(
        made_up.transfer(), "needs 1.00 bits per character more", "0.50 ± 0.00 (english on old)",
        "1.50 ± 0.00 (english on german)", "After 100 steps", "6 of 6 pairs nothing is left",
    ) == ""  # fmt: skip
    cells = {(row["trained_on"], row["read"]): row for row in matrix(made_up.transfer(), 100)}
    assert len(cells) == 9  # the diagonal is not tuned, but stands there
    assert cells["german", "german"]["bits"] == cells["english", "german"]["bits"]


def test_drift_is_told_only_beyond_chance():
    assert says(
        made_up.exposure(), "grows by 0.32 ± 0.01", "more than chance", "2.00 ± 0.02 bits of KL",
        "distance 50 by 0.001", "0.20 bits less, beyond",
    ) == AGREES  # fmt: skip
    assert says(made_up.exposure(drift=-0.01), "shrinks by 0.32") == CONTRADICTS
    assert says(made_up.exposure(drift=0.0, gain=0.0), "not to be told from chance") == UNDECIDED


def test_gradients_are_told_as_powers_of_ten():
    assert says(
        made_up.gradients(), "From 1 token back to 101", "10⁻¹² (rnn)", "10⁻⁴ (gru)",
        "10⁻⁶ (rnn)", "carries it farthest", "not to be told from",
    ) == AGREES  # fmt: skip
    assert says(made_up.gradients(rnn=0.01, lstm=0.05), "rnn carries it farthest") == CONTRADICTS


def test_what_helps_is_told_beyond_chance_only():
    assert says(
        made_up.helps(), "Clearly better with it: clipping (-0.100 bits)",
        "clearly worse with it: curriculum (+0.050 bits)", "All differences",
    ) == CONTRADICTS  # fmt: skip
    weak = made_up.helps(clipping=-0.1, curriculum=0.001)
    assert says(weak, "includes 0: curriculum (+0.001)") == UNDECIDED
    assert finding(made_up.helps(clipping=-0.1)).verdict == AGREES
    worse_by_what_it_does_not_claim = made_up.helps(clipping=-0.1, **{"scheduled sampling": 0.3})
    assert finding(worse_by_what_it_does_not_claim).verdict == AGREES
    assert "one seed says nothing of chance" in finding(made_up.helps(noise=(0.0,))).text


@pytest.mark.parametrize("make", made_up.ALL, ids=lambda make: make.__name__)
def test_rows_of_another_experiment_are_refused_with_the_next_step(make):
    result = make()
    for rows in ((), ({"other": 1},)):
        with pytest.raises(DataError, match=rf"python -m train\.experiment {result.name}\."):
            finding(replace(result, rows=rows))


def test_every_experiment_has_a_finding_and_every_kept_result_one():
    assert {make().name for make in made_up.ALL} == set(NAMES)
    for name in NAMES:
        if (FOLDER / f"{name}.json").is_file():
            assert says(load_result(name)) in (AGREES, CONTRADICTS, UNDECIDED, "")
