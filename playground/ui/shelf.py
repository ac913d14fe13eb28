"""Models that are kept in memory for all sessions, the least recently used let go by its bytes.

`st.cache_resource` counts entries, and a language model weighs as much as a thousand small ones.
"""

from __future__ import annotations

import gc
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass
class Kept(Generic[T]):
    value: T
    num_bytes: int


class Shelf(Generic[T]):
    """Values by key, made once however many ask at once, together of at most `budget` bytes.

    What is let go is let go by the shelf alone: a session that holds the value goes on using it,
    and its memory is free when the last session has let go too. One value may be larger than the
    budget; then it stands alone.
    """

    def __init__(self, budget: Callable[[], int], free: Callable[[], int], most: int) -> None:
        """Keep at most `most` values; `free` tells how many bytes the machine still has."""
        self.budget, self.free, self.most = budget, free, most
        self._kept: OrderedDict[Hashable, Kept[T]] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._coming: dict[Hashable, int] = {}  # bytes of what is being made
        self._guard = threading.RLock()

    def get(
        self,
        key: Hashable,
        need: Callable[[], int],
        make: Callable[[], tuple[T, int]],
    ) -> T:
        """Return the value of a key; if it is not here, make it, with room for it beforehand.

        Args:
            need: tells how many bytes it will take, about; asked only if it is not here.
            make: returns it and the bytes it takes; what it raises is raised, and nothing kept.
        """
        if (kept := self._look(key)) is not None:
            return kept.value
        with self._guard:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            if (kept := self._look(key)) is None:  # else somebody made it meanwhile
                room = need()
                try:
                    with self._guard:
                        self.make_room(room)
                        self._coming[key] = room
                    kept = Kept(*make())
                    with self._guard:
                        self._kept[key] = kept
                finally:
                    with self._guard:
                        self._coming.pop(key, None)
                with self._guard:
                    self._making.pop(key, None)
                self.make_room(0, keep=key)
        return kept.value

    def __contains__(self, key: Hashable) -> bool:
        with self._guard:
            return key in self._kept

    def keys(self) -> list[Hashable]:
        """Return the keys of what is here, the least recently used first."""
        with self._guard:
            return list(self._kept)

    def make_room(self, need: int, keep: Hashable = None) -> None:
        """Let go of what was not used for the longest until `need` more bytes fit.

        What is being made by others counts as here. Nobody's is let go for what cannot fit even
        then; whoever makes it says so.
        """
        with self._guard:
            before, coming = len(self._kept), sum(self._coming.values())
            if need > self.free() + sum(kept.num_bytes for kept in self._kept.values()):
                return
            for key in [key for key in self._kept if key != keep]:
                total = coming + sum(kept.num_bytes for kept in self._kept.values())
                if total + need <= self.budget() and len(self._kept) + (need > 0) <= self.most:
                    break
                del self._kept[key]
            if len(self._kept) < before:
                _collect()
            while need and need + coming > self.free() and self._kept:
                self._kept.popitem(last=False)
                _collect()  # or `free` would not tell

    def drop(self, is_old: Callable[[Hashable], bool]) -> None:
        """Let go of every value whose key is old."""
        with self._guard:
            old = [key for key in self._kept if is_old(key)]
            for key in old:
                del self._kept[key]
        if old:
            _collect()

    def _look(self, key: Hashable) -> Kept[T] | None:
        with self._guard:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)


def _collect() -> None:
    gc.unfreeze()  # what was frozen when it was made may hang together in circles
    gc.collect()
    gc.freeze()
