"""How likely sounds are: bits for each of their samples, exact, by passes of `forward`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from playground.models.base import ARModel, device_of


@torch.inference_mode()
def surprisal_of_sound(
    model: ARModel, tokens: Tensor, bos_token: int, condition: Any = None
) -> Tensor:
    """Return the surprisal in bits (T,) of every sample of a sound (T,), on the CPU.

    A model with a context reads a longer sound in windows, each sample behind at least half of it.
    """
    targets = tokens.long().to(device_of(model))
    inputs = F.pad(targets[:-1], (1, 0), value=bos_token)
    T, context = len(targets), model.context_length or len(targets)
    step = T if context >= T else max(1, context // 2)
    found = []
    for start in range(0, T, step):
        end = min(start + step, T)
        logits = model.forward(inputs[None, max(0, end - context) : end], condition)[0].float()
        rows = slice(start, end)
        nats = F.cross_entropy(logits[start - end :], targets[rows], reduction="none")
        found.append(nats.cpu() / math.log(2))
    return torch.cat(found)


def bits_of_sounds(
    model: ARModel,
    sounds: Sequence[Tensor],
    bos_token: int,
    conditions: Sequence[Any] | None = None,
) -> Tensor:
    """Return the bits (N,), float64, that each of the sounds (T_i,) needs in all."""
    told = [None] * len(sounds) if conditions is None else conditions
    pairs = zip(sounds, told, strict=True)
    bits = [surprisal_of_sound(model, s, bos_token, c).double().sum() for s, c in pairs]
    return torch.stack(bits)


def bits_per_sample(
    model: ARModel,
    sounds: Sequence[Tensor],
    bos_token: int,
    conditions: Sequence[Any] | None = None,
) -> float:
    """Return the mean surprisal in bits of all samples of the sounds (T_i,)."""
    bits = bits_of_sounds(model, sounds, bos_token, conditions)
    return bits.sum().item() / sum(map(len, sounds))
