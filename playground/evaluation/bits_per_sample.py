"""How likely sounds are: bits for each of their samples, exact, from one end to the other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from playground.models.base import ARModel, device_of

CHUNK = 8192  # samples whose logits are held at once


@torch.inference_mode()
def surprisal_of_sound(
    model: ARModel, tokens: Tensor, bos_token: int, condition: Any = None
) -> Tensor:
    """Return the surprisal in bits (T,) of every sample of a sound (T,), on the CPU.

    A model with a context reads a longer sound in windows, each sample behind at least half of it.
    """
    targets = tokens.long().to(device_of(model))
    inputs = F.pad(targets[:-1], (1, 0), value=bos_token)[None]
    parts = _in_chunks if model.context_length is None else _in_windows
    found, at = [], 0
    for logits in parts(model, inputs, condition):
        own = targets[at : at + len(logits)]
        found.append(F.cross_entropy(logits.float(), own, reduction="none").cpu() / math.log(2))
        at += len(logits)
    return torch.cat(found)


def _in_chunks(model: ARModel, inputs: Tensor, condition: Any) -> Iterator[Tensor]:
    state = model.initial_state(1, condition)
    for chunk in inputs.split(CHUNK, dim=1):
        logits, state = model.step_every(chunk, state)
        yield logits[0]


def _in_windows(model: ARModel, inputs: Tensor, condition: Any) -> Iterator[Tensor]:
    T, context = inputs.shape[1], model.context_length
    step = T if context >= T else max(1, context // 2)
    for start in range(0, T, step):
        end = min(start + step, T)
        logits = model.forward(inputs[:, max(0, end - context) : end], condition)
        yield logits[0, start - end :]


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
