"""From a Transformer to `transformer_kernel.py` and back: plans, buffers, checks.

Kernels are imported when first used, since numba takes half a second to import and the kernels
some seconds to compile, once on a machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from playground.models.alibi import slopes_of
from playground.models.base import check_room
from playground.models.kv_cache import KVCache
from playground.models.packing import (
    MAX_CHUNK,
    MAX_HEAD_ROWS,
    NO_HIDDEN,
    NO_LOGITS,
    NO_TOKENS,
    Memory,
    Packed,
    half_if_exact,
    packed,
)
from playground.models.sharing import NOBODY, helper

if TYPE_CHECKING:
    from playground.models.transformer import Transformer

NO_MEMORY = np.empty((0,) * 6, np.float32)


def plan_for(model: Transformer, tokens: Tensor, state: KVCache) -> Packed | None:
    """Return the packed weights if a kernel can read these tokens, None if torch has to."""
    if tokens.shape[1] > MAX_CHUNK or state.buffer.array is None:
        return None
    return packed(model, lay_out)


def read_chunk(
    model: Transformer,
    plan: Packed,
    tokens: Tensor,
    state: KVCache,
    *,
    logits: Tensor | None = None,
    hidden: Tensor | None = None,
) -> KVCache:
    """Read tokens (B, N); fill logits (B or B * N, V) and hidden (n_layer + 1, B * N, C) if given.

    Raises:
        ContextFullError: the context has no room for N more tokens.
        IndexError: a token is not of the vocabulary.
    """
    from playground.models.transformer_kernel import transformer_helper, transformer_step

    B, N = tokens.shape
    check_room(model, state, N)
    cache = state.reserve(N)
    with helper(B, transformer_helper) as mailbox:
        is_fine = transformer_step(
            plan.plan,
            tokens.contiguous().numpy(),
            cache.buffer.array,
            state.length,
            NO_HIDDEN if hidden is None else hidden.numpy(),
            NO_LOGITS if logits is None else logits.numpy(),
            mailbox,
        )
    if not is_fine:
        raise IndexError(f"tokens must be from 0 to {model.vocab_size - 1}")
    return cache


def head(model: Transformer, hidden: Tensor) -> Tensor | None:
    """Return the logits (..., V) of the stream (..., C) if a kernel can make them."""
    if torch.is_grad_enabled() or hidden.dtype != torch.float32:
        return None
    rows = hidden.reshape(-1, hidden.shape[-1])
    if len(rows) > MAX_HEAD_ROWS or (plan := packed(model, lay_out)) is None:
        return None
    from playground.models.transformer_kernel import transformer_step

    logits = rows.new_empty(len(rows), model.vocab_size)
    arguments = (NO_TOKENS, NO_MEMORY, 0, rows[None].numpy(), logits.numpy(), NOBODY)
    transformer_step(plan.plan, *arguments)
    return logits.view(*hidden.shape[:-1], model.vocab_size)


def lay_out(model: Transformer, memory: Memory) -> list[int]:
    """Return the plan of `transformer_step`, with what it points to in `memory`."""
    from playground.models import transformer_kernel as kernel

    c, blocks = model.config, model.blocks
    matrices = [m.weight for b in blocks for m in (b.qkv, b.project, b.expand, b.contract)]
    dtype = half_if_exact([model.embedding.weight, *matrices])
    positions, table = kernel.ADDED, model.table
    if c.positions == "rotary":
        positions = kernel.ROTARY
    elif c.positions == "learned":
        table = model.position.weight
    elif c.positions == "alibi":
        positions, table = kernel.LEANING, torch.tensor(slopes_of(c.n_head))
    plan = [c.n_layer, c.n_embd, c.vocab_size, positions, c.context_length, dtype is np.float16]
    plan += [memory.copy_of(model.embedding.weight), memory.copy_of(table)]
    plan += [memory.copy_of(model.norm.weight), memory.panels(model.embedding.weight, dtype)]
    for b in blocks:
        plan += [memory.copy_of(b.norm_attention.weight), memory.panels(b.qkv.weight, dtype)]
        plan += [memory.panels(b.project.weight, dtype), memory.copy_of(b.norm_mlp.weight)]
        plan += [memory.panels(b.expand.weight, dtype), memory.panels(b.contract.weight, dtype)]
    return plan
