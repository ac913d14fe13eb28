"""Speculative decoding: the distribution, and greedily the text, are those without a draft."""

from collections import Counter

import pytest
import torch

from playground.decoding.generate import generate_trace
from playground.decoding.lane import Lane
from playground.decoding.processors import Processor
from playground.decoding.run import Run
from playground.decoding.speculative import Lookup, PromptLookup, SpeculativeDecoding
from playground.decoding.stepper import Stepper
from playground.decoding.strategies import Greedy
from playground.errors import ConfigError
from playground.models.ngram import fit_ngram
from tests.decoding.chi_square import check_frequencies, sequence_probs
from tests.helpers import MODELS, SHIPPED, Chain, lstm, ngram, random_tokens, transformer

PROMPT = (0, 2, 1, 0, 2)
LONG = (0, 5, 3, 5, 3, 5)
WARM = (Processor("temperature", 0.6), Processor("top_k", 3))


def warm(logits: torch.Tensor) -> torch.Tensor:
    for processor in WARM:
        logits = processor(logits, None)  # neither looks back
    return logits


def target():
    skew = random_tokens(300, seed=3, vocab_size=3)
    return fit_ngram(torch.where(skew == 0, 1, random_tokens(300, seed=4, vocab_size=4)), 4, 3)


def another():
    return fit_ngram(random_tokens(300, seed=8, vocab_size=4), 4, 2)


def terrible():
    """A draft that is nearly sure of a token, whichever it is."""
    return Chain([[0.01, 0.01, 0.01, 0.97]] * 2 + [[0.97, 0.01, 0.01, 0.01]] * 2)


STRATEGIES = {
    "another": lambda: SpeculativeDecoding(num_assistant_tokens=3, draft=another()),
    "terrible": lambda: SpeculativeDecoding(num_assistant_tokens=2, draft=terrible()),
    "itself": lambda: SpeculativeDecoding(num_assistant_tokens=4, draft=target()),
    "lookup": lambda: PromptLookup(prompt_lookup_num_tokens=3, max_matching_ngram_size=2),
}


@pytest.mark.parametrize(("processors", "shape"), [((), lambda x: x), (WARM, warm)])
@pytest.mark.parametrize("name", STRATEGIES)
def test_sequences_are_distributed_as_without_a_draft(name, processors, shape):
    model, strategy = target(), STRATEGIES[name]()
    expected = sequence_probs(model, PROMPT, 3, shape=shape)
    counts = Counter()
    for first in range(0, 640, 64):
        lanes = [Lane(strategy, processors, seed=7, sample=first + i) for i in range(64)]
        run = Run(model, PROMPT, lanes, max_new_tokens=5, n_candidates=1)
        for _ in run:  # five tokens, so that the first three take more than one round
            pass
        counts.update(run.trace(i, "m").tokens[len(PROMPT) :][:3] for i in range(64))
    check_frequencies(counts, expected)


def greedy_of(model, prompt, new, **options):
    return generate_trace(model, "m", prompt, Lane(Greedy()), max_new_tokens=new, **options)


def run_of(model, strategy, prompt, new, processors=(), seed=0, **options):
    run = Run(model, prompt, [Lane(strategy, processors, seed)], max_new_tokens=new, **options)
    for _ in run:
        pass
    return run, run.trace(0, "m")


def check_greedy(model, strategy, prompt, new, **options):
    plain = greedy_of(model, prompt, new, **options)
    run, trace = run_of(model, strategy, prompt, new, **options)
    assert trace.tokens == plain.tokens
    for ours, theirs in zip(trace.steps, plain.steps, strict=True):
        assert ours.logprob == pytest.approx(theirs.logprob, abs=1e-3)
        assert (ours.position, ours.slid) == (theirs.position, theirs.slid)
    check_drafts(trace, strategy.guesses, new)
    return run, trace


def rounds_of(trace):
    """Return the steps of each round: guesses up to one that is wrong, or a token besides."""
    rounds, current = [], []
    for step in trace.steps:
        current.append(step)
        if step.draft is None or not step.draft.accepted:
            rounds.append(current)
            current = []
    return rounds + ([current] if current else [])


