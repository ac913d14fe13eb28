"""BLEU with its counts, worked by hand, and as sacrebleu has it."""

import math

import pytest
from sacrebleu.metrics import BLEU

from playground.errors import ConfigError, DataError
from playground.evaluation.bleu import bleu, brevity_penalty, chrf


def test_a_word_matches_no_more_often_than_in_a_reference():
    """The example of Papineni et al. 2002, section 2.1."""
    found = bleu(
        "the the the the the the the",
        ["The cat is on the mat.".lower(), "There is a cat on the mat.".lower()],
    )
    unigrams = found.orders[0]
    (gram,) = unigrams.grams
    assert (gram.words, gram.count, gram.most, gram.clipped) == (("the",), 7, 2, 2)
    assert (unigrams.matched, unigrams.unclipped, unigrams.total) == (2, 7, 7)
    assert unigrams.precision == pytest.approx(2 / 7)


def test_a_score_worked_by_hand():
    found = bleu("the cat sat on the mat", ["the cat sat down on the mat"])
    assert [(order.matched, order.total) for order in found.orders] == [
        (6, 6), (4, 5), (2, 4), (0, 3),
    ]  # fmt: skip
    assert found.brevity_penalty == pytest.approx(math.exp(1 - 7 / 6))
    shares = 6 / 6 * 4 / 5 * 2 / 4 * (1 / 2 / 3)  # half a match where there is none
    assert found.score == pytest.approx(100 * math.exp(1 - 7 / 6) * shares ** (1 / 4))
    none = bleu("the cat sat on the mat", ["the cat sat down on the mat"], "none")
    assert none.score == 0


@pytest.mark.parametrize(
    ("candidate", "references"),
    [
        ("It was dark, and the ship was lost.", ["The ship was lost; it was dark."]),
        ("a b a b a b", ["a b", "a b a b c", "b a"]),
        ("yes", ["yes indeed", "no"]),
    ],
)
def test_counts_are_those_that_sacrebleu_counts(candidate, references):
    found = bleu(candidate, references)
    theirs = BLEU(effective_order=True).sentence_score(candidate, references)
    assert [order.matched for order in found.orders] == theirs.counts
    assert [order.total for order in found.orders] == theirs.totals
    assert found.score == theirs.score
    assert found.brevity_penalty == theirs.bp
    assert brevity_penalty(found.candidate_length, found.reference_length) == pytest.approx(
        theirs.bp
    )


def test_a_paraphrase_scores_near_0_and_a_word_salad_does_not():
    reference = "The physician was unable to save the old man."
    paraphrase = bleu("No doctor could have kept him alive.", [reference])
    salad = bleu("save the old man The physician was unable to.", [reference])
    assert paraphrase.score < 5
    assert salad.score > 60


def test_signatures_tell_the_variant():
    assert "tok:13a" in bleu("a b", ["a b"]).signature
    assert "nc:6" in chrf("a b", ["a b"]).signature
    assert chrf("a b c d", ["a b c d"]).score == pytest.approx(100)


def test_what_is_missing_is_told():
    with pytest.raises(DataError, match="candidate is empty"):
        bleu("  ", ["a"])
    with pytest.raises(DataError, match="1 to 8 references, got 0"):
        bleu("a", [])
    with pytest.raises(DataError, match="at most 5,000"):
        chrf("a", ["b" * 6000])
    with pytest.raises(ConfigError, match="smoothing must be one of"):
        bleu("a", ["a"], "add-one")
