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
    """Return the surprisal in bits (T,) of every sample of a sound (T,), on the CPU."""
    targets = tokens.long().to(device_of(model))
    inputs = F.pad(targets[None, :-1], (1, 0), value=bos_token)
    logits = model.forward(inputs, condition)[0].float()
    return F.cross_entropy(logits, targets, reduction="none").cpu() / math.log(2)


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
