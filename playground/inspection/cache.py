"""What a State holds of what has been read, and what it weighs.

A Transformer keeps keys and values of every token, so its State grows with the text (Pope et al.
2022, arXiv:2211.05102); a recurrent network or a convolution keeps the same few numbers however
long it reads. It shows memory in use and set aside. It does not show time, nor the weights of the
model, which all States share.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import Tensor

from playground.models.append_only import AppendOnly
from playground.models.base import State

NAMES = {  # of a field of a State, where it does not say by itself what it is
    "KVCache.buffer": "keys and values",
    "LayerInputs.buffer": "inputs of each layer",
    "Queues.buffer": "inputs of each layer",
    "Queues.biases": "condition",
    "LSTMState.h": "outputs",
    "LSTMState.c": "cells",
    "RecurrentState.h": "outputs",
    "RecurrentState.c": "cells",
    "SampleRNNState.h": "outputs",
    "NGramState.tail": "last tokens",
    "Copies.memories": "memory",
}

LISTS = ("", "parts", "memory", "layers")  # of fields, which say nothing of what is in them


@dataclass(frozen=True)
class Part:
    """One kind of numbers that a State holds, in `layers` pieces of the same shape."""

    name: str
    shape: tuple[int, ...]  # of one piece, as far as it is in use
    layers: int
    dtype: str
    used: int  # bytes in use
    reserved: int  # bytes set aside, at least as many
    per_token: int  # bytes that one more token adds, 0 where the size is fixed
    readers: int  # States alive that share the memory, this one included


@dataclass(frozen=True)
class Held:
    """What the State of B prefixes of `length` tokens holds, all rows together."""

    length: int
    parts: tuple[Part, ...]

    @property
    def used(self) -> int:
        """Bytes in use."""
        return sum(part.used for part in self.parts)

    @property
    def reserved(self) -> int:
        """Bytes set aside."""
        return sum(part.reserved for part in self.parts)

    @property
    def per_token(self) -> int:
        """Bytes that one more token adds; 0 of a model whose memory has a fixed size."""
        return sum(part.per_token for part in self.parts)

    @property
    def is_shared(self) -> bool:
        """Whether other States that are alive read the same memory: undone or branched ones."""
        return any(part.readers > 1 for part in self.parts)

    def at(self, length: int) -> int:
        """Return the bytes in use once `length` tokens have been read, a context's length say."""
        return self.used + (length - self.length) * self.per_token


def held(state: State) -> Held:
    """Return what a State holds; any State, since all are made of tensors and of other States."""
    return Held(state.length, tuple(_merged(_parts(state, "", state, set()))))


def _parts(value: Any, name: str, owner: Any, seen: set[int]) -> Iterator[Part]:
    """Yield what is in `value`, a field of `owner`; what was `seen` is told once."""
    if isinstance(value, tuple | list):
        for item in value:
            yield from _parts(item, name, owner, seen)
        return
    if id(value) in seen or isinstance(value, type):
        return
    seen.add(id(value))
    if isinstance(value, AppendOnly):
        yield _appended(value, name, owner)
    elif isinstance(value, Tensor):
        yield _plain(value, name, owner)
    elif isinstance(value, dict) or hasattr(value, "__dict__"):
        for field, below in (value if isinstance(value, dict) else vars(value)).items():
            if isinstance(field, int):  # one of several
                nested = name
            else:
                own = NAMES.get(f"{type(value).__name__}.{field}", field.replace("_", " "))
                nested = own if name in LISTS else f"{name}: {own}"
            yield from _parts(below, nested, value, seen)


def _plain(tensor: Tensor, name: str, owner: Any) -> Part:
    """Return a tensor of a State as it is.

    It grows if it is the tokens that the State's length counts, or transformers' own keys or
    values, which have tokens in the last axis but one.
    """
    size, kind = tensor.element_size(), name.split(": ")[-1]
    per_token = 0
    if kind == "tokens" and "length" not in vars(owner):
        per_token = tensor.shape[0] * size
    elif kind in ("keys", "values") and tensor.dim() == 4 and tensor.shape[2]:
        is_sliding = getattr(owner, "is_sliding", False)
        per_token = 0 if is_sliding else tensor.numel() // tensor.shape[2] * size
    bytes_ = tensor.numel() * size
    return Part(name, tuple(tensor.shape), 1, _dtype(tensor), bytes_, bytes_, per_token, 1)


def _appended(buffer: AppendOnly, name: str, owner: Any) -> Part:
    """Return memory that is appended to: layers first, tokens in the last axis but one."""
    memory, span = buffer.memory, getattr(owner, "span", None)
    layers, *rest, _, width = memory.shape
    kept = owner.length if span is None else span  # a queue keeps the newest, always as many
    per_token = layers * prod(rest) * width * memory.element_size()
    return Part(
        name=name,
        shape=(*rest, kept, width),
        layers=layers,
        dtype=_dtype(memory),
        used=per_token * kept,
        reserved=memory.numel() * memory.element_size(),
        per_token=per_token if span is None else 0,
        readers=len(buffer.readers),
    )


def _merged(parts: Iterator[Part]) -> list[Part]:
    """Return the parts, with those of the same name and shape as one of several layers."""
    found: dict[tuple, Part] = {}
    for part in parts:
        key = (part.name, part.shape, part.dtype)
        if (other := found.get(key)) is not None:
            part = Part(
                *key[:2], other.layers + part.layers, key[2], other.used + part.used,
                other.reserved + part.reserved, other.per_token + part.per_token,
                max(other.readers, part.readers),
            )  # fmt: skip
        found[key] = part
    return list(found.values())


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
