"""What changes when an attention head is left out.

Zero ablation (Michel et al. 2019, arXiv:1905.10650): KL divergence of the next token's
distribution from the one without the head. It shows that the rest of the model cannot do without
the head here, on this prompt. It does not show what the head does; a head that others stand in for
changes little (McGrath et al. 2023, arXiv:2307.15771), and 0 is a value that no layer has met in
training, so part of a change is mere surprise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from playground.decoding.window import visible_window
from playground.models.ablation import WithoutHeads
from playground.models.base import ARModel, HasHeads, device_of
from playground.models.conditioned import without_wrappers

LN_2 = math.log(2)
MAX_READ = 512  # newest tokens of a prompt that every ablation reads again


@dataclass(frozen=True)
class Ablation:
    """What the next token's distribution becomes without some heads."""

    heads: frozenset[tuple[int, int]]  # (layer, head) from 0
    kl: float  # KL(whole || without) in bits
    token: int  # whose log-probability `change` is about: asked for, or the likeliest of the whole
    change: float  # log2 p without - log2 p whole of `token`; negative where the heads help it
    top: int  # the likeliest token without the heads
    top_prob: float


def can_be_ablated(model: ARModel) -> bool:
    """True if heads of the model, or of the trained one inside of it, can be left out."""
    return isinstance(without_wrappers(model), HasHeads)


def all_heads(model: ARModel, layer: int | None = None) -> list[tuple[int, int]]:
    """Return every (layer, head) of a model that has heads, or those of one layer."""
    inner = without_wrappers(model)
    layers = range(inner.n_layer) if layer is None else (layer,)
    return [(at, head) for at in layers for head in range(inner.n_head)]


def tokens_to_read(model: ARModel, prefix: Sequence[int], count: int) -> int:
    """Return how many tokens `count` ablations read in all, the cost that a page can tell."""
    return (count + 1) * len(_window(model, prefix))


def ablate(
    model: ARModel,
    prefix: Sequence[int],
    heads: Iterable[tuple[int, int]],
    token: int | None = None,
) -> Ablation:
    """Return what changes after `prefix` (BOS first) without all of `heads` at once.

    Raises:
        ConfigError: the model has no such heads.
    """
    (found,) = ablations(model, prefix, [heads], token)
    return found


def ablate_layer(
    model: ARModel, prefix: Sequence[int], layer: int, token: int | None = None
) -> list[Ablation]:
    """Return what changes after `prefix` without each head of a layer, one at a time.

    Raises:
        ConfigError: the model has no heads, or no such layer.
    """
    if can_be_ablated(model):
        return list(ablations(model, prefix, [[at] for at in all_heads(model, layer)], token))
    return [ablate(model, prefix, [(layer, 0)], token)]  # raises what is to be said


def ablations(
    model: ARModel,
    prefix: Sequence[int],
    choices: Iterable[Iterable[tuple[int, int]]],
    token: int | None = None,
) -> Iterator[Ablation]:
    """Yield what changes without each choice of heads, as soon as it is known.

    One choice costs one pass over the newest MAX_READ tokens of the prefix; whoever has seen
    enough stops asking.

    Raises:
        ConfigError: the model has no such heads.
    """
    window = _window(model, prefix)
    whole = _next(WithoutHeads(model, ()), window)
    token = int(whole.argmax()) if token is None else token
    for heads in choices:
        without = WithoutHeads(model, heads)
        logprobs = _next(without, window)
        gap = (whole.exp() * (whole - logprobs)).nan_to_num(0.0)
        top = int(logprobs.argmax())
        yield Ablation(
            heads=without.heads,
            kl=max(0.0, float(gap.sum()) / LN_2),
            token=token,
            change=float(logprobs[token] - whole[token]) / LN_2,
            top=top,
            top_prob=float(logprobs[top].exp()),
        )


def kl_map(found: Iterable[Ablation], n_layer: int, n_head: int) -> np.ndarray:
    """Return KL in bits (n_layer, n_head) of ablations of one head each, nan elsewhere."""
    bits = np.full((n_layer, n_head), np.nan)
    for ablation in found:
        (at,) = ablation.heads
        bits[at] = ablation.kl
    return bits


def _window(model: ARModel, prefix: Sequence[int]) -> tuple[int, ...]:
    window = visible_window(prefix, without_wrappers(model).context_length)
    return window if len(window) <= MAX_READ else (window[0], *window[1 - MAX_READ :])


@torch.inference_mode()
def _next(model: WithoutHeads, window: Sequence[int]) -> Tensor:
    """Return log p (V,) of what follows, double so that small changes are not noise."""
    tokens = torch.tensor([window], device=device_of(model))
    return model.forward(tokens)[0, -1].double().cpu().log_softmax(-1)