def check_drafts(trace, guesses: int, new: int) -> None:
    """See that every Draft agrees with its Step, and that each round guessed so many tokens."""
    made = 0
    for steps in rounds_of(trace):
        for step in steps:
            if step.draft is None:
                assert step.chosen_by == "strategy"
            elif step.draft.accepted:
                assert (step.token, step.chosen_by) == (step.draft.token, "draft")
                assert step.draft.dropped == ()
            else:
                assert step.token != step.draft.token
                assert step.chosen_by == "strategy"
        last = steps[-1].draft
        guessed = sum(s.draft is not None for s in steps) + len(last.dropped if last else ())
        assert guessed <= guesses
        made += len(steps)
    assert made == len(trace.steps) <= new


@pytest.mark.parametrize(
    "strategy",
    [
        SpeculativeDecoding(False, 5, draft_name="ngram", draft=SHIPPED["kjv-char-ngram"]()),
        PromptLookup(False, 6),
    ],
    ids=["draft", "lookup"],
)
@pytest.mark.parametrize("name", ["kjv-char-transformer", "kjv-char-lstm"])
def test_greedy_text_of_shipped_models_is_the_same_with_a_draft(name, strategy):
    model = SHIPPED[name]()
    bos = model.vocab_size - 1
    run, trace = check_greedy(model, strategy, (bos, 10, 20, 30), 200)
    assert len(trace.steps) == 200
    assert run.calls(0) < 150
    rounds = rounds_of(trace)
    first_was_known = len(rounds[0]) == 1 and rounds[0][0].draft is None  # from the prompt
    assert run.calls(0) == len(rounds) - first_was_known


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_greedy_text_past_the_context_is_the_same_with_a_draft(positions):
    model = transformer(positions, context_length=16)
    for draft in (ngram(2), transformer(positions, context_length=16), model):
        strategy = SpeculativeDecoding(False, 4, draft=draft)
        _, trace = check_greedy(model, strategy, LONG, 60, slide=True)
        assert sum(step.slid > 0 for step in trace.steps) > 3
    check_greedy(model, PromptLookup(False, 4, 2), LONG, 60, slide=True)


@pytest.mark.parametrize("context_length", [1, 2, 5, 9])
def test_a_draft_may_see_less_than_the_text_has(context_length):
    draft = transformer(context_length=context_length)
    _, trace = check_greedy(lstm(), SpeculativeDecoding(False, 4, draft=draft), LONG, 30)
    guessed = [step.draft for step in trace.steps if step.draft is not None]
    assert guessed
    _, trace = run_of(lstm(), SpeculativeDecoding(True, 4, draft=draft), LONG, 30)
    check_drafts(trace, 4, 30)
    assert len(trace.steps) == 30


@pytest.mark.parametrize("name", MODELS)
def test_a_draft_that_is_the_model_itself_is_always_right(name):
    model = MODELS[name]()
    run, trace = run_of(model, SpeculativeDecoding(False, 4, draft=model), LONG, 20)
    assert run.calls(0) == 4  # five tokens a call
    assert [step.chosen_by for step in trace.steps] == (["draft"] * 4 + ["strategy"]) * 4
    assert all(step.draft is None or step.draft.accepted for step in trace.steps)
    assert trace.tokens == greedy_of(model, LONG, 20).tokens


def test_the_draft_tells_what_it_thought_of_its_guess():
    model, draft = ngram(4), ngram(2)
    strategy = SpeculativeDecoding(True, 3, draft=draft)
    _, trace = run_of(model, strategy, LONG, 40, WARM, seed=3)
    check_drafts(trace, 3, 40)
    fates = Counter(step.draft.accepted for step in trace.steps if step.draft is not None)
    assert min(fates[True], fates[False]) > 3
    for i, step in enumerate(trace.steps):
        if step.draft is None:
            continue
        prefix = torch.tensor([trace.tokens[: len(LONG) + i]])
        own = warm(draft.forward(prefix)[:, -1])[0].double().log_softmax(-1)
        assert step.draft.logprob == pytest.approx(own[step.draft.token].item(), abs=1e-5)


