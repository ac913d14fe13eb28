"""Draws of sequences against exact distributions: with and without replacement."""

import itertools
import math
from collections import Counter

import pytest
import torch

from playground.decoding.beam import BeamSample
from playground.decoding.generate import generate_trace
from playground.decoding.lane import Lane
from playground.decoding.processors import Processor
from playground.decoding.run import Run
from playground.decoding.samples import BestOfN
from playground.decoding.search import gumbel
from playground.decoding.stochastic_beam import StochasticBeamSearch, with_maximum
from playground.decoding.strategies import Sample
from playground.models.ngram import fit_ngram
from tests.decoding.chi_square import check_frequencies, sequence_probs
from tests.helpers import random_tokens

PROMPT, EOS = (0, 2), 4
WARM = (Processor("temperature", 0.7),)


@pytest.fixture(scope="module")
def model():
    """A trigram model of five tokens, none of them rare: fitted on a skewed stream."""
    skew = random_tokens(400, seed=3, vocab_size=3)
    return fit_ngram(torch.where(skew == 0, 1, random_tokens(400, seed=4, vocab_size=5)), 5, 3)


def results(model, strategy, draws: int, new: int, processors=(), eos=EOS):
    """Yield the results of `draws` lanes, each its own sample, the best first."""
    many = min(64, 512 // getattr(strategy, "max_rows", 1))  # lanes at a time
    for first in range(0, draws, many):
        lanes = [Lane(strategy, processors, seed=11, sample=first + i) for i in range(many)]
        run = Run(model, PROMPT, lanes, max_new_tokens=new, eos_token=eos, n_candidates=1)
        for _ in run:
            pass
        for i in range(many):
            trace = run.trace(i, "m")
            yield [o.tokens for o in trace.alternatives] or [trace.tokens[len(PROMPT) :]]


@pytest.mark.parametrize(
    ("strategy", "processors"),
    [
        (Sample(), WARM),
        (BeamSample(1), WARM),
        (BeamSample(1, early_stopping="never", length_penalty=2.0), ()),
        (StochasticBeamSearch(1), WARM),
        (BestOfN(1), ()),
    ],
    ids=["sample", "one beam, warm", "one beam", "stochastic beam", "best of one"],
)
def test_sequences_are_drawn_with_their_probabilities(model, strategy, processors):
    shape = (lambda logits: logits / 0.7) if processors else (lambda logits: logits)
    expected = sequence_probs(model, PROMPT, 3, eos=EOS, shape=shape)
    drawn = results(model, strategy, 1024, 3, processors)
    check_frequencies(Counter(tokens for (tokens,) in drawn), expected)


def test_every_sample_of_a_lane_is_drawn_with_its_probability(model):
    """Of 32 lanes with 64 samples each, all samples count, not the best alone."""
    expected = sequence_probs(model, PROMPT, 3, eos=EOS)
    counts = Counter()
    for seed in range(4):
        lanes = [Lane(BestOfN(64), seed=seed, sample=64 * i) for i in range(8)]
        run = Run(model, PROMPT, lanes, max_new_tokens=3, eos_token=EOS, n_candidates=1)
        for _ in run:
            pass
        for i in range(8):
            counts.update(other.tokens for other in run.trace(i, "m").alternatives)
    check_frequencies(counts, expected)


@pytest.mark.parametrize(("new", "draws"), [(2, 1536), (3, 640)])
def test_two_sequences_are_drawn_without_replacement(model, new, draws):
    """The first is a with p(a), the second then b with p(b) / (1 - p(a))."""
    one = sequence_probs(model, PROMPT, new, eos=EOS)
    pairs = {(a, b): p * q / (1 - p) for (a, p), (b, q) in itertools.permutations(one.items(), 2)}
    second = Counter()
    for (_, b), p in pairs.items():
        second[b] += p
    drawn = list(results(model, StochasticBeamSearch(2), draws, new))
    assert all(len(set(pair)) == 2 for pair in drawn)
    check_frequencies(Counter(map(tuple, drawn)), pairs)
    check_frequencies(Counter(first for first, _ in drawn), one)
    check_frequencies(Counter(b for _, b in drawn), second)


def test_a_sequence_is_drawn_once_at_most_and_all_where_there_is_room(model):
    one = sequence_probs(model, PROMPT, 2, eos=EOS)
    assert len(one) == 21
    for drawn in results(model, StochasticBeamSearch(32), 64, 2):
        assert len(drawn) == 21
        assert set(drawn) == set(one)
    for drawn in results(model, StochasticBeamSearch(9), 64, 3):
        assert len(drawn) == len(set(drawn)) == 9


def test_a_sequence_keeps_the_perturbed_score_that_it_was_drawn_with(model):
    """The largest sum below a hypothesis is its own: so the best has one score all the way."""
    lane = Lane(StochasticBeamSearch(4), seed=2)
    trace = generate_trace(model, "m", PROMPT, lane, max_new_tokens=6)
    best = [row[0].score for row in trace.search]
    assert best == pytest.approx([best[0]] * 6, abs=1e-12)
    for before, after in itertools.pairwise(trace.search):
        live = [h.score for h in before if h.fate == "live"]
        for h in after:
            assert h.score <= live[h.parent] + 1e-9


def test_gumbel_noise_is_gumbel_noise():
    """p(G < x) = exp(-exp(-x)): counted in ten bins of equal probability."""
    noise = gumbel((20_000,), torch.Generator().manual_seed(1))
    assert noise.dtype == torch.float64
    assert noise.isfinite().all()
    edges = [-math.log(-math.log(i / 10)) for i in range(1, 10)]
    bins = torch.bucketize(noise, torch.tensor(edges, dtype=torch.float64)).tolist()
    check_frequencies(Counter(bins), dict.fromkeys(range(10), 0.1))


def test_gumbels_are_shifted_to_a_maximum_and_stay_in_order():
    values = torch.tensor([[1.0, -2.0, -torch.inf, 0.5], [5.0, 5.001, 4.9999, -300.0]]).double()
    for maximum in (-6.0, -1.0, 0.0, 30.0):
        moved = with_maximum(values, torch.full((2, 1), maximum, dtype=torch.float64))
        assert not moved.isnan().any()
        assert moved.amax(-1).tolist() == pytest.approx([maximum] * 2, abs=1e-12)
        assert moved[0, 2] == -torch.inf
        assert (moved.argsort(-1) == values.argsort(-1)).all()


def test_pairs_of_beam_sample_are_the_first_two_drawn_without_replacement(model):
    """With one token to make, both beams end: an unordered pair has p q/(1-p) + q p/(1-q)."""
    one = {a: p for (a,), p in sequence_probs(model, PROMPT, 1).items()}
    expected = {
        frozenset((a, b)): p * q / (1 - p) + q * p / (1 - q)
        for (a, p), (b, q) in itertools.combinations(one.items(), 2)
    }
    counts = Counter()
    for pair in results(model, BeamSample(2), 1024, 1, eos=None):
        counts[frozenset(token for (token,) in pair)] += 1
        assert one[pair[0][0]] >= one[pair[1][0]]  # the likelier comes first
    check_frequencies(counts, expected)
