"""Memory that the States of one family tree share, and append to.

A State is a value, yet a step need not copy it: who appends writes into the room behind its
parent, unless somebody who is still alive reads there. So a straight line of steps, undoing one,
and rolling back a rejected draft copy nothing; two branches that are both kept cost one copy.
"""

from __future__ import annotations

import threading
from typing import Protocol
from weakref import WeakSet

import torch
from torch import Tensor


class Reader(Protocol):
    """A State: it reads the memory up to its `length`."""

    length: int


class AppendOnly:
    """Memory with room for the tokens `first` .. `first + capacity`, and its readers."""

    def __init__(self, memory: Tensor, capacity: int, first: int = 0):
        self.memory, self.capacity, self.first = memory, capacity, first
        fits = memory.dtype == torch.float32 and memory.device.type == "cpu"
        self.array = memory.numpy() if fits else None  # the same memory, for kernels
        self.readers: WeakSet[Reader] = WeakSet()
        self.taken = first  # the longest reader that was; checked first, since it is cheap
        self.lock = threading.Lock()  # sessions share nothing else, but a State may be shared

    def add(self, reader: Reader) -> None:
        """Let a State read; the caller holds the lock or is alone."""
        self.taken = max(self.taken, reader.length)
        self.readers.add(reader)

    def claim(self, start: int, reader: Reader) -> bool:
        """Let `reader` own the tokens from `start` on; False if there is no room for them.

        There is none behind the capacity, nor where somebody reads who is alive.
        """
        with self.lock:
            if reader.length - self.first > self.capacity:
                return False
            if self.taken > start:  # perhaps only by the dead
                self.taken = max((r.length for r in self.readers), default=self.first)
            if self.taken > start:
                return False
            self.add(reader)
            return True