def test_sampled_steps_tell_what_the_model_thought():
    model, strategy = transformer(), SpeculativeDecoding(True, 3, draft=ngram(2))
    _, trace = run_of(model, strategy, LONG, 30, WARM)
    for i, step in enumerate(trace.steps):
        prefix = torch.tensor([trace.tokens[: len(LONG) + i]])
        raw = model.forward(prefix)[:, -1]
        assert step.logprob == pytest.approx(raw[0].log_softmax(-1)[step.token].item(), abs=1e-4)
        own = warm(raw)[0].log_softmax(-1)[step.token].item()
        assert step.logprob_processed == pytest.approx(own, abs=1e-4)
        assert step.kept == 3


@pytest.mark.parametrize("new", [0, 1, 2, 3, 5, 6, 7])
def test_no_token_more_than_asked_for(new):
    model = ngram(3)
    for sampled in (True, False):
        for strategy in (SpeculativeDecoding(sampled, 4, draft=model), PromptLookup(sampled, 4)):
            run, trace = run_of(model, strategy, LONG, new)
            assert len(trace.steps) == new
            assert run.is_done
            check_drafts(trace, 4, new)


def test_an_end_among_accepted_guesses_ends_the_text():
    model = transformer()
    plain = greedy_of(model, LONG, 20)
    for at in range(3, 9):  # somewhere in a round of guesses that are all right
        eos = plain.steps[at].token
        first = [step.token for step in plain.steps].index(eos)
        _, trace = run_of(
            model, SpeculativeDecoding(False, 6, draft=model), LONG, 20, eos_token=eos
        )
        assert trace.tokens == plain.tokens[: len(LONG) + first + 1]
        assert trace.tokens[-1] == eos


def test_a_context_that_is_exactly_filled_needs_no_slide():
    model = transformer(context_length=16)
    new = 16 - len(LONG) + 1  # the last token need not be read
    for strategy in (SpeculativeDecoding(False, 5, draft=model), PromptLookup(False, 5)):
        check_greedy(model, strategy, LONG, new)


@pytest.mark.parametrize(
    "strategy", [PromptLookup(False), SpeculativeDecoding(False, draft=ngram(2))]
)
def test_stepping_takes_the_tokens_of_a_run(strategy):
    model = transformer()
    stepper = Stepper(model, "m", LONG)
    for _ in range(15):
        assert stepper.step(Lane(strategy))
    assert stepper.tokens == greedy_of(model, LONG, 15).tokens


@pytest.mark.parametrize("strategy", [PromptLookup(), SpeculativeDecoding(draft=ngram(2))])
def test_a_longer_text_begins_with_the_shorter_one_and_with_what_stepping_takes(strategy):
    for seed in range(3):
        model, lane = transformer(), Lane(strategy, WARM, seed)
        _, longest = run_of(model, strategy, LONG, 25, WARM, seed)
        for new in (1, 4, 9, 24):
            _, shorter = run_of(model, strategy, LONG, new, WARM, seed)
            assert shorter.steps == longest.steps[:new]
        stepper = Stepper(model, "m", LONG, seed=seed)
        for _ in range(25):
            stepper.step(lane)
        assert stepper.tokens == longest.tokens


def test_lookup_goes_on_as_the_newest_match_of_the_longest_run_did():
    lookup = Lookup(3)
    assert lookup.guess([1, 2, 3, 9, 1, 2, 3], 2) == ([9, 1], None)
    assert lookup.guess([1, 2, 7, 5, 2, 8, 1, 2], 3) == ([7, 5, 2], None)  # 1 2, not 2 alone
    assert lookup.guess([2, 7, 2, 8, 4, 2], 2) == ([8, 4], None)  # the latest 2
    assert lookup.guess([5, 5, 5], 4) == ([5], None)  # only what the text holds
    assert lookup.guess([1, 2, 3], 4) == ([], None)
    assert lookup.guess([1], 4) == ([], None)


def test_a_draft_of_other_tokens_or_none_is_refused_before_any_work():
    other = SpeculativeDecoding(draft=fit_ngram(random_tokens(50, vocab_size=4), 4, 2))
    with pytest.raises(ConfigError, match="has 4 tokens and the model 23: they must share"):
        Run(ngram(2), LONG, [Lane(other)])
    with pytest.raises(ConfigError, match="needs a draft"):
        Run(ngram(2), LONG, [Lane(SpeculativeDecoding())])
