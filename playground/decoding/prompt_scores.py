"""What a model thought of the tokens of a prompt, which nobody has chosen."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from playground.decoding.decide import score
from playground.decoding.window import visible_window
from playground.models.base import ARModel, device_of
from playground.traces.trace import Step

UNSCORED = 0  # the rank of a token of which nothing is known
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
        rows = torch.tensor([prompt[:-1]], device=device_of(model))
        return score(model.forward(rows)[0], prompt[1:], rest_token=_rest(model))
    steps: list[Step] = []
    while len(steps) < len(prompt) - 1:  # one forward for each place of the window
        first = len(steps) + 1  # position of the first token to score
        window = visible_window(prompt[:first], limit)
        room = limit - len(window) + 1
        given = prompt[first : first + room]
        rows = torch.tensor([[*window, *given[:-1]]], device=device_of(model))
        logits = model.forward(rows)[0, len(window) - 1 :]
        steps += score(logits, given, first, rest_token=_rest(model))
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
