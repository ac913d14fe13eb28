"""Best of n and minimum Bayes risk: the samples are a lane's own, the ranking is by hand."""

import itertools

import pytest
import torch
from sacrebleu.metrics import CHRF

from playground.decoding.generate import generate_trace
from playground.decoding.lane import Lane
from playground.decoding.processors import Processor
from playground.decoding.samples import BestOfN, MinimumBayesRisk, utility
from playground.decoding.strategies import Sample
from tests.helpers import ngram, random_tokens, transformer

PROMPT, EOS = (0, 5, 3), 1
WARM = (Processor("temperature", 1.3), Processor("top_k", 9))
COINS = (Processor("xtc", 0.5, xtc_threshold=0.05),)


def trace_of(strategy, model=None, processors=(), new=8, eos=EOS, **lane):
    lane = Lane(strategy, processors, **lane)
    return generate_trace(
        model or transformer(), "m", PROMPT, lane, max_new_tokens=new, eos_token=eos
    )


@pytest.mark.parametrize("processors", [(), WARM, COINS], ids=["plain", "warm", "coins"])
@pytest.mark.parametrize("strategy", [BestOfN(7), MinimumBayesRisk(7)], ids=lambda s: s.name)
def test_the_texts_are_those_of_seven_samples(strategy, processors):
    model = ngram()
    trace = trace_of(strategy, model, processors, seed=3, sample=2)
    alone = [trace_of(Sample(), model, processors, seed=3, sample=2 + i) for i in range(7)]
    texts = [one.tokens[len(PROMPT) :] for one in alone]
    assert len(set(texts)) > 3
    assert sorted(other.tokens for other in trace.alternatives) == sorted(texts)
    assert {len(text) for text in texts} > {8}  # some end early
    for other in trace.alternatives:
        own = alone[texts.index(other.tokens)]
        processed = sum(step.logprob_processed for step in own.steps)
        assert other.logprob == pytest.approx(processed, abs=1e-4)


@pytest.mark.parametrize("length_penalty", [-1.0, 0.0, 1.0, 2.0])
def test_the_best_of_n_has_the_best_raw_log_p_by_its_length(length_penalty):
    model = ngram()
    trace = trace_of(BestOfN(12, length_penalty), model, WARM, seed=1)
    for other in trace.alternatives:
        row = torch.tensor([[*PROMPT, *other.tokens]])
        logprobs = model.forward(row)[0, len(PROMPT) - 1 : -1].double().log_softmax(-1)
        raw = logprobs.gather(1, torch.tensor(other.tokens)[:, None]).sum().item()
        assert other.score == pytest.approx(raw / len(other.tokens) ** length_penalty)
    scores = [other.score for other in trace.alternatives]
    assert scores == sorted(scores, reverse=True)
    assert trace.tokens[len(PROMPT) :] == trace.alternatives[0].tokens
    assert sum(step.logprob for step in trace.steps) == pytest.approx(
        scores[0] * len(trace.steps) ** length_penalty
    )


@pytest.mark.parametrize("new", [1, 3, 9])
def test_minimum_bayes_risk_is_the_mean_utility_over_all_pairs(new):
    trace = trace_of(MinimumBayesRisk(9), ngram(), new=new, seed=4)
    texts = [other.tokens for other in trace.alternatives]
    for other in trace.alternatives:
        mean = sum(utility(other.tokens, text) for text in texts) / len(texts)
        assert other.score == pytest.approx(mean)
    scores = [other.score for other in trace.alternatives]
    assert scores == sorted(scores, reverse=True)
    assert trace.tokens[len(PROMPT) :] == texts[0]


def test_utility_by_hand():
    """Of a b c and a b d: two of three tokens, one of two pairs, no triple: (2/3 + 1/2 + 0) / 3.

    Of a and a b: precision (1 + 0) / 2, recall (1/2 + 0) / 2, and 2 PR / (P + R) = 1/3.
    """
    assert utility((1, 2, 3), (1, 2, 4)) == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert utility((1, 1, 2), (1, 2, 2)) == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert utility((1,), (1, 2)) == pytest.approx(1 / 3)
    assert utility((), (1,)) == 0
    assert utility((), ()) == 1


@pytest.mark.parametrize("vocab_size", [2, 4])
def test_utility_is_chrf_where_both_are_long_enough(vocab_size):
    """sacrebleu's scale is 0 to 100; the tokens are letters, the order 4, beta 1."""
    chrf = CHRF(char_order=4, word_order=0, beta=1)
    letters = "abcdefgh"
    for seed in range(40):
        lengths = random_tokens(2, seed=seed, vocab_size=9).add(4).tolist()
        ours, theirs = (
            random_tokens(n, seed=97 * seed + i, vocab_size=vocab_size).tolist()
            for i, n in enumerate(lengths)
        )
        said, wanted = ("".join(letters[t] for t in tokens) for tokens in (ours, theirs))
        expected = chrf.sentence_score(said, [wanted]).score / 100
        assert utility(ours, theirs) == pytest.approx(expected, abs=1e-9)


def test_utility_is_symmetric_and_highest_for_the_same_text():
    texts = [tuple(random_tokens(n, seed=n, vocab_size=3).tolist()) for n in range(8)]
    for a, b in itertools.combinations_with_replacement(texts, 2):
        assert utility(a, b) == pytest.approx(utility(b, a))
        assert 0 <= utility(a, b) <= 1
        assert (utility(a, b) == pytest.approx(1)) is (a == b)


def test_a_text_too_short_for_an_order_is_where_sacrebleu_differs():
    """It leaves out every order that one side is too short for, and so calls these the same."""
    chrf = CHRF(char_order=4, word_order=0, beta=1)
    assert chrf.sentence_score("a", ["aa"]).score / 100 == pytest.approx(2 / 3)
    assert utility((1,), (1, 1)) == pytest.approx(1 / 3)
