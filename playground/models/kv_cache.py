"""Keys and values of everything read so far: the State of a Transformer.

A step appends to memory that relatives share; see `append_only.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from playground.models.append_only import AppendOnly

FIRST_CAPACITY = 64  # tokens; doubled whenever it is used up, so a step costs O(1) on average


@dataclass(frozen=True, eq=False)  # readers are told apart by identity
class KVCache:
    """State of B prefixes of `length` tokens."""

    buffer: AppendOnly  # (n_layer, 2, B, n_head, capacity, head_size)
    length: int

    @classmethod
    def empty(
        cls, n_layer: int, batch_size: int, n_head: int, head_size: int, like: Tensor
    ) -> KVCache:
        """Return the State before the first token, on the device and in the dtype of `like`."""
        shape = (n_layer, 2, batch_size, n_head, FIRST_CAPACITY, head_size)
        return cls._reader(AppendOnly(like.new_empty(shape), FIRST_CAPACITY), 0)

    @classmethod
    def _reader(cls, buffer: AppendOnly, length: int) -> KVCache:
        """Return a State of the first `length` tokens; the caller holds the lock or is alone."""
        cache = cls(buffer, length)
        buffer.add(cache)
        return cache

    @property
    def batch_size(self) -> int:
        return self.buffer.memory.shape[2]

    def reserve(self, new_tokens: int) -> KVCache:
        """Return a State of `length + new_tokens` whose new positions are the caller's to write."""
        end = self.length + new_tokens
        if self.buffer.claim(self.length, cache := KVCache(self.buffer, end)):
            return cache
        capacity = self.buffer.capacity
        while capacity < end:
            capacity *= 2
        return self._reader(AppendOnly(self._copy(capacity), capacity), end)

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
            return self._reader(self.buffer, length)

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
        capacity = self.buffer.capacity
        return self._reader(AppendOnly(self._copy(capacity, rows), capacity), self.length)

    @property
    def num_bytes(self) -> int:
        """Bytes this State refers to (shared with its relatives)."""
        memory = self.buffer.memory[..., : self.length, :]
        return memory.numel() * torch.finfo(memory.dtype).bits // 8
