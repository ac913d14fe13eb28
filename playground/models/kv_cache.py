"""Keys and values of everything read so far: the State of a Transformer.

A KVCache is a value, yet a step need not copy it. Parent and child share one append-only buffer,
and each knows its own length; the first child to append writes into the room after its parent, a
second child of the same parent finds that room taken and gets a copy.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import torch
from torch import Tensor

FIRST_CAPACITY = 64  # tokens; doubled whenever it is used up, so a step costs O(1) on average


class _Buffer:
    """Memory (n_layer, 2, B, n_head, capacity, head_size) with the length that is taken."""

    def __init__(self, memory: Tensor, taken: int):
        self.memory = memory
        self.taken = taken
        self.lock = threading.Lock()  # sessions share nothing else, but a State may be shared

    @property
    def capacity(self) -> int:
        return self.memory.shape[4]

    def claim(self, start: int, end: int) -> bool:
        """Take positions start..end for the caller, unless another child was faster."""
        with self.lock:
            if self.taken != start or end > self.capacity:
                return False
            self.taken = end
            return True


@dataclass(frozen=True)
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
        return cls(_Buffer(like.new_empty(shape), 0), 0)

    @property
    def batch_size(self) -> int:
        return self.buffer.memory.shape[2]

    def reserve(self, new_tokens: int) -> KVCache:
        """Return a State of `length + new_tokens` whose new positions are the caller's to write."""
        end = self.length + new_tokens
        if self.buffer.claim(self.length, end):
            return KVCache(self.buffer, end)
        capacity = self.buffer.capacity
        while capacity < end:
            capacity *= 2
        old = self.buffer.memory
        memory = old.new_empty((*old.shape[:4], capacity, old.shape[5]))
        memory[..., : self.length, :] = old[..., : self.length, :]
        return KVCache(_Buffer(memory, end), end)

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
        kept = self.buffer.memory[..., : self.length, :].index_select(2, rows)
        return KVCache(_Buffer(kept.contiguous(), self.length), self.length)

    @property
    def num_bytes(self) -> int:
        """Bytes this State refers to (shared with its relatives)."""
        memory = self.buffer.memory[..., : self.length, :]
        return memory.numel() * torch.finfo(memory.dtype).bits // 8
