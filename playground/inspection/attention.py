"""Attention weights of one prefix, in a size that can be drawn.

They show where each head reads from. They do not show what it used of that, nor what mattered to
the choice: other weights often give the same prediction (Jain & Wallace 2019, arXiv:1902.10186),
and a head that has nothing to say parks its weight on the first token (Xiao et al. 2023,
arXiv:2309.17453).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from playground.decoding.window import visible_window
from playground.errors import ConfigError, check_whole
from playground.models.base import ARModel, State, device_of
from playground.models.conditioned import unwrapped, without_wrappers

MAP_TOKENS = 48  # newest tokens that the maps show; a row covers the whole window
MAX_WEIGHTS = 2**25  # that are made for the maps; fewer tokens are shown of very long windows
MATRIX_TOKENS = 512  # newest tokens of the matrix of one head


@runtime_checkable
class HasAttentionRows(Protocol):
    """A model that can tell the attention weights of its newest positions."""

    context_length: int | None

    def attention_rows(
        self, tokens: Tensor, first: int, keep: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """Return weights (n_layer, B, n_head, T - first, T) of tokens (B, T).

        They are those of the queries from position `first` on; each row adds up to 1. `keep` is
        given a layer's (B, n_head, T - first, T) and returns what is kept of it, of one shape for
        all layers and no view of it; so no more than one layer's weights are held.
        """
        ...


@runtime_checkable
class HasStepAttention(Protocol):
    """A model that tells attention from the State of what came before, at the cost of a step.

    Optional: worth while where reading a prompt again takes a second.
    """

    def step_attention(self, tokens: Tensor, state: State) -> Tensor:
        """Return the weights (n_layer, B, n_head, N, T) of tokens (B, N) that end a prefix of T."""
        ...


HasAttention = HasAttentionRows


@dataclass(frozen=True)
class Attention:
    """Where each head of each layer looks from the last position of a window of n tokens."""

    row: np.ndarray  # (n_layer, n_head, n): weights from the last token to each of the window
    maps: np.ndarray  # (n_layer, n_head, m, m): among the newest m tokens; rows look at columns
    first: int  # position in the whole sequence of the window's first token after BOS

    def over(self, length: int, layer: int | None = None, head: int | None = None) -> np.ndarray:
        """Return the weights (length,) over the whole sequence: one head, or the mean of heads."""
        layers = self.row if layer is None else self.row[layer : layer + 1]
        heads = layers if head is None else layers[:, head : head + 1]
        return spread(heads.mean(axis=(0, 1)), length, self.first)


@dataclass(frozen=True)
class Overview:
    """Where every head looks from the last position, and in a few numbers how; (n_layer, n_head).

    A head whose `previous` is near 1 copies its neighbour; `start` near 1 means that it rests.
    """

    row: np.ndarray  # (n_layer, n_head, n): as in `Attention`
    first: int
    start: np.ndarray  # weight on the first token (BOS)
    previous: np.ndarray  # weight on the token before the last
    itself: np.ndarray  # weight on the last token
    entropy: np.ndarray  # of the row, in bits: 0 looks at one token, log2(n) at all alike
    distance: np.ndarray  # mean number of tokens that it looks back


@dataclass(frozen=True)
class Arc:
    """One edge from the last position to a token: `weight` of where it looks."""

    position: int  # in the row that was given
    weight: float


def has_attention(model: ARModel) -> bool:
    """True if the model, or the trained one inside of it, tells its attention."""
    return isinstance(without_wrappers(model), HasAttentionRows)


def attention(model: ARModel, prefix: Sequence[int], state: State | None = None) -> Attention:
    """Return the attention of the last position of `prefix` (BOS first).

    Args:
        state: of `prefix`, if there is one; then it need not be read again.

    Raises:
        ConfigError: the model has no attention.
    """
    inner, window = _inside(model, prefix)
    n = len(window)
    m = min(n, MAP_TOKENS, max(1, MAX_WEIGHTS // (inner.n_layer * inner.n_head * n)))

    def keep(weights: Tensor) -> Tensor:  # (1, H, m, n): the last row, then the map
        return torch.cat((weights[0, :, -1], weights[0, ..., -m:].flatten(1)), dim=1)

    kept = _newest(inner, window, m, keep, state)
    maps = kept[..., n:].reshape(*kept.shape[:2], m, m)
    return Attention(row=kept[..., :n], maps=maps, first=len(prefix) - n + 1)


def overview(model: ARModel, prefix: Sequence[int], state: State | None = None) -> Overview:
    """Return where all heads of all layers look from the last position of `prefix` (BOS first).

    Args:
        state: of `prefix`, if there is one; then it need not be read again.

    Raises:
        ConfigError: the model has no attention.
    """
    inner, window = _inside(model, prefix)
    n = len(window)
    row = _newest(inner, window, 1, lambda weights: weights[0, :, 0].clone(), state)  # (L, H, n)
    back = np.arange(n - 1, -1, -1, dtype=row.dtype)
    logs = np.log2(row, out=np.zeros_like(row), where=row > 0)
    return Overview(
        row=row,
        first=len(prefix) - n + 1,
        start=row[..., 0],
        previous=row[..., -2] if n > 1 else np.zeros_like(row[..., 0]),
        itself=row[..., -1],
        entropy=-(row * logs).sum(-1),
        distance=row @ back,
    )


def matrix(model: ARModel, prefix: Sequence[int], layer: int, head: int) -> np.ndarray:
    """Return one head's weights (m, m) among the newest m <= MATRIX_TOKENS tokens of `prefix`.

    Row i is where token i looks. What it gives to tokens before those m is left out, so rows add
    up to 1 only where all of the prefix is shown.

    Raises:
        ConfigError: the model has no attention, or no such layer or head.
    """
    inner, window = _inside(model, prefix)
    m = min(len(window), MATRIX_TOKENS)
    check_head(inner, layer, head)
    first = len(window) - m
    return rows_of(inner, window, first, lambda weights: weights[0, head, :, -m:].clone())[layer]


def arcs(row: np.ndarray, k: int = 8) -> list[Arc]:
    """Return the `k` largest weights of `row` (n,), the largest first; none that are 0."""
    order = np.argsort(-row, kind="stable")[: max(0, k)]
    return [Arc(int(i), float(row[i])) for i in order if row[i] > 0]


def spread(weights: np.ndarray, length: int, first: int) -> np.ndarray:
    """Return the weights (n,) of a window over the whole sequence (length,), 0 where it slid.

    Args:
        first: position in the sequence of the window's first token after BOS.
    """
    found = np.zeros(length)
    found[0] = weights[0]
    found[first : first + len(weights) - 1] = weights[1:]
    return found


def rows_of(
    model: HasAttentionRows,
    window: Sequence[int],
    first: int,
    keep: Callable[[Tensor], Tensor],
) -> np.ndarray:
    """Return what `keep` keeps of each layer's weights, (n_layer, ...) float32."""
    tokens = torch.tensor([window], device=device_of(model))
    return model.attention_rows(tokens, first, keep).float().cpu().numpy()


