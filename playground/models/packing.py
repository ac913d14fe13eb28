"""Weights laid out for the kernels, kept beside the models they are copies of.

A copy serves as long as the model is what it was when the copy was made: frozen, in evaluation
mode, float32 on a CPU, with the same tensors at the same addresses, not written to since (torch
counts writes; those through `.data` it does not see, unless the model is put into evaluation mode
again). Otherwise a model computes with torch, and is packed anew once it is at rest.

Weights that float16 holds exactly, as those of all shipped checkpoints, are packed in it: half the
memory to read, for the same sums.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

MAX_CHUNK = 64  # tokens read at once by a kernel; more are faster with torch's threads
MAX_HEAD_ROWS = 1024  # hidden states of which a kernel makes logits at once
ALIGNMENT = 64  # bytes, a cache line
NO_TOKENS = np.empty((0, 0), np.int64)  # arguments of a kernel that is not asked for them
NO_LOGITS, NO_HIDDEN = np.empty((0, 0), np.float32), np.empty((0, 0, 0), np.float32)


class Memory(list):
    """Everything that addresses in a plan point to."""

    def at(self, array: np.ndarray) -> int:
        """Keep the array, return its address."""
        self.append(array)
        return array.ctypes.data

    def copy_of(self, values: Tensor) -> int:
        return self.at(values.detach().float().contiguous().numpy().copy())

    def panels(self, weight: Tensor, dtype) -> int:
        """Lay the weight (M, K) of a linear layer out as (panels, K, PANEL), rest filled with 0."""
        from playground.models.vector_code import PANEL

        (M, K), count = weight.shape, -(-weight.shape[0] // PANEL)
        filled = np.zeros((count * PANEL, K), dtype)
        filled[:M] = weight.numpy()
        laid = aligned((count, K, PANEL), dtype)
        laid[:] = filled.reshape(count, PANEL, K).transpose(0, 2, 1)
        return self.at(laid)


@dataclass(frozen=True)
class Packed:
    """The plan of a kernel, what it points to, and the tensors it was made from."""

    plan: np.ndarray  # int64
    memory: Memory
    sources: tuple[tuple[dict, str, Tensor, int, int], ...]

    def is_current(self) -> bool:
        """Return whether every tensor is in its place and as it was; 0.15 us each."""
        for owner, name, tensor, address, version in self.sources:
            if (
                owner[name] is not tensor
                or tensor._version != version
                or tensor.data_ptr() != address
            ):
                return False
        return True


def aligned(shape: tuple[int, ...], dtype) -> np.ndarray:
    """Return uninitialised memory that starts with a cache line."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


_PACKED: WeakKeyDictionary[nn.Module, Packed] = WeakKeyDictionary()  # copies are not the model's
_LOCK = threading.Lock()


def packed(model: nn.Module, lay_out: Callable[[nn.Module, Memory], Sequence[int]]):
    """Return the current plan of a model, made by `lay_out` if need be; None if it has none.

    Whoever uses the plan holds it, so that another thread that packs anew takes nothing away.
    """
    if model.training or not _is_at_rest(next(model.parameters(), None)):
        return None
    found = _PACKED.get(model)
    if found is None or not found.is_current():
        with _LOCK:
            found = _PACKED.get(model)
            if found is None or not found.is_current():
                found = _pack(model, lay_out)
                if found is None:
                    return None
                _PACKED[model] = found
    return found


def forget(model: nn.Module) -> None:
    """Drop the copy of a model."""
    _PACKED.pop(model, None)


def half_if_exact(weights: Sequence[Tensor]) -> type:
    """Return float16 if it holds all values of the weights, else float32."""
    exact = all(torch.equal(weight.half().float(), weight) for weight in weights)
    return np.float16 if exact else np.float32


def _is_at_rest(tensor: Tensor | None) -> bool:
    return (
        tensor is not None
        and not tensor.requires_grad
        and tensor.dtype == torch.float32
        and tensor.device.type == "cpu"
        and not tensor.is_inference()  # writes to those are not counted
    )


def _pack(model: nn.Module, lay_out) -> Packed | None:
    from playground.models.vector_code import HAS_INSTRUCTIONS

    sources = tuple(_sources(model))
    if not HAS_INSTRUCTIONS or not all(_is_at_rest(source[2]) for source in sources):
        return None
    memory = Memory()
    with torch.inference_mode():
        plan = np.array(lay_out(model, memory), np.int64)
    return Packed(plan, memory, sources)


def _sources(model: nn.Module) -> Iterator[tuple[dict, str, Tensor, int, int]]:
    for module in model.modules():
        for owner in (module._parameters, module._buffers):
            for name, tensor in owner.items():
                if tensor is not None:
                    version = 0 if tensor.is_inference() else tensor._version
                    yield owner, name, tensor, tensor.data_ptr(), version
