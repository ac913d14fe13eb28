"""Counts over small samples, worked by hand or by brute force."""

import random

import pytest

from playground.evaluation.diversity import (
    Loop,
    distinct,
    mean,
    ngrams,
    rep,
    self_bleu,
    seq_rep,
    suffix_loop,
    zipf,
)


def random_samples(count: int, length: int, kinds: int = 3, seed: int = 0) -> list[list[int]]:
    draw = random.Random(seed)
    return [[draw.randrange(kinds) for _ in range(length)] for _ in range(count)]


class TestDistinct:
    def test_the_ngrams_of_all_samples_are_counted_together(self):
        samples = [[1, 2, 1, 2], [1, 2, 3]]
        assert distinct(samples, 1) == 3 / 7
        assert distinct(samples, 2) == 3 / 5  # 12 21 12 | 12 23
        assert distinct(samples, 3) == 3 / 3  # 121 212 | 123

    def test_no_ngram_crosses_the_end_of_a_sample(self):
        assert distinct([[1], [2]], 2) is None
        assert ngrams([1, 2], 3) == []

    def test_nothing_has_no_variety(self):
        assert distinct([], 1) is None
        assert distinct([[]], 1) is None
        assert distinct([[5]], 1) == 1


class TestSelfBleu:
    def test_the_same_text_twice_is_100(self):
        assert self_bleu([[4, 5, 6, 7, 8]] * 3) == pytest.approx(100)
        assert self_bleu([[4]] * 2) == pytest.approx(100)  # shorter than the longest n-gram

    def test_texts_without_a_common_token_are_0(self):
        assert self_bleu([[1, 2, 3, 4], [5, 6, 7, 8]]) == 0

    def test_one_text_is_like_no_other(self):
        assert self_bleu([]) is None
        assert self_bleu([[1, 2, 3]]) is None
        assert self_bleu([[1, 2, 3], []]) is None

    def test_two_texts_worked_by_hand(self):
        # 3 of 4 tokens, 2 of 3 pairs, 1 of 2 triples; the 4-gram counts as half a match
        wanted = 100 * (3 / 4 * 2 / 3 * 1 / 2 * (1 / 2) / 1) ** (1 / 4)
        assert self_bleu([[1, 2, 3, 4], [1, 2, 3, 5]]) == pytest.approx(wanted)

    def test_a_token_is_a_word_whatever_its_digits(self):
        assert self_bleu([[1, 23, 1, 23], [12, 3, 12, 3]]) == 0

    def test_a_shorter_text_pays_for_its_brevity(self):
        from math import exp

        pair = [[1, 2, 3, 4], [1, 2, 3, 4, 5, 6]]
        long = 100 * (4 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** (1 / 4)
        assert self_bleu(pair) == pytest.approx((100 * exp(1 - 6 / 4) + long) / 2)

    @pytest.mark.parametrize("kinds", [2, 5, 50])
    @pytest.mark.parametrize("lengths", [(12, 12), (1, 2, 3), (30, 7, 19, 25, 25, 4)])
    def test_it_is_the_mean_of_what_sacrebleu_says_of_each(self, lengths, kinds):
        from sacrebleu.metrics import BLEU

        samples = [random_samples(1, n, kinds, seed)[0] for seed, n in enumerate(lengths)]
        texts = [" ".join(map(str, tokens)) for tokens in samples]
        bleu = BLEU(tokenize="none", smooth_method="exp", effective_order=True)
        wanted = [
            bleu.sentence_score(text, texts[:i] + texts[i + 1 :]).score
            for i, text in enumerate(texts)
        ]
        assert self_bleu(samples) == pytest.approx(sum(wanted) / len(wanted))


class TestRepetition:
    def test_seq_rep_counts_ngrams_that_came_before(self):
        assert seq_rep([1, 2, 3, 4, 1, 2, 3, 4]) == pytest.approx(1 / 5)
        assert seq_rep([1] * 10) == pytest.approx(6 / 7)
        assert seq_rep([1, 2, 3, 4]) == 0
        assert seq_rep([1, 2, 3]) is None
        assert seq_rep([1, 2, 1, 3], 1) == 1 / 4

    def test_rep_looks_back_as_far_as_its_window(self):
        assert rep([1, 2, 1, 2], 2) == 2 / 4
        assert rep([1, 2, 1, 2], 1) == 0
        assert rep([1, 1, 2, 2], 1) == 2 / 4
        assert rep([7]) == 0
        assert rep([]) is None

    @pytest.mark.parametrize(
        ("tokens", "loop"),
        [
            ([], Loop()),
            ([1], Loop()),
            ([1, 1], Loop()),
            ([1, 1, 1], Loop(1, 3)),
            ([9, 1, 2, 1, 2, 1, 2], Loop(2, 3)),
            ([1, 2, 1, 2, 1, 2, 9], Loop()),  # it went on
            ([2, 1, 2, 1, 2, 1, 2], Loop(2, 3)),  # the first round is not whole
            ([5, 5, 5, 5, 5, 5], Loop(1, 6)),
            ([1, 2, 3, 3, 3] * 3, Loop(5, 3)),  # 15 tokens, where 3 3 3 is 3
        ],
    )
    def test_a_loop_at_the_end_is_found(self, tokens, loop):
        assert suffix_loop(tokens) == loop

    def test_a_loop_needs_a_phrase_and_three_rounds_to_be_called_stuck(self):
        assert suffix_loop([1, 2] * 3).is_stuck
        assert suffix_loop([1] * 6).is_stuck
        assert not suffix_loop([1] * 5).is_stuck
        assert not suffix_loop([1, 2, 3, 4] * 2).is_stuck

    def test_the_loop_is_that_of_a_search_of_all(self):
        for tokens in random_samples(300, 14, kinds=2, seed=3):
            best = Loop()
            for period in range(1, len(tokens)):
                times = 1
                while tokens[-period * (times + 1) : -period * times] == tokens[-period:]:
                    times += 1
                if times >= 3 and period * times > best.length:
                    best = Loop(period, times)
            assert suffix_loop(tokens) == best, tokens

    def test_a_long_loop_takes_no_time(self):
        assert suffix_loop([0, 1] * 50_000).length == 100_000


def test_zipf_finds_the_slope_of_a_power_law():
    samples = [[rank] * round(100_000 / rank**1.2) for rank in range(1, 40)]
    assert zipf(samples) == pytest.approx(1.2, abs=0.01)
    assert zipf([[1, 2, 3, 4]]) == pytest.approx(0)
    assert zipf([[1, 1]]) is None
    assert zipf([]) is None


def test_the_mean_leaves_out_what_is_not_defined():
    assert mean([1, None, 3]) == 2
    assert mean([None]) is None
    assert mean([]) is None
