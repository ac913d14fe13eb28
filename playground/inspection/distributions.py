"""What a model thought of every one of the newest tokens, told at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from playground.decoding.window import dropped_tokens, visible_window
from playground.models.base import ARModel, State, device_of, step_prefixes


@torch.inference_mode()
def newest_distributions(model: ARModel, prefix: Sequence[int], count: int) -> Tensor:
    """Return log p (N, V) of what comes at each of the last positions, the one after `prefix` last.

    N is `count` + 1, fewer near the beginning: nothing is said of BOS itself. Where the window of
    a model has slid, only decisions that saw the newest window are told.

    Args:
        prefix: tokens, BOS first.
    """
    limit = model.context_length
    device = device_of(model)
    count = min(count, len(prefix) - 1)
    if limit is not None:
        while dropped_tokens(len(prefix) - count, limit) != dropped_tokens(len(prefix), limit):
            count -= 1
        window = visible_window(prefix, limit)
        logits = model.forward(torch.tensor([window], device=device))[0, -1 - count :]
        return logits.float().log_softmax(-1)
    first = len(prefix) - count
    logits, state = _read(model, prefix[:first], device)
    rows = [logits]
    if count:
        rest = torch.tensor([prefix[first:]], device=device)
        rows.append(step_prefixes(model, rest, state)[0][0])
    return torch.cat(rows).float().log_softmax(-1)


def _read(model: ARModel, prefix: Sequence[int], device) -> tuple[Tensor, State]:
    rows = torch.tensor([list(prefix)], device=device)
    return model.step(rows, model.initial_state(1))
