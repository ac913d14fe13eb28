"""What an architecture can do, tried on a few tokens: measured, so new ones need no table.

A handful of passes, most of which read all weights once: half a second for 135 million of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from playground.errors import CheckpointError
from playground.models.base import device_of
from playground.models.pretrained_attention import Look, looking
from playground.models.pretrained_cache import uniform_shape
from playground.models.pretrained_layers import head_of, listen_at, noting_final_norm

if TYPE_CHECKING:
    from playground.models.pretrained import PretrainedLM, Reading

LENGTH = 8  # tokens
FIRST = 5  # of them that are read first, where they are read in two goes
MEMORIES = ("cache", "state")  # what architectures call their memory
FAILURES = (TypeError, ValueError, AttributeError, IndexError, KeyError, RuntimeError,
            NotImplementedError)  # fmt: skip


@torch.inference_mode()
def probe(model: PretrainedLM) -> frozenset[str]:
    """Find out how `model` has to be read; return what it can do besides.

    Raises:
        CheckpointError: it cannot be read token by token, or sees tokens to come.
    """
    n = model.n_rows
    stride = max(1, n // (3 * LENGTH))
    some = [(n // 2 + i * stride) % n for i in range(LENGTH)]  # inside, where no marks are
    tokens = torch.tensor([some], device=device_of(model))
    model.memory_name = next((name for name in MEMORIES if name in model._takes), None)
    abilities = set()
    try:
        with looking(Look(first=0, by_itself=model.attends_by_itself)) as look:
            reading = seen = _read_with_layers(model, tokens)
            if reading is None:
                look.kept.clear()
                reading = model.read(tokens, remember=model.memory_name is not None)
    except FAILURES as error:
        raise CheckpointError(
            f"{type(model.inner).__name__} cannot be read from tokens alone "
            f"({type(error).__name__}: {error}). Choose a model that continues text."
        ) from error
    _find_memory(model, tokens, reading)
    if seen and _works(_leads_to_logits, model, reading):
        abilities.add("layers")
    if _works(_embeds, model, tokens, reading.logits):
        abilities.add("embeds")
    if look.kept and _works(_attends, model, tokens, reading.logits, look):
        abilities.add("attends")
    return frozenset(abilities)


def close(model: PretrainedLM, one: Tensor, other: Tensor, exact: float = 1e-4) -> bool:
    """True if logits are the same but for rounding in the model's number format.

    Args:
        exact: tolerance of models in 32 bits or more, relative to the largest logit.
    """
    finite = other.isfinite()
    one, other = one[finite], other[finite]
    tolerance = exact if is_exact(model) else 0.03
    return bool((one - other).abs().max() <= 1e-5 + tolerance * other.abs().max())


def is_exact(model: PretrainedLM) -> bool:
    return model.inner.dtype in (torch.float32, torch.float64)


def _works(tried: Any, *arguments: Any) -> bool:
    try:
        return bool(tried(*arguments))
    except FAILURES:
        return False


def _read_with_layers(model: PretrainedLM, tokens: Tensor) -> Reading | None:
    """Read with the hidden states, None if the architecture tells none; set its final norm."""
    try:
        with noting_final_norm(model.inner) as name_of_norm:
            reading = model.read(tokens, remember=model.memory_name is not None, layers=True)
            model.norm_name = name_of_norm()
    except FAILURES:
        return None
    if model.norm_name is not None:
        listen_at(model.inner.get_submodule(model.norm_name))
    return reading


def _leads_to_logits(model: PretrainedLM, reading: Reading) -> bool:
    """True if the head makes logits of the last hidden state, which is normed in this reading."""
    model.n_layer = len(reading.hidden) - 1
    last = reading.hidden[-1].to(model.inner.dtype)
    return close(model, model._of_vocabulary(head_of(model.inner, last)), reading.logits)


def _find_memory(model: PretrainedLM, tokens: Tensor, reading: Reading) -> None:
    """Set the first way to remember that gives the rows of one pass: shared, copied, or none.

    Raises:
        CheckpointError: what is read first depends on what is read later.
    """
    if model.memory_name is not None and reading.memory is not None:
        model.shape = uniform_shape(reading.memory)
        if model.shape is not None and _works(_steps, model, tokens, reading.logits):
            return
        model.shape = None
        # transformers 5.24 reads a chunk behind a Mamba's memory as if the recurrent part of it
        # were empty, which can be little; in 16 bits it could pass for rounding
        for reads_chunks in (True, False) if is_exact(model) else (False,):
            model.reads_chunks = reads_chunks
            if _works(_steps, model, tokens, reading.logits, 1e-5 if reads_chunks else 1e-4):
                return
    model.memory_name, model.reads_chunks = None, True
    if not close(model, model.read(tokens[:, :FIRST]).logits, reading.logits[:, :FIRST]):
        raise CheckpointError(
            f"{type(model.inner).__name__} looks at tokens to come, so it cannot continue a text. "
            "Choose a causal language model."
        )


def _steps(model: PretrainedLM, tokens: Tensor, rows: Tensor, exact: float = 1e-4) -> bool:
    """True if reading in two goes gives `rows`, and the State between them is not changed."""
    first, state = model.step_every(tokens[:, :FIRST], model.initial_state(1))
    rest, _ = model.step_every(tokens[:, FIRST:], state)
    one, _ = model.step_every(tokens[:, FIRST : FIRST + 1], state)
    found = torch.cat((first, rest, one), dim=1)
    wanted = torch.cat((rows, rows[:, FIRST : FIRST + 1]), dim=1)
    return close(model, found, wanted, exact)


def _embeds(model: PretrainedLM, tokens: Tensor, rows: Tensor) -> bool:
    embedded = model.inner.get_input_embeddings()(tokens)
    return close(model, model.read(embedded=embedded).logits, rows)


def _attends(model: PretrainedLM, tokens: Tensor, rows: Tensor, look: Look) -> bool:
    """True if all layers that attend told weights that are some, and heads can be left out."""
    weights = torch.stack(look.kept)  # (n_layer, 1, n_head, T, T), or this fails
    if weights.shape[-2:] != (LENGTH, LENGTH) or bool((weights.triu(1) != 0).any()):
        return False
    if bool((weights < 0).any()) or bool((weights.sum(-1) > 1.01).any()):
        return False
    model.n_layer, model.n_head = weights.shape[0], weights.shape[2]
    every = frozenset((i, h) for i in range(model.n_layer) for h in range(model.n_head))
    with looking(Look(without=every, n_head=model.n_head, by_itself=model.attends_by_itself)):
        return not close(model, model.read(tokens).logits, rows)
