"""Any number of lanes over one model, in lockstep: one `model.step` per position for all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from playground.decoding.decide import N_CANDIDATES, Lane, decide_lanes
from playground.errors import PromptError, check_whole
from playground.models.base import ARModel, State
from playground.traces.trace import Step, Trace

MAX_NEW_TOKENS = 20_000
MAX_LANES = 64


def device_of(model: ARModel) -> torch.device:
    """Return where the model's numbers are."""
    return next(iter(model.state_dict().values())).device


def prefill(model: ARModel, tokens: Sequence[int]) -> tuple[torch.Tensor, State]:
    """Read a whole prefix (BOS first); return the logits (1, V) of what follows, and the State.

    Raises:
        PromptError: the prefix is empty or names tokens the model does not have.
        ContextFullError: it is longer than the model's context.
    """
    if not tokens or min(tokens) < 0 or max(tokens) >= model.vocab_size:
        raise PromptError(
            "A prefix needs at least the start token, and tokens from 0 to "
            f"{model.vocab_size - 1}. Encode the prompt with this model's own tokenizer."
        )
    rows = torch.tensor([list(tokens)], device=device_of(model))
    return model.step(rows, model.initial_state(1))


def dropped_tokens(length: int, context_length: int | None) -> int:
    """Return how many tokens after BOS a sliding window has dropped from `length` tokens.

    A window that is full goes on from BOS and its newest half, so it slides once in half a
    context, not at every token: reading half a context again costs as much as making it.
    """
    if context_length is None or length <= context_length:
        return 0
    stride = context_length - max(1, context_length // 2) + 1
    return stride * (1 + (length - context_length - 1) // stride)


def slid_before(length: int, context_length: int | None) -> int:
    """Return how many tokens a sliding window drops on the way to `length` tokens."""
    return dropped_tokens(length, context_length) - dropped_tokens(length - 1, context_length)


def visible_window(tokens: Sequence[int], context_length: int | None) -> tuple[int, ...]:
    """Return BOS and the tokens that a sliding window still shows the model."""
    return (tokens[0], *tokens[1 + dropped_tokens(len(tokens), context_length) :])


@torch.inference_mode()
def generate(
    model: ARModel,
    prompt: Sequence[int],
    lanes: Sequence[Lane],
    *,
    max_new_tokens: int = 100,
    eos_token: int | None = None,
    slide: bool = False,
    n_candidates: int = N_CANDIDATES,
) -> Iterator[tuple[Step | None, ...]]:
    """Yield one Step a lane for each new position; None for a lane that has ended.

    A lane ends at `eos_token`; all end after `max_new_tokens`. To stop, stop iterating. With
    `slide` a full context goes on from its newest half, read again after BOS; without it the
    generator raises.

    Raises:
        ContextFullError: the context is full and `slide` is off.
        PromptError: the prompt is empty, too long or of other tokens.
    """
    check_whole("max_new_tokens", max_new_tokens, 0, MAX_NEW_TOKENS)
    check_whole("the number of lanes", len(lanes), 1, MAX_LANES)
    device = device_of(model)
    limit = model.context_length if slide else None
    logits, state = prefill(model, visible_window(prompt, limit) if prompt else prompt)
    slid = slid_before(len(prompt), limit)
    if len(lanes) > 1:  # every lane starts from the same State, read once
        state = state.select(torch.zeros(len(lanes), dtype=torch.int64, device=device))
        logits = logits.expand(len(lanes), -1)
    sequences = torch.tensor([list(prompt)], device=device).repeat(len(lanes), 1)  # (R, T)
    alive = list(range(len(lanes)))  # lane of each row
    for count in range(max_new_tokens):
        made = decide_lanes(
            logits, [lanes[i] for i in alive], sequences, slid=slid, n_candidates=n_candidates
        )
        steps: list[Step | None] = [None] * len(lanes)
        for i, step in zip(alive, made, strict=True):
            steps[i] = step
        yield tuple(steps)
        going = [row for row, lane in enumerate(alive) if steps[lane].token != eos_token]
        if not going or count == max_new_tokens - 1:
            return
        chosen = torch.tensor([[steps[lane].token] for lane in alive], device=device)
        sequences = torch.cat((sequences, chosen), dim=1)
        if len(going) < len(alive):
            rows = torch.tensor(going, device=device)
            sequences, chosen, state = sequences[rows], chosen[rows], state.select(rows)
            alive = [alive[row] for row in going]
        length = sequences.shape[1]
        slid = slid_before(length, limit)
        if slid:  # read the newest half of every row again
            kept = sequences[:, 1 + dropped_tokens(length, limit) :]
            windows = torch.cat((sequences[:, :1], kept), dim=1)
            logits, state = model.step(windows, model.initial_state(len(windows)))
        else:
            logits, state = model.step(chosen, state)


def generate_trace(
    model: ARModel, name: str, prompt: Sequence[int], lane: Lane, **options
) -> Trace:
    """Run one lane to its end and return its Trace; `options` are those of `generate`."""
    steps = tuple(step for (step,) in generate(model, prompt, [lane], **options))
    return Trace(name, tuple(prompt), lane.seed, steps, lane.settings())