def _newest(
    model: HasAttentionRows,
    window: Sequence[int],
    n: int,
    keep: Callable[[Tensor], Tensor],
    state: State | None,
) -> np.ndarray:
    """Return what is kept of the newest `n` rows, from the State of the window where it helps."""
    is_usable = isinstance(model, HasStepAttention) and hasattr(state, "cut")
    if not is_usable or state.length != len(window):
        return rows_of(model, window, len(window) - n, keep)
    tokens = torch.tensor([window[-n:]], device=device_of(model))
    layers = model.step_attention(tokens, state.cut(len(window) - n))
    return torch.stack([keep(weights) for weights in layers]).float().cpu().numpy()


def check_head(model: ARModel, layer: int, head: int) -> None:
    """Raise ConfigError unless the model has this layer and this head, both counted from 0."""
    check_whole("layer", layer, 0, model.n_layer - 1)
    check_whole("head", head, 0, model.n_head - 1)


def attending(model: ARModel) -> HasAttentionRows:
    """Return what tells the attention of `model`: the trained model inside, told its condition.

    Raises:
        ConfigError: the model has no attention.
    """
    inner, condition = unwrapped(model)
    if not isinstance(inner, HasAttentionRows):
        raise ConfigError(f"{type(inner).__name__} has no attention to show. Choose a Transformer.")
    return inner.about(condition) if hasattr(inner, "about") else inner


def _inside(model: ARModel, prefix: Sequence[int]) -> tuple[HasAttentionRows, tuple[int, ...]]:
    """Return the trained model inside of `model`, and what it is shown of `prefix`."""
    inner = attending(model)
    return inner, visible_window(prefix, inner.context_length)
