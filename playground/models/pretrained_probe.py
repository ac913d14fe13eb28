"""What an architecture can do, tried on a few tokens: measured, so new ones need no table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from playground.errors import CheckpointError
from playground.models.base import device_of
from playground.models.pretrained_attention import Look, looking
from playground.models.pretrained_cache import uniform_shape
from playground.models.pretrained_layers import find_final_norm, listen_at

if TYPE_CHECKING:
    from playground.models.pretrained import PretrainedLM

LENGTH = 8  # tokens
MEMORIES = ("cache", "past_key_values", "state")  # what architectures call their memory
FAILURES = (TypeError, ValueError, AttributeError, IndexError, KeyError, RuntimeError,
            NotImplementedError)  # fmt: skip


@torch.inference_mode()
def probe(model: PretrainedLM) -> frozenset[str]:
    """Find out how `model` has to be read; return what it can do besides.

    Raises:
        CheckpointError: it cannot be read token by token, or sees tokens to come.
    """
    n = model.n_rows
    some = [n // 2 - i * (n // (3 * LENGTH)) for i in range(LENGTH + 1)]  # no special tokens
    tokens = torch.tensor([some[:-1]], device=device_of(model))
    other = torch.tensor([[*some[:-2], some[-1]]], device=device_of(model))
    kind = type(model.inner).__name__
    try:
        rows = model.forward(tokens)
        seen = model.forward(other)
    except FAILURES as error:
        raise CheckpointError(
            f"{kind} cannot be read from tokens alone ({type(error).__name__}: {error}). Choose a "
            "model that continues text."
        ) from error
    if not close(model, rows[:, :-1], seen[:, :-1]):
        raise CheckpointError(
            f"{kind} looks at tokens to come, so it cannot continue a text. Choose a causal "
            "language model."
        )
    _find_memory(model, tokens, rows)
    abilities = {"embeds": _embeds, "layers": _layers, "attends": _attends}
    return frozenset(
        name for name, tried in abilities.items() if _works(tried, model, tokens, rows)
    )


def close(model: PretrainedLM, one: Tensor, other: Tensor) -> bool:
    """True if logits are the same but for rounding in the model's number format."""
    finite = other.isfinite()
    one, other = one[finite], other[finite]
    tolerance = 1e-4 if is_exact(model) else 0.03
    return bool((one - other).abs().max() <= 1e-5 + tolerance * other.abs().max())


def is_exact(model: PretrainedLM) -> bool:
    return model.inner.dtype in (torch.float32, torch.float64)


def _works(tried: Any, *arguments: Any) -> bool:
    try:
        return bool(tried(*arguments))
    except FAILURES:
        return False


def _find_memory(model: PretrainedLM, tokens: Tensor, rows: Tensor) -> None:
    """Set the first way to remember that gives the rows of `forward`: shared, copied, or none."""
    takes = [name for name in MEMORIES if name in model._takes]
    for name in takes:
        model.memory_name = name
        if not _works(_remembers, model, tokens):
            continue
        model.shape = uniform_shape(model.read(tokens, remember=True).memory)
        if model.shape is not None and _works(_steps, model, tokens, rows):
            return
        model.shape = None
        # transformers 5.24 reads a chunk behind a Mamba's memory as if the recurrent part of it
        # were empty; in 16 bits that could pass for rounding
        for reads_chunks in (True, False) if is_exact(model) else (False,):
            model.reads_chunks = reads_chunks
            if _works(_steps, model, tokens, rows):
                return
    model.memory_name, model.shape, model.reads_chunks = None, None, True


def _remembers(model: PretrainedLM, tokens: Tensor) -> bool:
    return model.read(tokens, remember=True).memory is not None


def _steps(model: PretrainedLM, tokens: Tensor, rows: Tensor) -> bool:
    """True if reading in chunks gives `rows`, twice: a State that is used must not have changed."""
    first, state = model.step_every(tokens[:, :5], model.initial_state(1))
    for _ in range(2):
        rest, _ = model.step_every(tokens[:, 5:], state)
        if not close(model, torch.cat((first, rest), dim=1), rows):
            return False
    sixth, state = model.step(tokens[:, 5:6], state)
    seventh, _ = model.step(tokens[:, 6:7], state)
    return close(model, torch.stack((sixth, seventh), dim=1), rows[:, 5:7])


def _embeds(model: PretrainedLM, tokens: Tensor, rows: Tensor) -> bool:
    embedded = model.inner.get_input_embeddings()(tokens)
    return close(model, model.read(embedded=embedded).logits, rows)


def _layers(model: PretrainedLM, tokens: Tensor, rows: Tensor) -> bool:
    from playground.models.pretrained import _Layers

    model.norm_name = find_final_norm(model.inner, tokens)
    if model.norm_name is not None:
        listen_at(model.inner.get_submodule(model.norm_name))
    hidden = model.read(tokens, layers=True).hidden
    model.n_layer = len(hidden) - 1
    return close(model, _Layers.head(model, hidden[-1]), rows)


def _attends(model: PretrainedLM, tokens: Tensor, rows: Tensor) -> bool:
    """True if all layers that attend tell weights that are some."""
    with looking(Look(first=0, by_itself=model.attends_by_itself)) as look:
        model.inner.base_model(input_ids=tokens, use_cache=False)
    if not look.kept:
        return False
    weights = torch.stack(look.kept)  # (n_layer, 1, n_head, T, T), or this fails
    if weights.shape[-2:] != (LENGTH, LENGTH) or bool((weights.triu(1) != 0).any()):
        return False
    if bool((weights < 0).any()) or bool((weights.sum(-1) > 1.01).any()):
        return False
    model.n_layer, model.n_head = weights.shape[0], weights.shape[2]
    every = frozenset((i, h) for i in range(model.n_layer) for h in range(model.n_head))
    with looking(Look(without=every, n_head=model.n_head, by_itself=model.attends_by_itself)):
        return not close(model, model.read(tokens).logits, rows)
