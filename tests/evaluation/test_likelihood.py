"""Every token of a long text is judged once, with as much context as the windows allow."""

import pytest
import torch

from playground.evaluation import likelihood
from playground.evaluation.likelihood import negative_log_likelihood
from tests.helpers import VOCAB_SIZE, lstm, ngram, random_tokens, transformer

BOS = VOCAB_SIZE - 1


def by_hand(model, tokens) -> float:
    inputs = torch.cat((torch.tensor([BOS]), tokens[:-1]))[None]
    logprobs = model.forward(inputs)[0].double().log_softmax(-1)
    return -logprobs.gather(-1, tokens[:, None]).sum().item()


@pytest.mark.parametrize("build", [transformer, lstm, ngram])
@pytest.mark.parametrize("length", [1, 2, 20, 39])
def test_a_text_that_fits_is_scored_in_one_go(build, length):
    model, tokens = build(), random_tokens(length)
    nats, scored = negative_log_likelihood(model, tokens, BOS)
    assert scored == length
    assert nats == pytest.approx(by_hand(model, tokens), rel=1e-5)


@pytest.mark.parametrize("length", [39, 40, 41, 58, 59, 77, 200])
def test_each_token_is_scored_exactly_once(length):
    model, tokens = ngram(1), random_tokens(length)  # no context: windows must not matter
    model.context_length = 40
    nats, scored = negative_log_likelihood(model, tokens, BOS)
    assert scored == length
    assert nats == pytest.approx(by_hand(model, tokens), rel=1e-5)


def test_the_number_of_windows_at_once_changes_nothing(monkeypatch):
    model, tokens = transformer(), random_tokens(300)
    at_once = negative_log_likelihood(model, tokens, BOS)
    monkeypatch.setattr(likelihood, "BATCH_TOKENS", 1)
    one_by_one = negative_log_likelihood(model, tokens, BOS)
    assert one_by_one[1] == at_once[1] == 300
    assert one_by_one[0] == pytest.approx(at_once[0], rel=1e-6)


@pytest.mark.parametrize("max_tokens", [1, 10, 39, 40, 100, 1000])
def test_a_part_of_a_text_is_scored_like_that_part_alone(max_tokens):
    model, tokens = transformer(), random_tokens(150)
    part = negative_log_likelihood(model, tokens, BOS, max_tokens=max_tokens)
    alone = negative_log_likelihood(model, tokens[:max_tokens], BOS)
    assert part[1] == alone[1] == min(150, max_tokens)
    assert part[0] == pytest.approx(alone[0], rel=1e-5)
