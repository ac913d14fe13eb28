"""A text has the likelihood that its own Trace tells, whoever computes it."""

import math

import pytest
import torch

from playground.decoding.generate import generate_trace
from playground.decoding.lane import Lane
from playground.decoding.strategies import Greedy
from playground.errors import ConfigError, PromptError
from playground.evaluation import judge as judging
from playground.evaluation.judge import Judge, Judgement, judge, same_tokenizer, split_text, windows
from playground.evaluation.likelihood import negative_log_likelihood
from playground.tokenizers.text import BPETokenizer, CharTokenizer
from playground.traces.metrics import log_likelihood, perplexity
from tests.helpers import VOCAB_SIZE, lstm, ngram, random_tokens, transformer

BOS = VOCAB_SIZE - 1
LETTERS = CharTokenizer("abcdefghijklmnopqrstuv")  # 22 symbols and BOS: VOCAB_SIZE
CAPITALS = CharTokenizer("ABCDEFGHIJKLMNOPQRSTUV")
BUILD = [transformer, lstm, ngram]


def traces(model, lengths=(12, 30, 5), prompt=(BOS, 3, 4), **options):
    return [
        generate_trace(model, "m", prompt, Lane(sample=i), max_new_tokens=n, **options)
        for i, n in enumerate(lengths)
    ]


@pytest.mark.parametrize("build", BUILD)
def test_it_agrees_with_the_traces_of_several_lengths(build):
    model = build()
    made = traces(model)
    found = judge(model, [trace.tokens for trace in made], 3)
    for trace, logprobs, total in zip(made, found.logprobs, found.log_likelihoods, strict=True):
        assert logprobs == pytest.approx([step.logprob for step in trace.steps], abs=1e-4)
        assert total == pytest.approx(log_likelihood(trace.steps), abs=1e-4)
    assert found.tokens == 47
    steps = [step for trace in made for step in trace.steps]
    assert found.perplexity == pytest.approx(perplexity(steps), rel=1e-5)


@pytest.mark.parametrize("context_length", [1, 2, 3, 7, 16, 40])
def test_a_text_longer_than_the_context_is_read_as_its_decoder_read_it(context_length):
    model = transformer(context_length=context_length)
    prompt = (BOS, 3, 4)[:context_length]
    made = traces(model, (100, 37), prompt, slide=True)
    found = judge(model, [trace.tokens for trace in made], len(prompt))
    for trace, logprobs in zip(made, found.logprobs, strict=True):
        assert logprobs == pytest.approx([step.logprob for step in trace.steps], abs=1e-4)


@pytest.mark.parametrize("build", BUILD)
def test_it_agrees_with_negative_log_likelihood(build):
    model, tokens = build(), random_tokens(39)
    nats, scored = negative_log_likelihood(model, tokens, BOS)
    found = judge(model, [(BOS, *tokens.tolist())], 1)
    assert found.tokens == scored
    assert found.log_likelihood == pytest.approx(-nats, rel=1e-6)


@pytest.mark.parametrize("limit", [1, 2, 3, 8, None])
@pytest.mark.parametrize("first", [1, 4, 9])
def test_windows_judge_each_token_once_after_half_a_context(limit, first):
    judged = []
    for dropped, start, end in windows(30, limit, first):
        assert limit is None or end - 1 - dropped <= limit  # BOS included
        assert dropped == 0 or start - dropped >= limit // 2
        judged += range(start, end)
    assert judged == list(range(first, 30))


