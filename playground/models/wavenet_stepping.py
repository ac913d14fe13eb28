"""From a WaveNet to `wavenet_kernel.py` and back: plan, buffers, checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from playground.models.packing import Memory, Packed, half_if_exact, packed

if TYPE_CHECKING:
    from playground.models.wavenet import Queues, WaveNet


def plan_for(model: WaveNet, state: Queues) -> Packed | None:
    """Return the packed weights if the kernel can step, None if torch has to."""
    return None if state.buffer.array is None else packed(model, lay_out)


def read_chunk(
    model: WaveNet, plan: Packed, tokens: Tensor, state: Queues, wanted: int
) -> tuple[Tensor, Queues]:
    """Read tokens (B, N); return the logits (B, wanted, V) of the last of them, and a State.

    Raises:
        IndexError: a token is not of the vocabulary.
    """
    from playground.models.wavenet_kernel import wavenet_step

    start, state = state.length, state.reserve(tokens.shape[1])
    logits = torch.empty(len(tokens), wanted, model.vocab_size)
    if not wavenet_step(
        plan.plan, tokens.contiguous().numpy(), state.buffer.array, state.place(start), start,
        state.biases.numpy(), logits.numpy(),
    ):  # fmt: skip
        raise IndexError(f"tokens must be from 0 to {model.vocab_size - 1}")
    return logits, state


def sample_ahead(
    model: WaveNet, token: Tensor, state: Queues, uniforms: Tensor, temperature: float
) -> tuple[Tensor, Tensor, Queues] | None:
    """See `base.HasSampleAhead`; None if the kernel cannot serve this model.

    Raises:
        IndexError: the token is not of the vocabulary.
    """
    if (plan := plan_for(model, state)) is None:
        return None
    from playground.models.wavenet_kernel import wavenet_sample

    start, state = state.length, state.reserve(len(uniforms))
    tokens = torch.empty(len(uniforms), dtype=torch.int64)
    logits = torch.empty(len(uniforms), model.vocab_size)
    if not wavenet_sample(
        plan.plan, int(token), state.buffer.array, state.place(start), start, state.biases.numpy(),
        uniforms.contiguous().numpy(), 1.0 / temperature, tokens.numpy(), logits.numpy(),
    ):  # fmt: skip
        raise IndexError(f"tokens must be from 0 to {model.vocab_size - 1}")
    return tokens, logits, state


def lay_out(model: WaveNet, memory: Memory) -> list[int]:
    """Return the plan of `wavenet_step`, with what it points to in `memory`."""
    c, head = model.config, model.head
    matrices = [head.inner.weight, head.outer.weight]
    matrices += [m.weight for layer in model.layers for m in (layer.gates, layer.outputs)]
    dtype = half_if_exact(matrices)
    plan = [c.n_layer, c.channels, c.skip_channels, c.levels, c.kernel_size, c.hop]
    plan += [dtype is np.float16, memory.copy_of(model.embedding.weight)]
    plan += [memory.panels(head.inner.weight, dtype), memory.copy_of(head.inner.bias)]
    plan += [memory.panels(head.outer.weight, dtype), memory.copy_of(head.outer.bias)]
    for layer in model.layers:
        plan += [layer.dilation, memory.panels(layer.gates.weight, dtype)]
        plan += [memory.copy_of(layer.gates.bias), memory.panels(layer.outputs.weight, dtype)]
        plan += [memory.copy_of(layer.outputs.bias)]
    return plan
