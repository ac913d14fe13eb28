"""Examples in a prompt: what is asked, what is answered, and what it averages to."""

import numpy as np
import pytest
import torch

from playground.checkpoints import load
from playground.errors import ConfigError, PromptError
from playground.inspection.in_context import Answer, Prompt, answers, curve, prompts, split
from playground.inspection.tasks import TASKS, Task, task_from_text
from tests.helpers import ROOT

TASK = Task("twice", tuple((c, f" {c}{c}") for c in "abcdef"))


@pytest.fixture(scope="module", params=["kjv-char-transformer", "kjv-char-lstm", "prose-bpe-draft"])
def loaded(request):
    return load(ROOT / "checkpoints" / request.param)


def test_the_same_question_is_asked_after_more_and_more_examples():
    asked = prompts(TASK, counts=(0, 1, 3), trials=3, seed=4)
    assert asked == prompts(TASK, counts=(3, 0, 1), trials=3, seed=4)
    assert asked != prompts(TASK, counts=(0, 1, 3), trials=3, seed=5)
    assert [(p.trial, p.examples) for p in asked] == [(t, n) for t in range(3) for n in (0, 1, 3)]
    for none, one, three in zip(asked[::3], asked[1::3], asked[2::3], strict=True):
        assert none.text[1:] == ":"
        assert none.answer == 2 * none.text[0] or none.answer == " " + 2 * none.text[0]
        assert one.text.endswith("\n" + none.text)
        assert three.text.startswith(one.text.removesuffix(none.text))
        lines = three.text.split("\n")
        assert len(lines) == 4
        assert len({line[0] for line in lines}) == 4  # no pair twice, nor the one asked for
        assert all(line == f"{line[0]}: {2 * line[0]}" for line in lines[:3])
    assert len({p.text for p in asked if p.examples == 0}) == 3


def test_an_answer_has_the_probability_of_all_its_tokens(loaded):
    model, tokenizer = loaded
    asked = prompts(TASKS["antonyms"], counts=(0, 2, 3), trials=2)
    found = list(answers(model, tokenizer, asked))
    assert [answer.prompt for answer in found] == asked
    for answer in found:
        read, right = split(tokenizer, answer.prompt.text, answer.prompt.answer)
        logits = model.forward(torch.tensor([[*read, *right]]))[0, len(read) - 1 : -1]
        logprobs = logits.double().log_softmax(-1)
        told = logprobs[torch.arange(len(right)), torch.tensor(right)]
        assert answer.logprob == pytest.approx(float(told.sum()), abs=1e-3)
        assert answer.rank == 1 + int((logprobs[0] > told[0]).sum())
        assert answer.top == int(logprobs[0].argmax())
        assert answer.tokens == len(right)


def test_question_and_answer_are_cut_as_one_text(loaded):
    tokenizer = loaded[1]
    read, right = split(tokenizer, "hot:", " cold")
    assert read[0] == tokenizer.bos_token
    assert [*read[1:], *right] == tokenizer.encode("hot: cold")
    assert tokenizer.decode(right).strip() == "cold"
    assert not tokenizer.decode(
        right[:1]
    ).isspace()  # a blank that is a token belongs to the question


def test_prompts_beyond_the_context_are_left_out():
    model, tokenizer = load(ROOT / "checkpoints" / "kjv-char-transformer")
    task = Task("long", tuple((c * 100, f" {c}") for c in "abcdef"))
    found = list(answers(model, tokenizer, prompts(task, counts=(0, 1, 4), trials=2)))
    assert [answer.prompt.examples for answer in found] == [0, 1, 0, 1]
    with pytest.raises(ConfigError, match="No prompt fits"):
        curve(list(answers(model, tokenizer, prompts(task, counts=(4,)))))


def test_a_curve_is_means_with_intervals_around_them():
    probs = {0: (0.1, 0.2, 0.3, 0.2), 2: (0.5, 0.5, 0.5, 0.5)}
    found = [
        Answer(Prompt(n, trial, "", ""), float(np.log(p)), rank, 0, 1)
        for n, group in probs.items()
        for trial, (p, rank) in enumerate(zip(group, (1, 1, 3, 1), strict=True))
    ]
    told = curve(found)
    assert told.counts.tolist() == [0, 2]
    assert told.trials.tolist() == [4, 4]
    assert told.prob == pytest.approx([0.2, 0.5])
    assert told.low[0] < 0.2 < told.high[0]
    assert told.low[1] == pytest.approx(0.5)
    assert told.high[1] == pytest.approx(0.5)
    assert told.first.tolist() == [0.75, 0.75]
    assert told.rank.tolist() == [1, 1]


@pytest.mark.parametrize("trials", [1, 2, 3])
def test_few_trials_bear_no_interval(trials):
    asked = [Prompt(0, trial, "", "") for trial in range(trials)]
    told = curve([Answer(p, -1.0 - p.trial, 1, 0, 1) for p in asked])
    assert np.isnan([told.low[0], told.high[0]]).tolist() == [trials < 3] * 2
    assert told.prob[0] > 0


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_small_models_of_characters_can_be_asked_every_task(task):
    tokenizer = load(ROOT / "checkpoints" / "kjv-char-lstm")[1]
    assert len(set(task.pairs)) == len(task.pairs) >= 16
    for prompt in prompts(task, counts=(8,), trials=len(task.pairs)):
        read, right = split(tokenizer, prompt.text, prompt.answer)
        assert tokenizer.decode([*read, *right]) == prompt.text + prompt.answer


def test_a_task_of_one_s_own_is_read_from_lines():
    task = task_from_text("one = eins\n\n two=zwei = 2\n", template="Q {question} A")
    assert task.pairs == (("one", " eins"), ("two", " zwei = 2"))
    assert task.solved(*task.pairs[0]) == "Q one A eins\n"


@pytest.mark.parametrize(
    ("text", "template", "message"),
    [
        ("a = b", "{question}:", "needs 2 to 200 pairs"),
        ("a = b\nc", "{question}:", "Line 2 has no ="),
        ("a = b\nc =", "{question}:", "A question or its answer is empty"),
        ("a = b\nc = d", "x:", "must hold {question}"),
        (
            "a = b\nc = " + "d" * 600,
            "{question}:",
            "may each have 500 characters, got one",
        ),
    ],
)
def test_what_is_no_task_is_refused(text, template, message):
    with pytest.raises(ConfigError, match=message):
        task_from_text(text, template=template)


def test_what_cannot_be_asked_is_said():
    model, tokenizer = load(ROOT / "checkpoints" / "kjv-char-lstm")
    with pytest.raises(ConfigError, match=r"number of examples must be .* \[0, 5\], got 6"):
        prompts(TASK, counts=(6,))
    with pytest.raises(PromptError, match="never seen"):
        list(answers(model, tokenizer, [Prompt(0, 0, "日", "b")]))
