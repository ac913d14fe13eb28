"""Constrained beam search: the beams must say the given words, in any order.

Hypotheses are sorted into banks by how many of the words' tokens they hold, and the beams are
divided among the banks, so that ones that have begun a word are not crowded out by likelier ones
that have not. Only a hypothesis that holds every word may end.

References: Hokamp & Liu 2017, arXiv:1704.07138 (grid beam search); Post & Vilar 2018,
arXiv:1804.06609 (dynamic beam allocation). Deviation: scores are those of `beam.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from playground.decoding.beam import BeamSearch
from playground.decoding.lane import Lane
from playground.decoding.search import Move, Node, Search, View, length_normalised, top
from playground.errors import ConfigError
from playground.traces.trace import Hypothesis

MAX_WORDS, MAX_WORD_TOKENS = 8, 64


@dataclass(frozen=True)
class ConstrainedBeamSearch(BeamSearch):
    """Keep the most likely continuations that hold every one of `force_words_ids`."""

    force_words_ids: tuple[tuple[int, ...], ...] = ()

    name = "constrained_beam_search"

    def __post_init__(self):
        super().__post_init__()
        words = tuple(tuple(word) for word in self.force_words_ids)
        object.__setattr__(self, "force_words_ids", words)
        if not 1 <= len(words) <= MAX_WORDS or not all(
            1 <= len(w) <= MAX_WORD_TOKENS for w in words
        ):
            raise ConfigError(
                f"force_words_ids must name 1 to {MAX_WORDS} words of 1 to {MAX_WORD_TOKENS} "
                f"tokens each, got {[len(word) for word in words]} tokens. Write words to be said."
            )

    def start(self, lane: Lane) -> Search:
        return ConstrainedBeams(lane, rows=[Node(data=Progress.none(self.force_words_ids))])


@dataclass(frozen=True)
class Progress:
    """Which words a hypothesis holds, and how far it is in the one it is saying."""

    words: tuple[tuple[int, ...], ...]
    held: frozenset[int]
    saying: int | None = None  # index of a word
    said: int = 0  # tokens of it

    @classmethod
    def none(cls, words: tuple[tuple[int, ...], ...]) -> Progress:
        return cls(words, frozenset())

    @property
    def is_complete(self) -> bool:
        return len(self.held) == len(self.words)

    @property
    def bank(self) -> int:
        """Tokens of words that are held or being said."""
        return sum(len(self.words[i]) for i in self.held) + self.said

    @property
    def missing(self) -> int:
        """Tokens still to be said."""
        return sum(map(len, self.words)) - self.bank

    def next_tokens(self) -> list[int]:
        """Return the tokens that bring the hypothesis on."""
        if self.saying is not None:
            return [self.words[self.saying][self.said]]
        return [word[0] for i, word in enumerate(self.words) if i not in self.held]

    def after(self, token: int) -> Progress:
        """Return the progress once `token` is said; a word that is broken off is begun anew."""
        if self.saying is not None and self.words[self.saying][self.said] == token:
            return self._say(self.saying, self.said + 1)
        for i, word in enumerate(self.words):
            if i not in self.held and word[0] == token:
                return self._say(i, 1)
        return Progress(self.words, self.held)

    def _say(self, word: int, said: int) -> Progress:
        if said == len(self.words[word]):
            return Progress(self.words, self.held | {word})
        return Progress(self.words, self.held, word, said)


def allot(banks: dict[int, int], beams: int) -> dict[int, int]:
    """Divide `beams` among the banks, which have so many candidates each; the fullest first.

    Every bank gets its equal share; what a bank cannot use goes to the others, those that hold
    more tokens first (Post & Vilar 2018, sec. 3.1).
    """
    given = dict.fromkeys(banks, 0)
    order = sorted(banks, reverse=True)
    left = beams
    while left and any(given[b] < banks[b] for b in order):
        for bank in order:
            if left and given[bank] < banks[bank]:
                given[bank] += 1
                left -= 1
    return given


@dataclass
class ConstrainedBeams(Search):
    """Rows in banks; `Node.data` is the Progress of each."""

    def move(self, view: View) -> Move:
        s: ConstrainedBeamSearch = self.lane.strategy
        candidates = self._candidates(view)
        room = view.longest - view.made - 1  # tokens that can follow this one
        going, closing = [], []
        for logprob, row, token, progress in candidates:
            ends = token == view.eos_token or view.is_last
            if ends and progress.is_complete:
                closing.append((logprob, row, token, progress))
            elif not ends and progress.missing <= room:
                going.append((logprob, row, token, progress))
        sizes: dict[int, int] = {}
        for *_, progress in going:
            sizes[progress.bank] = sizes.get(progress.bank, 0) + 1
        given = allot(sizes, s.num_beams)
        live = []
        for candidate in going:  # the best of each bank
            bank = candidate[3].bank
            if given[bank]:
                given[bank] -= 1
                live.append(candidate)
        closing = closing[: s.num_beams]
        return self._advance(view, live, closing, candidates)

    def _candidates(self, view: View) -> list[tuple[float, int, int, Progress]]:
        """Return the best continuations, and each row's that say more of a word, best first."""
        sums = view.shaped.new_tensor([[n.logprob] for n in self.rows]).double()
        totals = view.shaped.double() + sums
        found = {(row, token): value for value, row, token in
                 top(totals, 2 * self.lane.strategy.num_beams)}  # fmt: skip
        for row, node in enumerate(self.rows):
            for token in node.data.next_tokens():
                value = totals[row, token].item()
                if value > -1e300:
                    found[row, token] = value
            if node.data.is_complete and view.eos_token is not None:
                found[row, view.eos_token] = totals[row, view.eos_token].item()
        ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
        return [
            (value, row, token, self.rows[row].data.after(token)) for (row, token), value in ordered
        ]

    def _advance(self, view: View, live: list, closing: list, candidates: list) -> Move:
        s: ConstrainedBeamSearch = self.lane.strategy
        both = [*live, *closing]
        told = view.tell(self.lane, [c[1] for c in both], [c[2] for c in both])
        nodes = [
            Node(facts, self.rows[row], logprob,
                 length_normalised(logprob, view.made + 1, s.length_penalty), progress)
            for facts, (logprob, row, _, progress) in zip(told, both, strict=True)
        ]  # fmt: skip
        fates = {c[1:3]: "live" for c in live} | {c[1:3]: "finished" for c in closing}
        ordered = [*live, *(c for c in candidates if fates.get(c[1:3]) != "live")]
        self.weighed.append(
            tuple(
                Hypothesis(row, token, logprob,
                           length_normalised(logprob, view.made + 1, s.length_penalty),
                           fates.get((row, token), "pruned"), progress.bank)
                for logprob, row, token, progress in ordered
            )
        )  # fmt: skip
        finished = [*self.finished, *nodes[len(live) :]]
        self.finished = sorted(finished, key=lambda n: -n.score)[: s.num_beams]
        self.rows = nodes[: len(live)]
        self.is_done = not self.rows or self._cannot_improve(view)
        return Move(
            [c[1] for c in live], [c[2] for c in live],
            [facts.logprob_processed for facts in told[: len(live)]],
        )  # fmt: skip

    def _cannot_improve(self, view: View) -> bool:
        s: ConstrainedBeamSearch = self.lane.strategy
        if len(self.finished) < s.num_beams:
            return False
        length = (
            view.longest if s.early_stopping == "never" and s.length_penalty > 0 else view.made + 1
        )
        best = max(n.logprob for n in self.rows)
        possible = length_normalised(best, length, s.length_penalty)
        return s.early_stopping is True or possible <= self.finished[-1].score
