"""Memorisation: how much of a text stands word for word in what a model was trained on.

For every character the longest piece ending there that the training text holds too. Such pieces
exist in any text of the same language, so the figure says something only beside that of people's
text which the model has not read (as in Carlini et al. 2021, arXiv:2012.07805, and McCoy et al.
2023, arXiv:2111.09509, who compare n-grams of generated text with those of a held-out one).

The texts are made into a suffix automaton (Blumer et al. 1985), which the training text then runs
through once: linear in both, however long a copy is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from playground.errors import DataError

MAX_CHARACTERS = 40_000  # of all texts together
CHUNK = 100_000  # characters of the training text between two reports
BETWEEN = "\ufdd0"  # no character of any text: keeps copies from crossing from one to the next


@dataclass(frozen=True)
class Copied:
    """What a text shares with the training text."""

    text: str
    lengths: tuple[int, ...]  # for each character, of the longest copy that ends with it

    @property
    def pieces(self) -> list[tuple[int, int]]:
        """Return (start, end) of every copy that cannot be made longer on either side."""
        ends = [*self.lengths[1:], 0]
        return [
            (i + 1 - length, i + 1)
            for i, (length, after) in enumerate(zip(self.lengths, ends, strict=True))
            if length and after <= length
        ]

    @property
    def longest(self) -> str:
        """The longest copy, the first of several; empty if not even a character is shared."""
        start, end = max(self.pieces, key=lambda piece: piece[1] - piece[0], default=(0, 0))
        return self.text[start:end]

    def share_in(self, least: int) -> float:
        """Return the share of the characters that lie in a copy of `least` characters or more."""
        covered = [False] * len(self.text)
        for start, end in self.pieces:
            if end - start >= least:
                covered[start:end] = [True] * (end - start)
        return sum(covered) / max(1, len(self.text))


def copied(texts: Sequence[str], training: str) -> Iterator[float | tuple[Copied, ...]]:
    """Look for all texts in the training text: yield how far it is (0 to 1), at last what it found.

    Raises:
        DataError: there is nothing to look for, or too much.
    """
    total = sum(map(len, texts))
    if not 0 < total <= MAX_CHARACTERS:
        raise DataError(
            f"The texts have {total:,} characters; 1 to {MAX_CHARACTERS:,} are looked for at once. "
            "Take fewer or shorter ones."
        )
    automaton = _Automaton(BETWEEN.join(texts))
    for start in range(0, len(training), CHUNK):
        automaton.run(training[start : start + CHUNK])
        yield min(1.0, (start + CHUNK) / max(1, len(training)))
    lengths, found, at = automaton.lengths(), [], 0
    for text in texts:
        found.append(Copied(text, tuple(lengths[at : at + len(text)])))
        at += len(text) + 1
    yield tuple(found)


class _Automaton:
    """The suffix automaton of a text: a state is a set of its substrings that end alike."""

    def __init__(self, text: str):
        self.next: list[dict[str, int]] = [{}]
        self.link, self.size = [-1], [0]  # the state of shorter suffixes; the longest substring
        self.prefixes = []  # the state of text[: i + 1]
        last = 0
        for character in text:
            last = self._append(character, last)
            self.prefixes.append(last)
        self.best = [0] * len(self.size)  # longest substring of the state that was seen
        self.state, self.length = 0, 0  # of what was run through it last

    def _append(self, character: str, last: int) -> int:
        new = self._state({}, self.size[last] + 1)
        at = last
        while at >= 0 and character not in self.next[at]:
            self.next[at][character] = new
            at = self.link[at]
        if at < 0:
            self.link[new] = 0
            return new
        old = self.next[at][character]
        if self.size[old] == self.size[at] + 1:
            self.link[new] = old
            return new
        clone = self._state(dict(self.next[old]), self.size[at] + 1)
        self.link[clone] = self.link[old]
        self.link[old] = self.link[new] = clone
        while at >= 0 and self.next[at].get(character) == old:
            self.next[at][character] = clone
            at = self.link[at]
        return new

    def _state(self, following: dict[str, int], size: int) -> int:
        self.next.append(following)
        self.size.append(size)
        self.link.append(0)
        return len(self.size) - 1

    def run(self, text: str) -> None:
        """Go on through a part of the training text; copies may reach over the ends of parts."""
        following, link, size, best = self.next, self.link, self.size, self.best
        state, length = self.state, self.length
        for character in text:
            target = following[state].get(character)
            if target is None:
                while state and character not in following[state]:
                    state = link[state]
                length = size[state]
                target = following[state].get(character)
                if target is None:
                    length = 0
                    continue
            state, length = target, length + 1
            if length > best[state]:
                best[state] = length
        self.state, self.length = state, length

    def lengths(self) -> list[int]:
        """Return, for each character, the longest substring ending with it that was seen."""
        order = sorted(range(1, len(self.size)), key=self.size.__getitem__)
        best = list(self.best)
        for state in reversed(order):  # whoever saw a string saw its suffixes
            above = self.link[state]
            if best[state]:
                best[above] = self.size[above]
        for state in order:  # and where none of a state was seen, a shorter suffix may have been
            best[state] = best[state] or best[self.link[state]]
        return [best[state] for state in self.prefixes]
