"""What a model thought of the tokens of a prompt, which nobody has chosen."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from playground.decoding.decide import score
from playground.decoding.window import visible_window
from playground.models.base import ARModel, HasStepEvery, device_of
from playground.traces.trace import Step

UNSCORED = 0  # the rank of a token of which nothing is known
MOST_LOGITS = 2**25  # that are held at once for a prompt: 128 MB
SCORED_APART = 32  # newest tokens of a prompt that are scored where each costs a request


@torch.inference_mode()
def score_prompt(model: ARModel, prompt: Sequence[int]) -> tuple[Step, ...]:
    """Score the tokens after BOS, each in the window that it would have been chosen in.

    A model that tells only a few positions of a text scores its newest ones; a Step of the others
    has rank 0, and no surprisal.
    """
    limit = model.context_length
    if len(prompt) == 1:
        return ()
    if getattr(model, "most_positions", None) is not None:
        return _score_newest(model, prompt)
    if limit is None or len(prompt) <= limit + 1:  # the last is scored, not read
        return _score_behind(model, prompt[:1], prompt[1:], 1)
    steps: list[Step] = []
    while len(steps) < len(prompt) - 1:  # one forward for each place of the window
        first = len(steps) + 1  # position of the first token to score
        window = visible_window(prompt[:first], limit)
        room = limit - len(window) + 1
        given = prompt[first : first + room]
        steps += _score_behind(model, window, given, first)
    return tuple(steps)


def _score_behind(
    model: ARModel, window: Sequence[int], given: Sequence[int], first: int
) -> tuple[Step, ...]:
    """Score `given`, which stand behind `window` from position `first` on.

    The logits of 4,000 tokens of 250,000 pieces would take 4 GB, so they are made in parts.
    """
    tokens = torch.tensor([[*window, *given[:-1]]], device=device_of(model))
    before, at_once = len(window) - 1, max(1, MOST_LOGITS // model.vocab_size)
    if tokens.shape[1] <= at_once or not isinstance(model, HasStepEvery):
        return score(model.forward(tokens)[0, before:], given, first, rest_token=_rest(model))
    state, steps = model.initial_state(1), []
    if before:
        _, state = model.step(tokens[:, :before], state)
    for part in tokens[:, before:].split(at_once, dim=1):
        logits, state = model.step_every(part, state)
        to_score = given[len(steps) : len(steps) + part.shape[1]]
        steps += score(logits[0], to_score, first + len(steps), rest_token=_rest(model))
    return tuple(steps)


def _score_newest(model: ARModel, prompt: Sequence[int]) -> tuple[Step, ...]:
    first = max(1, len(prompt) - min(SCORED_APART, model.most_positions))
    if model.context_length is not None and len(prompt) > model.context_length + 1:
        first = len(prompt)  # they stand in several windows
    steps = [_unscored(at, prompt[at]) for at in range(1, first)]
    if first < len(prompt):
        tokens, state = torch.tensor([prompt[:-1]], device=device_of(model)), model.initial_state(1)
        if first > 1:
            _, state = model.step(tokens[:, : first - 1], state)
        logits = model.step_every(tokens[:, first - 1 :], state)[0][0]
        steps += score(logits, prompt[first:], first, rest_token=_rest(model))
    return tuple(steps)


def _unscored(position: int, token: int) -> Step:
    return Step(position, token, 0.0, 0.0, UNSCORED, 0.0, 0, chosen_by="prompt")


def _rest(model: ARModel) -> int | None:
    return getattr(model, "rest_token", None)
