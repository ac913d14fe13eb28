"""Constrained beam search: every result says every word, and what cannot be is refused."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from playground.decoding.constrained_beam import ConstrainedBeamSearch, Progress, allot
from playground.decoding.generate import generate_trace
from playground.decoding.lane import Lane
from playground.decoding.processors import Processor
from playground.decoding.run import Run
from playground.errors import ConfigError
from playground.models.ngram import fit_ngram
from tests.helpers import Chain, random_tokens

CHAIN = Chain(
    [  # to: start, a, b, c
        [0.0, 0.6, 0.3, 0.1],
        [0.0, 0.5, 0.3, 0.2],
        [0.0, 0.2, 0.2, 0.6],
        [0.0, 0.8, 0.1, 0.1],
    ]
)
A, B, C = 1, 2, 3


def forced(*words, beams=4, **settings):
    return ConstrainedBeamSearch(beams, **settings, force_words_ids=words)


def trace_of(strategy, model=CHAIN, prompt=(0,), new=3, eos=None, processors=()):
    lane = Lane(strategy, processors)
    return generate_trace(model, "m", prompt, lane, max_new_tokens=new, eos_token=eos)


def holds(text, word) -> bool:
    return any(text[i : i + len(word)] == word for i in range(len(text) - len(word) + 1))


def test_two_beams_that_must_say_c_by_hand():
    """One beam for each bank, those that hold c and those that do not.

    First: a 0.6 (without), c 0.1 (with); b 0.3 is crowded out. Second, without: a a 0.3; with: a c
    0.12, better than c a 0.08. Third: a c a 0.096, and a a c 0.06 before a c b 0.012.
    """
    trace = trace_of(forced((C,), beams=2))
    found = [(other.tokens, round(math.exp(other.logprob), 6)) for other in trace.alternatives]
    assert found == [((A, C, A), 0.096), ((A, A, C), 0.06)]
    first, second, _ = [
        [(h.token, h.group, h.fate) for h in row if h.fate == "live"] for row in trace.search
    ]
    assert first == [(A, 0, "live"), (C, 1, "live")]
    assert second == [(A, 0, "live"), (C, 1, "live")]


def test_four_beams_find_what_two_miss():
    """b c a has 0.3 * 0.6 * 0.8 = 0.144; b survives when each bank has two beams."""
    trace = trace_of(forced((C,), beams=4))
    found = [(other.tokens, round(math.exp(other.logprob), 6)) for other in trace.alternatives]
    assert found[:3] == [((B, C, A), 0.144), ((A, B, C), 0.108), ((A, C, A), 0.096)]


def model_of(seed: int, vocab_size: int = 6):
    return fit_ngram(random_tokens(200, seed=seed, vocab_size=vocab_size), vocab_size, 3)


WORDS = {
    "one": [(1, 2)],
    "single tokens": [(1,), (2,), (3,)],
    "same beginning": [(1, 2, 3), (1, 2, 4)],
    "one begins the other": [(1, 2), (1, 2, 3)],
    "one inside the other": [(1, 2, 3), (2,)],
    "overlapping": [(1, 2), (2, 1)],
    "a repeated token": [(1, 1, 2)],
    "only one token": [(2, 2, 2), (2, 2)],
    "unlikely": [(4, 4, 1, 4)],
}


@pytest.mark.parametrize("beams", [1, 2, 5])
@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS.keys())
def test_every_result_says_every_word(words, beams):
    for seed, eos, extra in itertools.product(range(2), (None, 5), (0, 3)):
        new = sum(map(len, words)) + extra
        for stopping in (False, True):
            strategy = forced(*words, beams=beams, early_stopping=stopping)
            trace = trace_of(strategy, model_of(seed), (0, 3), new, eos)
            assert trace.alternatives
            for other in trace.alternatives:
                assert all(holds(other.tokens, word) for word in words), (other, seed)
                assert len(other.tokens) == new or other.tokens[-1] == eos
                assert eos not in other.tokens[:-1]
            assert trace.tokens[2:] == trace.alternatives[0].tokens


def test_words_that_fill_the_room_are_all_that_is_said():
    trace = trace_of(forced((1, 2), (3, 4, 3), beams=3), model_of(0), (0, 3), 5)
    assert {other.tokens for other in trace.alternatives} <= {(1, 2, 3, 4, 3), (3, 4, 3, 1, 2)}


def test_enough_beams_find_the_most_likely_text_that_holds_the_words():
    for seed, words in itertools.product(range(4), ([(1, 2)], [(1,), (3,)], [(2,), (3, 1)])):
        model = model_of(seed, vocab_size=4)
        texts = [
            text
            for text in itertools.product(range(4), repeat=3)
            if all(holds(text, word) for word in words)
        ]
        rows = torch.tensor([[0, 3, *text] for text in texts])
        logprobs = model.forward(rows)[:, 1:-1].double().log_softmax(-1)
        best = logprobs.gather(2, rows[:, 2:, None]).sum((1, 2)).max().item()
        trace = trace_of(forced(*words, beams=32), model, (0, 3), 3)
        assert trace.alternatives[0].logprob == pytest.approx(best)


words_of_few_tokens = st.lists(
    st.lists(st.integers(0, 2), min_size=1, max_size=4).map(tuple),
    min_size=1, max_size=4, unique=True,
)  # fmt: skip


@given(words_of_few_tokens, st.lists(st.integers(0, 2), max_size=14))
def test_progress_knows_what_a_text_holds_and_what_it_has_begun(words, text):
    progress, text = Progress(tuple(words)), tuple(text)
    for token in text:
        progress = progress.after(token)
    unsaid = [word for word in words if not holds(text, word)]
    assert list(progress.unsaid) == unsaid
    ends = [text[i:] for i in range(len(text) + 1)]
    begun = next(end for end in ends if not end or any(w[: len(end)] == end for w in unsaid))
    assert progress.begun == begun
    assert progress.next_tokens() == {
        word[len(begun)] for word in unsaid if word[: len(begun)] == begun
    }


def test_a_word_that_is_broken_off_goes_on_from_what_is_left_of_it():
    """After a a a, the last two are the beginning of a a b."""
    progress = Progress(((A, A, B),))
    for token in (A, A, A):
        progress = progress.after(token)
    assert progress.begun == (A, A)
    assert progress.after(B).unsaid == ()


@given(words_of_few_tokens, st.lists(st.integers(0, 2), max_size=10))
def test_the_tokens_that_are_missing_are_always_enough(words, text):
    progress = Progress(tuple(words))
    for token in text:
        progress = progress.after(token)
    while progress.unsaid:
        for token in progress.next_tokens():
            assert progress.after(token).missing < progress.missing
        progress = progress.after(min(progress.next_tokens()))
    assert progress.missing == 0


def test_beams_are_shared_out_among_banks():
    assert allot({0: 9, 1: 9}, 4) == {0: 2, 1: 2}
    assert allot({0: 9, 1: 1, 3: 9}, 6) == {0: 2, 1: 1, 3: 3}  # what a bank lacks, the fullest has
    assert allot({0: 9, 1: 9, 2: 9}, 2) == {0: 0, 1: 1, 2: 1}
    assert allot({0: 1}, 5) == {0: 1}
    assert allot({}, 5) == {}


def test_an_unlikely_end_does_not_stop_the_search_early():
    """The end has p 0.001 everywhere: not among the two best, so no text ends with it."""
    row = [0.0, 0.5, 0.3, 0.199, 0.001]
    trace = trace_of(forced((C,), beams=2, early_stopping=True), Chain([row] * 5), new=6, eos=4)
    assert all(len(other.tokens) == 6 for other in trace.alternatives)


@pytest.mark.parametrize(
    ("words", "new", "message"),
    [
        ([(1, 2), (3,)], 2, "force_words_ids need 3 tokens, max_new_tokens is 2"),
        ([(1,)], 0, "force_words_ids need 1 tokens, max_new_tokens is 0"),
        ([(1, 23)], 9, r"each token of force_words_ids must be a whole number in \[0, 3\], got 23"),
        ([(-1,)], 9, r"must be a whole number in \[0, 3\], got -1"),
        ([(True,)], 9, "must be a whole number"),
        ([("a",)], 9, "must be a whole number"),
        ([(1, 0, 1)], 9, "must not hold the end token 0"),
    ],
)
def test_words_that_cannot_be_said_are_refused_before_any_work(words, new, message):
    with pytest.raises(ConfigError, match=message):
        Run(CHAIN, (0,), [Lane(), Lane(forced(*words))], max_new_tokens=new, eos_token=0)


def test_a_word_named_twice_is_said_once():
    strategy = forced((1, 2), (1, 2))
    assert strategy.force_words_ids == ((1, 2),)
    assert strategy.settings()["force_words_ids"] == [[1, 2]]


def test_a_word_that_a_processor_forbids_ends_the_lane_where_it_stands():
    """Nobody can say 1 1 1 without saying 1 1 twice."""
    trace = trace_of(
        forced((1, 1, 1), beams=2), Chain([[0.1] * 10] * 10), new=6,
        processors=(Processor("no_repeat_ngram_size", 2),),
    )  # fmt: skip
    assert not any(h.fate == "finished" for row in trace.search for h in row)
    assert 3 <= len(trace.steps) < 6  # until there is no room left for the word
    assert trace.tokens[1:] in [other.tokens for other in trace.alternatives]


def test_a_hypothesis_may_only_be_complete_when_it_holds_the_words():
    """Greedy would end at once, with p 0.9; c has to come first."""
    row = [0.0, 0.04, 0.03, 0.03, 0.9]
    trace = trace_of(forced((C,), beams=2), Chain([row] * 5), new=5, eos=4)
    assert trace.tokens == (0, C, 4)
    pruned = [h for h in trace.search[0] if h.token == 4]
    assert [h.fate for h in pruned] == ["pruned"]
