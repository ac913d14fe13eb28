"""One row of figures for the samples of a lane, and one for human text beside it."""

import json
from dataclasses import replace

import pytest

from playground.decoding.generate import generate_trace
from playground.decoding.lane import Lane
from playground.decoding.strategies import Greedy
from playground.errors import ConfigError, DataError, PromptError
from playground.evaluation.figures import figures, human_point
from playground.evaluation.judge import Judge, judge
from playground.tokenizers.text import BPETokenizer, CharTokenizer
from playground.traces import metrics
from playground.traces.trace import Trace
from tests.helpers import VOCAB_SIZE, lstm, transformer

LETTERS = CharTokenizer("abcdefghijklmnopqrstuv")
BOS = LETTERS.bos_token
PROMPT = (BOS, 0, 1)
assert LETTERS.vocab_size == VOCAB_SIZE


def samples(count=3, strategy=None, model=None, length=20):
    lanes = [Lane(strategy, sample=i) if strategy else Lane(sample=i) for i in range(count)]
    model = model or transformer()
    return [generate_trace(model, "m", PROMPT, lane, max_new_tokens=length) for lane in lanes]


def test_the_raw_model_is_taken_at_its_traces_word():
    made = samples()
    found = figures(made, tokenizer=LETTERS)
    steps = [step for trace in made for step in trace.steps]
    assert found.samples == 3
    assert found.mean_length == 20
    assert found.log_likelihood == pytest.approx(metrics.log_likelihood(steps) / 3)
    assert found.perplexity == pytest.approx(metrics.perplexity(steps))
    assert found.bits_per_token == pytest.approx(metrics.bits_per_token(steps))
    letters = sum(step.token != BOS for step in steps)  # every other token is a character
    assert found.bits_per_character == pytest.approx(found.bits_per_token * len(steps) / letters)
    assert found.judge_perplexity is None


def test_computed_anew_it_is_the_same():
    made, model = samples(), transformer()
    own = Judge(model, LETTERS)
    told, anew = (figures(made, m, own, tokenizer=LETTERS) for m in (None, model))
    assert anew.to_dict() == pytest.approx(told.to_dict(), rel=1e-4)
    assert anew.judge_perplexity == anew.perplexity


def test_the_judge_is_asked_about_the_same_text():
    made, other = samples(), lstm()
    found = figures(made, judge=Judge(other, LETTERS))
    wanted = judge(other, [trace.tokens for trace in made], 3)
    assert found.judge_log_likelihood == pytest.approx(wanted.log_likelihood / 3)
    assert found.judge_perplexity == pytest.approx(wanted.perplexity)
    letters = sum(step.token != BOS for trace in made for step in trace.steps)
    assert found.judge_bits_per_character == pytest.approx(wanted.bits_per_token * 60 / letters)
    assert found.bits_per_character is None  # without the model's tokenizer


def test_samples_of_a_greedy_lane_are_all_the_same():
    found = figures(samples(4, Greedy()), tokenizer=LETTERS)
    assert found.self_bleu == pytest.approx(100)
    one = figures(samples(1, Greedy()), tokenizer=LETTERS)
    assert one.self_bleu is None
    assert one.log_likelihood == pytest.approx(found.log_likelihood)
    assert one.seq_rep_4 == pytest.approx(found.seq_rep_4)
    assert one.distinct_1 == pytest.approx(4 * found.distinct_1)


def test_a_loop_is_told():
    trace = samples(1)[0]
    steps = [replace(step, token=i % 2) for i, step in enumerate(trace.steps)]
    found = figures([replace(trace, steps=tuple(steps)), trace], tokenizer=LETTERS)
    assert found.stuck == 0.5
    assert found.loop_length == 10
    assert found.to_dict()["stuck"] == 0.5


def test_the_end_token_is_a_decision_but_no_part_of_the_text():
    pieces = BPETokenizer.train(["abc"], 258)
    model = transformer(vocab_size=pieces.vocab_size)
    prompt = (pieces.bos_token,)
    trace = generate_trace(model, "m", prompt, Lane(), max_new_tokens=5)
    ended = replace(trace.steps[-1], token=pieces.eos_token)
    trace = replace(trace, steps=(*trace.steps[:-1], ended))
    found = figures([trace], tokenizer=pieces)
    assert found.mean_length == 4
    assert found.log_likelihood == pytest.approx(metrics.log_likelihood(trace.steps))


def test_traces_with_different_prompts_are_judged_after_their_own():
    made = samples(2)
    longer = replace(made[1], prompt=made[1].tokens[:8], steps=made[1].steps[5:])
    found = figures([made[0], longer], transformer(), tokenizer=LETTERS)
    assert found.mean_length == 17.5


@pytest.mark.parametrize("traces", [[], [Trace("m", PROMPT, 0)], [Trace("m", PROMPT, 0)] * 2])
def test_nothing_has_no_figures(traces):
    found = figures(traces, transformer(), Judge(lstm(), LETTERS), tokenizer=LETTERS)
    assert found.samples == len(traces)
    known = {name for name, value in found.to_dict().items() if value}
    assert known <= {"samples"}


def test_a_row_is_json_whatever_it_holds():
    trace = samples(1)[0]
    steps = (replace(trace.steps[0], logprob=float("-inf")), *trace.steps[1:])
    found = figures([replace(trace, steps=steps)]).to_dict()
    assert found["perplexity"] is found["log_likelihood"] is None
    assert json.loads(json.dumps(found, allow_nan=False)) == found


class TestHumanPoint:
    text = "abcdefghij" * 30

    def test_it_is_the_likelihood_of_pieces_of_the_text(self):
        model = transformer()
        found = human_point(self.text, LETTERS, model, 20, prompt_length=5, pieces=4)
        assert (found.samples, found.mean_length) == (4, 20)
        tokens = LETTERS.encode(self.text)
        rows = [[BOS, *tokens[i * 75 : i * 75 + 24]] for i in range(4)]
        wanted = judge(model, rows, 5)
        assert found.perplexity == pytest.approx(wanted.perplexity)
        assert found.bits_per_character == pytest.approx(wanted.bits_per_token)
        assert found.distinct_1 == 10 / 80

    def test_its_pieces_do_not_overlap_and_are_as_many_as_there_are(self):
        found = human_point("abcdefghijklmnopqrstu", LETTERS, transformer(), 7)
        assert found.samples == 3
        assert found.distinct_1 == 1
        assert found.self_bleu == 0

    def test_a_judge_with_other_tokens_reads_it_too(self):
        pieces = BPETokenizer.train(["abcdefgh"], 260)
        other = Judge(transformer(vocab_size=pieces.vocab_size), pieces)
        found = human_point(self.text, LETTERS, transformer(), 10, judge=other, pieces=2)
        assert found.judge_bits_per_character > 0

    def test_what_is_too_short_or_unreadable_is_told(self):
        with pytest.raises(DataError, match="has 3 tokens, and a piece with its prompt needs 9"):
            human_point("abc", LETTERS, transformer(), 5, prompt_length=5)
        with pytest.raises(PromptError, match="never seen"):
            human_point("ABC", LETTERS, transformer(), 1)
        with pytest.raises(ConfigError, match="length must be"):
            human_point("abc", LETTERS, transformer(), 0)
