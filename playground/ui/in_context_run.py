"""What the in-context panel computes, part by part: answers, scores of heads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from playground.inspection.in_context import Answer, Prompt, answers
from playground.inspection.induction import LENGTH, SEQUENCES, Induction, induction
from playground.models.base import ARModel


def ask(model: ARModel, tokenizer: Any, prompts: list[Prompt]) -> Iterator[Answer]:
    """Yield what the model thinks of every prompt, all counts of a trial before the next trial.

    So the chart is whole, if rough, from the first trial on.
    """
    order = sorted(prompts, key=lambda prompt: (prompt.trial, prompt.examples))
    return answers(model, tokenizer, order)


def score_heads(model: ARModel, tokenizer: Any, seed: int) -> Iterator[Induction]:
    """Yield the scores of all heads on one sequence of noise after another."""
    for number in range(SEQUENCES):
        yield induction(model, tokenizer, LENGTH, 1, seed * SEQUENCES + number)


def together(found: list[Induction]) -> Induction:
    """Return the mean of scores that each come from one sequence."""
    of_each = np.stack([one.induction for one in found])
    return Induction(
        sequences=np.concatenate([one.sequences for one in found]),
        induction=of_each.mean(0),
        previous=np.mean([one.previous for one in found], axis=0),
        spread=of_each.std(0),
        chance=found[0].chance,
        bits=np.mean([one.bits for one in found], axis=0),
    )
