"""How likely a picture is: bits for each of its values, exact, by one pass of `forward`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from playground.errors import CheckpointError
from playground.models.base import ARModel, device_of

BATCH_TOKENS = 32_768


@torch.inference_mode()
def surprisal_of_pictures(
    model: ARModel, tokens: Tensor, bos_token: int, condition: Tensor | None = None
) -> Tensor:
    """Return the surprisal in bits (N, T) of every value of pictures (N, T), on the CPU.

    `condition` (N,) are classes, for a model that knows some.
    """
    device = device_of(model)
    rows_at_once, found = max(1, BATCH_TOKENS // tokens.shape[1]), []
    for start in range(0, len(tokens), rows_at_once):
        rows = slice(start, start + rows_at_once)
        targets = tokens[rows].long().to(device)
        inputs = F.pad(targets[:, :-1], (1, 0), value=bos_token)
        labels = None if condition is None else condition[rows].to(device)
        logits = model.forward(inputs, labels).float()
        nats = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
        found.append(nats.cpu() / math.log(2))
    return torch.cat(found)


def bits_of_pictures(
    model: ARModel, tokens: Tensor, bos_token: int, condition: Tensor | None = None
) -> Tensor:
    """Return the bits per dimension (N,), float64, of each of the pictures (N, T)."""
    return surprisal_of_pictures(model, tokens, bos_token, condition).double().mean(1)


def bits_per_dim(
    model: ARModel, tokens: Tensor, bos_token: int, condition: Tensor | None = None
) -> float:
    """Return the mean surprisal in bits of all values of pictures (N, T)."""
    return bits_of_pictures(model, tokens, bos_token, condition).mean().item()


def percentiles_of(bits: Tensor) -> list[float]:
    """Return the percentiles 0, 1, ..., 100 of the bits per dimension (N,) of N pictures."""
    return np.percentile(bits.numpy(), range(101)).round(4).tolist()


def finite(value: Any) -> float | None:
    """Return a number that a file tells; None if it is no number, or infinite as a float."""
    try:
        number = float(value) if type(value) in (int, float) else math.nan
    except OverflowError:  # JSON knows whole numbers of any length
        return None
    return number if math.isfinite(number) else None


def share_less_likely(percentiles: Sequence[float], bits: float) -> float:
    """Return the share (0 to 1) of the things of `percentiles` that need more than `bits`.

    `percentiles` is what `percentiles_of` returns; between two of them the share is interpolated.

    Raises:
        CheckpointError: `percentiles`, which come from a file, are not 101 ascending numbers.
    """
    numbers = [finite(percentile) for percentile in percentiles]
    if len(numbers) != 101 or None in numbers or sorted(numbers) != numbers:
        raise CheckpointError(
            "The bits of the test pictures or sounds, which the checkpoint lists, must be 101 "
            "ascending numbers. Train or download it again."
        )
    return 1.0 - float(np.interp(bits, numbers, np.linspace(0, 1, 101)))
