"""Exact likelihood of a long sequence under a model that reads a window of it at a time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from playground.models.base import ARModel, device_of

DEFAULT_WINDOW = 1024  # for models without a limit of their own
BATCH_TOKENS = 8192


@torch.inference_mode()
def negative_log_likelihood(
    model: ARModel, tokens: Tensor, bos_token: int, *, max_tokens: int | None = None
) -> tuple[float, int]:
    """Return -log p in nats of tokens (T,), and how many of them were scored.

    The sequence is cut into windows of the context's length that overlap by half; each starts
    with BOS and scores its second half, so every token but the first few is judged with at least
    half a context before it, and each exactly once.
    """
    window = (model.context_length or DEFAULT_WINDOW) - 1
    window = min(window, len(tokens))
    stride = max(1, window // 2)
    tokens = tokens[:max_tokens] if max_tokens is not None else tokens
    starts = list(range(0, max(1, len(tokens) - window + stride), stride))
    device = device_of(model)
    total, scored = 0.0, 0
    rows_at_once = max(1, BATCH_TOKENS // (window + 1))
    for first in range(0, len(starts), rows_at_once):
        rows, wanted = [], []
        for start in starts[first : first + rows_at_once]:
            start = max(0, min(start, len(tokens) - window))
            rows.append(tokens[start : start + window])
            wanted.append(start)
        targets = torch.stack(rows).long().to(device)  # (R, window)
        inputs = F.pad(targets[:, :-1], (1, 0), value=bos_token)
        logits = model.forward(inputs).float()
        losses = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")  # (R, window)
        for row, start in enumerate(wanted):  # `scored` is where the previous window stopped
            fresh = losses[row, scored - start :]
            total += fresh.double().sum().item()
            scored += len(fresh)
    return total, scored
