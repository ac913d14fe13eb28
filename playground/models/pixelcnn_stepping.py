"""From a Gated PixelCNN to `pixelcnn_kernel.py` and back: plan, buffers, checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from playground.models.base import check_room
from playground.models.mixture import rowwise_logprobs
from playground.models.packing import Memory, Packed, half_if_exact, packed
from playground.models.raster import RasterState, with_start

if TYPE_CHECKING:
    from playground.models.pixelcnn import GatedPixelCNN

NO_LABELS = np.empty(0, np.int64)


def plan_for(model: GatedPixelCNN) -> Packed | None:
    """Return the packed weights if the kernel can step, None if torch has to."""
    return packed(model, lay_out)


def read_chunk(
    model: GatedPixelCNN, plan: Packed, tokens: Tensor, state: RasterState, wanted: int
) -> tuple[Tensor, RasterState]:
    """Read tokens (B, N); return the logits (B, wanted, V) after the last of them, and a State.

    Raises:
        ContextFullError: the picture has no room for N more tokens.
        IndexError: a token is not of the vocabulary.
    """
    from playground.models.pixelcnn_kernel import gated_step

    check_room(model, state, tokens.shape[1])
    B, start, c = len(tokens), state.length, model.config
    known = torch.cat((state.tokens, tokens), dim=1)
    per_row = c.width * c.colors
    if start == 0:
        links = torch.empty(B, c.n_layer, c.width, 2 * c.channels)
        memory = torch.zeros(B, sum(model.rows_kept), c.width, c.channels)
        queue = torch.empty(B, sum(model.columns_kept), c.channels)
    else:
        (links, memory), queue = state.above, state.current[0].clone()
        if (known.shape[1] - 1) // per_row != (start - 1) // per_row:  # a row begins
            links, memory = torch.empty_like(links), memory.clone()
            if start % per_row:  # in the middle of the one before
                links = state.above[0].clone()
    is_mixture = model.head.n_mixtures > 0
    size = 3 * model.head.n_mixtures if is_mixture else model.vocab_size
    outputs = torch.empty(B, wanted, size)
    labels = NO_LABELS if state.labels is None else state.labels.contiguous().numpy()
    if not gated_step(
        plan.plan, known.numpy(), labels, start, links.numpy(), memory.numpy(), queue.numpy(),
        outputs.numpy(),
    ):  # fmt: skip
        raise IndexError(f"tokens must be from 0 to {model.vocab_size - 1}")
    if is_mixture:
        outputs = with_start(rowwise_logprobs(outputs, c.levels))
    return outputs, RasterState(known, (links, memory), (queue,), state.labels)


def lay_out(model: GatedPixelCNN, memory: Memory) -> list[int]:
    """Return the plan of `gated_step`, with what it points to in `memory`."""
    c, head = model.config, model.head
    products = [head.inner.masked(), head.outer.masked()]
    for x in model.layers:
        products += [x.vertical.weight, x.link.weight, x.left.masked(), x.project.masked()]
    dtype = half_if_exact(products)
    inner, outer, *rest = (memory.panels(weight, dtype) for weight in products)
    per_value = model.features.shape[1]
    n_output = 3 * head.n_mixtures or c.levels
    plan = [c.n_layer, c.channels, c.width, c.colors, c.levels, n_output, per_value]
    classes = memory.copy_of(model.class_embedding.weight) if c.n_class else 0
    plan += [dtype is np.float16, c.n_class, memory.copy_of(model.features), classes]
    plan += [inner, memory.copy_of(head.inner.bias), outer, memory.copy_of(head.outer.bias)]
    for i, x in enumerate(model.layers):
        vertical, link, left, project = rest[4 * i : 4 * i + 4]
        plan += [x.vertical.kernel_size, x.vertical.dilation]
        plan += [vertical, memory.copy_of(x.vertical.bias), link, memory.copy_of(x.link.bias)]
        plan += [left, project, memory.copy_of(x.project.bias)]
    return plan
