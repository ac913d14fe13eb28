"""Keys and values of everything read so far: the State of a Transformer.

A KVCache is a value, yet a step need not copy it. Relatives share one buffer, and each knows its
own length; who appends writes into the room behind its parent, unless somebody who is still alive
reads there: then it gets a copy. So a straight line of steps, undoing one, and rolling back a
rejected draft copy nothing; two branches that are both kept cost one copy.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from weakref import WeakSet

import torch
from torch import Tensor

FIRST_CAPACITY = 64  # tokens; doubled whenever it is used up, so a step costs O(1) on average


class _Buffer:
    """Memory (n_layer, 2, B, n_head, capacity, head_size), and who reads it up to where."""

    def __init__(self, memory: Tensor):
        self.memory = memory
        fits = memory.dtype == torch.float32 and memory.device.type == "cpu"
        self.array = memory.numpy() if fits else None  # the same memory, for kernels
        self.readers: WeakSet[KVCache] = WeakSet()
        self.taken = 0  # the longest reader that was; checked first, since it is cheap
        self.lock = threading.Lock()  # sessions share nothing else, but a State may be shared

    @property
    def capacity(self) -> int:
        return self.memory.shape[4]

    def reader(self, length: int) -> KVCache:
        """Return a State of the first `length` tokens; the caller holds the lock or is alone."""
        self.taken = max(self.taken, length)
        cache = KVCache(self, length)
        self.readers.add(cache)
        return cache

    def claim(self, start: int, end: int) -> KVCache | None:
        """Return the State that owns positions start..end, None if somebody reads behind start."""
        with self.lock:
            if end > self.capacity:
                return None
            if self.taken > start:  # perhaps only by the dead
                self.taken = max(cache.length for cache in self.readers)
            return self.reader(end) if self.taken <= start else None


@dataclass(frozen=True, eq=False)  # readers are told apart by identity
class KVCache:
    """State of B prefixes of `length` tokens."""

    buffer: _Buffer
    length: int

    @classmethod
    def empty(
        cls, n_layer: int, batch_size: int, n_head: int, head_size: int, like: Tensor
    ) -> KVCache:
        """Return the State before the first token, on the device and in the dtype of `like`."""
        shape = (n_layer, 2, batch_size, n_head, FIRST_CAPACITY, head_size)
        return _Buffer(like.new_empty(shape)).reader(0)

    @property
    def batch_size(self) -> int:
        return self.buffer.memory.shape[2]

    def reserve(self, new_tokens: int) -> KVCache:
        """Return a State of `length + new_tokens` whose new positions are the caller's to write."""
        end = self.length + new_tokens
        if (cache := self.buffer.claim(self.length, end)) is not None:
            return cache
        capacity = self.buffer.capacity
        while capacity < end:
            capacity *= 2
        return _Buffer(self._copy(capacity)).reader(end)

    def _copy(self, capacity: int, rows: Tensor | None = None) -> Tensor:
        """Return memory of that capacity with the tokens (of those rows) that this State reads."""
        old = self.buffer.memory[..., : self.length, :]
        B = self.batch_size if rows is None else len(rows)
        memory = old.new_empty((*old.shape[:2], B, old.shape[3], capacity, old.shape[5]))
        kept = memory[..., : self.length, :]
        if rows is None:
            kept.copy_(old)
        else:
            for row, source in enumerate(rows.tolist()):  # quicker than gathering, then copying
                kept[:, :, row] = old[:, :, source]
        return memory

    def cut(self, length: int) -> KVCache:
        """Return the State of the first `length` tokens, which shares this one's memory.

        Raises:
            ValueError: this State is shorter.
        """
        if not 0 <= length <= self.length:
            raise ValueError(f"cut needs a length from 0 to {self.length}, got {length}")
        with self.buffer.lock:
            return self.buffer.reader(length)

    def slots(self, new_tokens: int) -> tuple[Tensor, ...]:
        """Return where each layer stores keys and values (2, B, H, N, D) of the newest tokens."""
        return self.buffer.memory.narrow(4, self.length - new_tokens, new_tokens).unbind(0)

    def keys_values(self) -> tuple[Tensor, ...]:
        """Return all keys, then all values, of each layer in turn: (B * H, length, D) each.

        They are views, made in one go, because to a small model every call counts.
        """
        n_layer, _, B, H, capacity, D = self.buffer.memory.shape
        memory = self.buffer.memory.view(2 * n_layer, B * H, capacity, D)
        return memory.narrow(2, 0, self.length).unbind(0)

    def select(self, rows: Tensor) -> KVCache:
        """Return the State whose row i is this one's `rows[i]`."""
        return _Buffer(self._copy(self.buffer.capacity, rows)).reader(self.length)

    @property
    def num_bytes(self) -> int:
        """Bytes this State refers to (shared with its relatives)."""
        memory = self.buffer.memory[..., : self.length, :]
        return memory.numel() * torch.finfo(memory.dtype).bits // 8
