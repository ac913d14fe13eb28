"""The States of `transformers` models: our append-only memory where it fits, copies elsewhere.

transformers' own cache grows in place, and a State never changes, so it would have to be copied
whenever a model steps. Attention can read from any tensor: `Row` hands it views of the memory that
all States of a family tree share (`append_only.py`), so a step copies nothing of the prefix, and
undo, branches and beams are what they are for our own Transformer.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from playground.models.kv_cache import KVCache


@cache
def _layer_class() -> type:
    from transformers.cache_utils import DynamicLayer

    class SharedLayer(DynamicLayer):
        """Keys and values of one layer and one row, written into a State's memory.

        It keeps all of them: what a sliding window no longer sees is masked, not dropped.
        """

        is_croppable = False

        def __init__(self, memory: Tensor, length: int):
            super().__init__()
            self.memory, self.length = memory, length  # (2, 1, n_kv_head, capacity, head_size)
            self.is_initialized = True
            self._view()

        def _view(self) -> None:
            self.keys, self.values = self.memory[..., : self.length, :].unbind(0)

        def update(
            self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
        ) -> tuple[Tensor, Tensor]:
            """Append (1, n_kv_head, N, head_size); return all keys and all values so far."""
            start = self.length
            self.length = start + key_states.shape[-2]
            self._view()
            self.keys[..., start:, :] = key_states
            self.values[..., start:, :] = value_states
            return self.keys, self.values

        def get_seq_length(self) -> int:
            return self.length

    return SharedLayer


def row_cache(state: KVCache, row: int, length: int) -> Any:
    """Return a transformers Cache of one row that has read `length` tokens, to append to.

    What is appended goes into the memory of `state`, which has reserved it.
    """
    from transformers.cache_utils import Cache

    memory = state.buffer.memory[:, :, row : row + 1]
    return Cache(layers=[_layer_class()(layer, length) for layer in memory.unbind(0)])


def uniform_shape(memory: Any) -> tuple[int, int, int] | None:
    """Return (n_layer, n_kv_head, head_size) of a filled transformers cache, None if it has others.

    Only plain keys and values of one shape in all layers go into one tensor.
    """
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    layers = getattr(memory, "layers", None) or []
    if not layers or any(
        type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers
    ):
        return None
    sizes = {x.shape[1::2] for layer in layers for x in (layer.keys, layer.values)}
    return (len(layers), *sizes.pop()) if len(sizes) == 1 else None  # lengths may differ: windows


@dataclass(frozen=True, eq=False)
class Copies:
    """State of B prefixes whose memories are small, each a value of its own: copied every step.

    So it is for recurrent models (Mamba, RWKV), and for what mixes recurrence and attention. There
    is no `cut`: what was forgotten cannot be had back.
    """

    memories: tuple[Any, ...]  # one a row, as the architecture made it; None before the first token
    length: int

    def select(self, rows: Tensor) -> Copies:
        """Return the State whose row i is this one's `rows[i]`."""
        return Copies(tuple(self.memories[row] for row in rows.tolist()), self.length)

    @property
    def num_bytes(self) -> int:
        """Bytes of what is remembered."""
        return sum(x.numel() * x.element_size() for m in self.memories for x in tensors_of(m))


@dataclass(frozen=True, eq=False)
class Prefixes:
    """State of B prefixes as their tokens (B, length): of models that are read anew every step.

    Correct for any architecture, and slow; for those whose memory is no value that can be held
    (RecurrentGemma keeps it on its modules, which all sessions share).
    """

    tokens: Tensor

    @property
    def length(self) -> int:
        return self.tokens.shape[1]

    def select(self, rows: Tensor) -> Prefixes:
        """Return the State whose row i is this one's `rows[i]`."""
        return Prefixes(self.tokens[rows.to(self.tokens.device)])

    def cut(self, length: int) -> Prefixes:
        """Return the State of the first `length` tokens.

        Raises:
            ValueError: this State is shorter.
        """
        if not 0 <= length <= self.length:
            raise ValueError(f"cut needs a length from 0 to {self.length}, got {length}")
        return Prefixes(self.tokens[:, :length])

    @property
    def num_bytes(self) -> int:
        """Bytes of the tokens."""
        return self.tokens.numel() * self.tokens.element_size()


def copied(memory: Any) -> Any:
    """Return a copy of what an architecture remembers, which it may change in place."""
    if isinstance(memory, Tensor):
        return memory.clone()
    if isinstance(memory, list | tuple):
        return type(memory)(copied(x) for x in memory)
    if isinstance(memory, dict):
        return {name: copied(x) for name, x in memory.items()}
    if not hasattr(memory, "__dict__") or isinstance(memory, type | torch.dtype | torch.device):
        return memory
    from transformers import PreTrainedConfig
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    if isinstance(memory, PreTrainedConfig):
        return memory
    twin = copy.copy(memory)
    if type(memory) not in (DynamicLayer, DynamicSlidingWindowLayer):  # these replace, not change
        vars(twin).update({name: copied(x) for name, x in vars(memory).items()})
    return twin


def tensors_of(memory: Any) -> Iterator[Tensor]:
    """Yield all tensors inside of what an architecture remembers."""
    if isinstance(memory, Tensor):
        yield memory
    elif isinstance(memory, list | tuple):
        for x in memory:
            yield from tensors_of(x)
    elif isinstance(memory, dict):
        yield from tensors_of(list(memory.values()))
    elif hasattr(memory, "__dict__") and not isinstance(memory, type):
        yield from tensors_of(list(vars(memory).values()))
