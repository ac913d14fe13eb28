"""Contrastive search against the paper's formula, with everything computed anew at every step."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from playground.decoding.contrastive import ContrastiveSearch
from playground.decoding.generate import generate_trace
from playground.decoding.lane import Lane
from playground.decoding.processors import Processor
from playground.decoding.stepper import Stepper
from playground.decoding.strategies import Greedy
from playground.decoding.window import visible_window
from playground.errors import ContextFullError
from tests.helpers import MODELS, lstm, ngram, transformer

PROMPT = (0, 5, 3)
FAMILIES = {"transformer": transformer, "lstm": lstm, "ngram": ngram}


def hidden_of(model, tokens):
    """Return the last layer's states (T, C), or for an n-gram what it expects next."""
    row = torch.tensor([tokens])
    if hasattr(model, "forward_layers"):
        return model.forward_layers(row)[-1, 0].double()
    return model.forward(row)[0].double().softmax(-1)


def by_the_paper(model, alpha, k, new, limit=None):
    """Return the tokens of eq. 5 of Su et al. 2022, and the smallest lead of a winner.

    With a limit the text is what a sliding window shows once the candidate is in it.
    """
    tokens, closest = list(PROMPT), 1.0
    for _ in range(new):
        row = torch.tensor([visible_window(tokens, limit)])
        p = model.forward(row)[0, -1].double().softmax(-1)
        scores = {}
        for v in p.topk(k).indices.tolist():
            h = hidden_of(model, visible_window([*tokens, v], limit))
            alike = max(F.cosine_similarity(h[-1], past, dim=0).item() for past in h[:-1])
            scores[v] = (1 - alpha) * p[v].item() - alpha * alike
        best, *others = sorted(scores.values(), reverse=True)
        closest = min([closest, *(best - other for other in others)])
        tokens.append(max(scores, key=scores.get))
    return tokens, closest


def trace_of(model, alpha, k, new=12, **options):
    lane = Lane(ContrastiveSearch(alpha, k))
    return generate_trace(model, "m", PROMPT, lane, max_new_tokens=new, **options)


@pytest.mark.parametrize("k", [1, 3, 8])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_are_those_of_the_papers_formula(family, alpha, k):
    model = FAMILIES[family]()
    expected, closest = by_the_paper(model, alpha, k, 12)
    assert closest > 1e-6  # no near-tie hides a mistake
    trace = trace_of(model, alpha, k)
    assert list(trace.tokens) == expected
    assert [len(row) for row in trace.search] == [k] * 12


def test_the_penalty_matters_in_these_models():
    for build in FAMILIES.values():
        texts = {trace_of(build(), alpha, 5).tokens for alpha in (0.0, 0.3, 0.6, 0.9)}
        assert len(texts) > 1


@pytest.mark.parametrize("name", MODELS)
def test_without_a_penalty_it_is_greedy(name):
    model = MODELS[name]()
    greedy = generate_trace(model, "m", PROMPT, Lane(Greedy()), max_new_tokens=15)
    trace = trace_of(model, 0.0, 4, 15)
    assert trace.tokens == greedy.tokens
    for ours, theirs in zip(trace.steps, greedy.steps, strict=True):
        assert ours.logprob == pytest.approx(theirs.logprob, abs=1e-4)
        assert (ours.position, ours.rank, ours.kept) == (
            theirs.position, theirs.rank, theirs.kept,
        )  # fmt: skip


@pytest.mark.parametrize("name", ["transformer-rotary", "lstm-2", "ngram-4"])
@pytest.mark.parametrize("processors", [(), (Processor("repetition_penalty", 1.3),)])
def test_stepping_takes_the_tokens_of_a_run(name, processors):
    model, lane = MODELS[name](), Lane(ContrastiveSearch(0.5, 4), processors)
    run = generate_trace(model, "m", PROMPT, lane, max_new_tokens=12)
    stepper = Stepper(model, "m", PROMPT)
    for _ in range(12):
        assert stepper.step(lane)
    assert stepper.tokens == run.tokens
    for ours, theirs in zip(stepper.branch.trace.steps, run.steps, strict=True):
        assert ours.logprob == pytest.approx(theirs.logprob, abs=1e-4)


def test_past_the_context_it_compares_with_what_the_model_still_sees():
    model = transformer(context_length=10)
    expected, closest = by_the_paper(model, 0.6, 4, 24, limit=10)
    assert closest > 1e-6
    trace = trace_of(model, 0.6, 4, 24, slide=True)
    assert list(trace.tokens) == expected
    assert [s.slid for s in trace.steps if s.slid]
    stepper = Stepper(model, "m", PROMPT, slide=True)
    for _ in range(24):
        assert stepper.step(Lane(ContrastiveSearch(0.6, 4)))
    assert list(stepper.tokens) == expected
    assert [s.slid for s in stepper.branch.trace.steps] == [s.slid for s in trace.steps]


def test_a_full_context_is_told_of_where_it_may_not_slide():
    model = transformer(context_length=10)
    with pytest.raises(ContextFullError):
        trace_of(model, 0.6, 4, 24)


def test_scores_and_parents_are_told():
    model = transformer()
    trace = trace_of(model, 0.6, 4)
    total = 0.0
    for step, row in zip(trace.steps, trace.search, strict=True):
        live = [h for h in row if h.fate == "live"]
        assert [h.token for h in live] == [step.token]
        assert all(h.parent == 0 for h in row)
        assert live[0].score == max(h.score for h in row)
        total += step.logprob_processed
        assert live[0].logprob == pytest.approx(total)
    for before, after in itertools.pairwise(trace.alternatives):
        assert before.score >= after.score


def test_the_end_token_ends_it():
    model = transformer()
    eos = trace_of(model, 0.6, 4).tokens[6]
    trace = trace_of(model, 0.6, 4, eos_token=eos)
    assert trace.tokens.index(eos) == len(trace.tokens) - 1 <= 6
