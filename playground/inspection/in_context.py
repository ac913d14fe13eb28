"""Learning from the prompt: the right answer's probability against the number of examples in it.

The same question is asked after 0, 1, 2, ... solved examples (Brown et al. 2020,
arXiv:2005.14165). It shows how much examples help this model here. It does not show that the model
learns the task from them: often they only say which task and which form of answer is meant, and
wrong answers in them do less harm than one would think (Min et al. 2022, arXiv:2202.12837).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from playground.errors import ConfigError, check_whole
from playground.inspection.tasks import Task
from playground.models.base import ARModel, State, device_of, step_prefixes

COUNTS = (0, 1, 2, 4, 8)  # examples before the question
TRIALS = 8  # questions, each after examples of its own
DRAWS = 2000  # of the trials, for an interval
FEWEST = 3  # trials that bear one: drawing from one or two says nothing of where others would lie


@dataclass(frozen=True)
class Prompt:
    """A question after `examples` solved ones, as text."""

    examples: int
    trial: int
    text: str
    answer: str


@dataclass(frozen=True)
class Answer:
    """What the model thinks of the right answer to a prompt."""

    prompt: Prompt
    logprob: float  # of all its tokens, natural log
    rank: int  # of its first token, 1 is the likeliest
    top: int  # the token that is likeliest instead, or the same
    tokens: int  # that the answer has

    @property
    def prob(self) -> float:
        return float(np.exp(self.logprob))


@dataclass(frozen=True)
class Curve:
    """Means over trials for each number of examples, with 95 % bootstrap intervals.

    Of fewer than FEWEST trials there is no interval: `low` and `high` are nan.
    """

    counts: np.ndarray  # (K,) int
    trials: np.ndarray  # (K,) int: how many there are of each
    prob: np.ndarray  # (K,): mean probability of the right answer
    low: np.ndarray  # (K,)
    high: np.ndarray  # (K,)
    rank: np.ndarray  # (K,): median rank of its first token
    first: np.ndarray  # (K,): share of trials where its first token is the likeliest


def prompts(
    task: Task, counts: Iterable[int] = COUNTS, trials: int = TRIALS, seed: int = 0
) -> list[Prompt]:
    """Return the prompts of an experiment, for every number of examples and every trial.

    A trial is one question and one order of the other pairs. More examples go behind those that
    are there, so within a trial only their number differs, and what was read can be kept. Trials
    come one after the other.

    Raises:
        ConfigError: a count is not from 0 to the number of other pairs, or there are no trials.
    """
    check_whole("trials", trials, 1, 100)
    found = []
    counts = sorted(set(counts))
    for trial in range(trials):
        generator = torch.Generator().manual_seed(seed * 1009 + trial)
        order = torch.randperm(len(task.pairs), generator=generator).tolist()
        # every pair is asked before one is asked again
        asked = (trial + seed) % len(task.pairs)
        others = [task.pairs[i] for i in order if i != asked]
        question, answer = task.pairs[asked]
        for count in counts:
            check_whole("the number of examples", count, 0, len(others))
            shown = [task.solved(*pair) for pair in others[:count]]
            text = "".join([*shown, task.asked(question)])
            found.append(Prompt(count, trial, text, answer))
    return found


def answers(model: ARModel, tokenizer: Any, asked: Iterable[Prompt]) -> Iterator[Answer]:
    """Yield what `model` thinks of each prompt's right answer, as soon as it is known.

    Prompts that are longer than the context are left out. What a prompt shares with the one before
    is not read again where the State can be cut. Whoever has seen enough stops asking.

    Raises:
        PromptError: the tokenizer cannot spell a prompt.
        ConfigError: an answer has no tokens.
    """
    before: list[int] = []
    state = None
    for prompt in asked:
        read, answer = split(tokenizer, prompt.text, prompt.answer)
        limit = model.context_length
        if limit is None or len(read) + len(answer) - 1 <= limit:
            same = min(shared(before, read), len(read) - 1)  # one is read, to hear what follows
            state = state.cut(same) if hasattr(state, "cut") else None
            found, state = _judge(model, prompt, read, answer, state)
            before = [*read, *answer[:-1]]
            yield found


def split(tokenizer: Any, text: str, answer: str) -> tuple[list[int], list[int]]:
    """Return the tokens of `text` (BOS first), and those that `answer` adds behind them.

    Both are cut as one text, as the model has met them. Where a token would reach across, it
    counts as part of the answer; a blank that is a token of its own does not, since it says
    nothing.

    Raises:
        PromptError: the tokenizer cannot spell them.
        ConfigError: the answer adds no token.
    """
    whole, alone = tokenizer.encode(text + answer), tokenizer.encode(text)
    same = shared(whole, alone)
    if same == len(whole):
        raise ConfigError(
            f"The answer {answer!r:.60} adds no token. Give every question an answer."
        )
    while same + 1 < len(whole) and tokenizer.decode(whole[same : same + 1]).isspace():
        same += 1
    return [tokenizer.bos_token, *whole[:same]], whole[same:]


def shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many tokens both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def curve(found: Sequence[Answer], seed: int = 0) -> Curve:
    """Return the means of answers by number of examples.

    Raises:
        ConfigError: there are none.
    """
    if not found:
        raise ConfigError("No prompt fits into the context. Ask for fewer examples.")
    counts = sorted({answer.prompt.examples for answer in found})
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for count in counts:
        group = [answer for answer in found if answer.prompt.examples == count]
        probs = np.array([answer.prob for answer in group])
        ranks = np.array([answer.rank for answer in group])
        draws = torch.randint(len(probs), (DRAWS, len(probs)), generator=generator).numpy()
        low, high = np.percentile(probs[draws].mean(axis=1), (2.5, 97.5))
        if len(group) < FEWEST:
            low = high = np.nan
        rows.append((len(group), probs.mean(), low, high, np.median(ranks), (ranks == 1).mean()))
    trials, *others = map(np.array, zip(*rows, strict=True))
    return Curve(np.array(counts), trials, *others)


@torch.inference_mode()
def _judge(
    model: ARModel, prompt: Prompt, read: list[int], answer: list[int], state: State | None
) -> tuple[Answer, State]:
    """Read what `state` has not, and the answer but for its last token; return the State too."""
    device = device_of(model)
    state = model.initial_state(1) if state is None else state
    logits, state = model.step(torch.tensor([read[state.length :]], device=device), state)
    rows = [logits]
    if len(answer) > 1:
        more, states = step_prefixes(model, torch.tensor([answer[:-1]], device=device), state)
        state = states[-1]
        rows.append(more[0])
    logprobs = torch.cat(rows).float().log_softmax(-1)  # (len(answer), V)
    told = logprobs.gather(1, torch.tensor(answer, device=device)[:, None])[:, 0]
    found = Answer(
        prompt=prompt,
        logprob=float(told.sum()),
        rank=1 + int((logprobs[0] > told[0]).sum()),
        top=int(logprobs[0].argmax()),
        tokens=len(answer),
    )
    return found, state
