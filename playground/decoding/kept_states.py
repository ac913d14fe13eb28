"""States at hand: of the newest prefixes, and of some older ones from which a jump back is read.

A prefix is known by its place: the branch that it belongs to and its length. What a branch shares
with the one it left belongs to that one. Tokens of a branch never change, so two numbers stand for
thousands of them, and nothing here takes longer the longer a sequence is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor

from playground.decoding.ahead import ANCHOR_TOKENS, BURST
from playground.models.base import State

KEPT_STATES = 24  # prefixes whose State stays at hand; others are read again
KEPT_ANCHORS = 128  # older States, from which a jump back is read again

Place = tuple[int, int]  # a branch's number, and how many of its tokens


class KeptStates:
    """A bounded cache of States by (number of a branch, length of a prefix)."""

    def __init__(self):
        self._newest: OrderedDict[Place, tuple[Tensor, State]] = OrderedDict()
        self._anchors: OrderedDict[Place, State] = OrderedDict()
        self._forks: dict[int, Place] = {}  # where each branch left another

    def __len__(self) -> int:
        return len(self._newest)

    def fork(self, number: int, origin: int, length: int) -> None:
        """Let branch `number` share its first `length` tokens with branch `origin`."""
        self._forks[number] = (origin, length)

    def place(self, number: int, length: int) -> Place:
        """Return what stands for the first `length` tokens of a branch, whoever shares them."""
        while number in self._forks and length <= self._forks[number][1]:
            number = self._forks[number][0]
        return number, length

    def find(self, number: int, length: int) -> tuple[Tensor, State] | None:
        """Return the logits (1, V) of what follows a prefix and the State after it, if at hand."""
        place = self.place(number, length)
        if place in self._newest:
            self._newest.move_to_end(place)
        return self._newest.get(place)

    def nearest(
        self, number: int, length: int, is_usable: Callable[[int], bool]
    ) -> tuple[int, State | None]:
        """Return the length and the State of the longest shorter prefix, (0, None) without one.

        `is_usable` says of a length whether the window there is that of `length`.
        """
        before = self._newest.get(self.place(number, length - 1))
        if before is not None and is_usable(length - 1):
            return length - 1, before[1]
        line = (n for owner, n in self._anchors if n < length and self.place(number, n)[0] == owner)
        near = max(line, default=0)
        if near == 0 or not is_usable(near):
            return 0, None
        return near, self._anchors[self.place(number, near)]

    def keep(self, number: int, length: int, found: tuple[Tensor, State]) -> None:
        """Keep what follows a prefix, and the State after it."""
        self._newest[self.place(number, length)] = found
        if len(self._newest) > KEPT_STATES:
            self._newest.popitem(last=False)
        self.keep_anchor(number, length, found[1])

    def keep_anchor(self, number: int, length: int, state: State) -> None:
        """Keep a State if it is at one of the places for that; those that lie close go first."""
        if length % ANCHOR_TOKENS:
            return
        self._anchors[self.place(number, length)] = state
        if len(self._anchors) > KEPT_ANCHORS:
            close = (place for place in self._anchors if place[1] % BURST)
            del self._anchors[next(close, next(iter(self._anchors)))]