def test_reading_one_by_one_changes_nothing(monkeypatch):
    model = transformer()
    rows = [[BOS, *random_tokens(n, seed=n).tolist()] for n in (3, 90, 1, 41)]
    at_once = judge(model, rows, 1)
    monkeypatch.setattr(judging, "MAX_LOGITS", 1)
    for one, other in zip(judge(model, rows, 1).logprobs, at_once.logprobs, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_a_uniform_model_is_as_unsure_as_it_can_be():
    class Uniform:
        vocab_size, context_length = 4, 8

        def parameters(self):
            yield torch.zeros(1)

        def buffers(self):
            yield from ()

        def forward(self, tokens, condition=None):
            return torch.zeros(*tokens.shape, 4)

    found = judge(Uniform(), [[3, 0, 1], [3, 2, 2, 2]], [1, 2])
    assert found.tokens == 4
    assert found.bits_per_token == pytest.approx(2)
    assert found.perplexity == pytest.approx(4)
    assert found.log_likelihoods == pytest.approx((-2 * math.log(4), -2 * math.log(4)))
    assert found.bits_per_character is None


def test_nothing_to_judge_is_told_as_none():
    for found in (judge(transformer(), [], 1), judge(transformer(), [[BOS]], 1)):
        assert found.log_likelihood == 0
        assert found.bits_per_token is found.perplexity is found.bits_per_character is None


def test_the_impossible_has_an_infinite_perplexity():
    assert Judgement(((-math.inf, -1.0),)).perplexity == math.inf
    assert Judgement(((-1e4,),)).perplexity == math.inf


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(ConfigError, match="prompt_length must be"):
        judge(transformer(), [[BOS, 1]], 0)
    with pytest.raises(ConfigError, match="prompt_length must be"):
        judge(transformer(), [[BOS, 1]], 3)
    with pytest.raises(PromptError, match=r"tokens 0 to 22, .* own tokenizer"):
        judge(transformer(), [[BOS, 23]], 1)


class TestAnotherTokenizer:
    def test_a_judge_reads_the_text_in_its_own_tokens(self):
        pieces = BPETokenizer.train(["abab abc cab bac"] * 5, 262)
        model = transformer(vocab_size=pieces.vocab_size)
        tokens = [LETTERS.bos_token, *LETTERS.encode("abcab")]
        found = Judge(model, pieces).read([tokens], 3, LETTERS)  # "ab", then "cab"
        own = [pieces.bos_token, *pieces.encode("ab"), *pieces.encode("cab")]
        wanted = judge(model, [own], 1 + len(pieces.encode("ab")))
        assert found.logprobs == wanted.logprobs
        assert found.characters == 3
        bits = -found.log_likelihood / math.log(2)
        assert found.bits_per_character == pytest.approx(bits / 3)

    def test_the_same_tokens_are_judged_as_they_are(self):
        model, same = transformer(), CharTokenizer(LETTERS.symbols)
        assert same_tokenizer(same, LETTERS)
        assert not same_tokenizer(CAPITALS, LETTERS)
        rows = [[BOS, 1, 2, BOS]]  # a second BOS is no text, but a decision
        found = Judge(model, same).read(rows, 2, LETTERS)
        assert found.logprobs == judge(model, rows, 2).logprobs
        assert found.tokens == 2
        assert found.characters == 1

    def test_what_a_judge_cannot_read_is_told(self):
        judge_ = Judge(transformer(), CAPITALS, "The capital judge")
        with pytest.raises(PromptError, match=r"The capital judge cannot judge .* never seen a \("):
            judge_.read([[BOS, 0]], 1, LETTERS)

    def test_only_text_can_be_told_in_other_tokens(self):
        class Pixels:
            def decode(self, tokens):
                return bytes(tokens)

        with pytest.raises(PromptError, match="only text"):
            Judge(transformer(), LETTERS).read([[BOS, 0]], 1, Pixels())
        assert judge(transformer(), [[BOS, 0]], 1, tokenizer=Pixels()).characters is None

    def test_a_character_that_began_in_the_prompt_belongs_to_the_text(self):
        pieces = BPETokenizer.train(["abc"], 258)
        tokens = [pieces.bos_token, *pieces.encode("aé")]
        assert len(tokens) == 4
        assert split_text(tokens, 3, pieces) == ("a", "é")
        assert split_text(tokens, 2, pieces) == ("a", "é")
        assert split_text(tokens, 4, pieces) == ("aé", "")


def test_a_greedy_text_is_likelier_than_a_drawn_one():
    model = ngram()
    greedy = generate_trace(model, "m", (BOS,), Lane(Greedy()), max_new_tokens=40)
    drawn = generate_trace(model, "m", (BOS,), Lane(), max_new_tokens=40)
    found = judge(model, [greedy.tokens, drawn.tokens], 1)
    assert found.log_likelihoods[0] > found.log_likelihoods[1]
