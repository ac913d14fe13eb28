"""Constrained beam search: the beams must say the given words, in any order.

Hypotheses are sorted into banks by how many of the words' tokens they hold, and the beams are
divided among the banks, so that ones that have begun a word are not crowded out by likelier ones
that have not. Only a hypothesis that holds every word may end; as in `beam.py` it must be among
the k best of those. Words may overlap ("aba" and "ab" are both held by "aba").

References: Hokamp & Liu 2017, arXiv:1704.07138 (grid beam search); Post & Vilar 2018,
arXiv:1804.06609 (dynamic beam allocation). Deviations: scores are those of `beam.py`; a word that
is broken off goes on from what the text still holds of it (Knuth, Morris & Pratt 1977).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from playground.decoding.beam import BeamSearch
from playground.decoding.lane import Lane
from playground.decoding.search import Move, Node, Search, View, length_normalised, top
from playground.errors import ConfigError, check_whole
from playground.models.base import ARModel
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
        if not 1 <= len(words) <= MAX_WORDS or not all(
            1 <= len(w) <= MAX_WORD_TOKENS for w in words
        ):
            raise ConfigError(
                f"force_words_ids must name 1 to {MAX_WORDS} words of 1 to {MAX_WORD_TOKENS} "
                f"tokens each, got {[len(word) for word in words]} tokens. Write words to be said."
            )
        object.__setattr__(self, "force_words_ids", tuple(dict.fromkeys(words)))

    def settings(self) -> dict[str, Any]:
        """Return what a Trace says of it, as JSON gives it back."""
        return super().settings() | {"force_words_ids": [list(w) for w in self.force_words_ids]}

    def check(self, model: ARModel, max_new_tokens: int, eos_token: int | None) -> None:
        """See that the words can be said.

        Raises:
            ConfigError: one has a token that the model has not, or the end in it; or there is not
                room for all of them.
        """
        for token in (token for word in self.force_words_ids for token in word):
            check_whole("each token of force_words_ids", token, 0, model.vocab_size - 1)
            if token == eos_token:
                raise ConfigError(
                    f"force_words_ids must not hold the end token {token}: nothing can follow it."
                )
        need = sum(map(len, self.force_words_ids))
        if need > max_new_tokens:
            raise ConfigError(
                f"force_words_ids need {need} tokens, max_new_tokens is {max_new_tokens}. Raise "
                "it, or force fewer words."
            )

    def start(self, lane: Lane) -> Search:
        return ConstrainedBeams(lane, rows=[Node(data=Progress(self.force_words_ids))])


@dataclass(frozen=True)
class Progress:
    """Which words a text does not hold yet, and how much of one it ends with."""

    unsaid: tuple[tuple[int, ...], ...]
    begun: tuple[int, ...] = ()  # the longest end of the text that such a word begins with

    @property
    def missing(self) -> int:
        """Tokens that are enough to say the rest: of the word begun, and of all others."""
        return sum(map(len, self.unsaid)) - len(self.begun)

    def next_tokens(self) -> set[int]:
        """Return the tokens that bring the text on."""
        n = len(self.begun)
        return {word[n] for word in self.unsaid if word[:n] == self.begun}

    def after(self, token: int) -> Progress:
        """Return the progress once `token` is said."""
        return _after(self, token)


@lru_cache(maxsize=4096)
def _after(progress: Progress, token: int) -> Progress:
    text = (*progress.begun, token)  # nothing before it can be part of a word that is unsaid
    unsaid = tuple(word for word in progress.unsaid if text[-len(word) :] != word)
    ends = (text[start:] for start in range(len(text) + 1))
    begun = next(end for end in ends if not end or any(w[: len(end)] == end for w in unsaid))
    return Progress(unsaid, begun)


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


@dataclass(frozen=True)
class Candidate:
    """A continuation, and what it would hold of the words."""

    logprob: float
    row: int
    token: int
    progress: Progress


@dataclass
class ConstrainedBeams(Search):
    """Rows in banks; `Node.data` is the Progress of each."""

    def move(self, view: View) -> Move:
        self._close_over(view)
        candidates = self._candidates(view)
        room = view.longest - view.made - 1  # tokens that can follow this one
        ends = [c.token == view.eos_token or view.is_last for c in candidates]
        whole = [(c, end) for c, end in zip(candidates, ends, strict=True) if not c.progress.unsaid]
        closing = [c for c, end in whole[: self.lane.strategy.num_beams] if end]
        going = [
            c for c, end in zip(candidates, ends, strict=True)
            if not end and c.progress.missing <= room
        ]  # fmt: skip
        return self._advance(view, self._share(going), closing, candidates)

    def _close_over(self, view: View) -> None:
        """Keep the rows whose constraint is complete, if they hold every word."""
        over = [n for n, over in zip(self.rows, view.is_over, strict=True) if over]
        self._keep([node for node in over if not node.data.unsaid])

    def _keep(self, nodes: Sequence[Node]) -> None:
        s: ConstrainedBeamSearch = self.lane.strategy
        if len(self.finished) < s.num_beams or s.early_stopping is not True:
            ranked = sorted([*self.finished, *nodes], key=lambda n: -n.score)
            self.finished = ranked[: s.num_beams]

    def _candidates(self, view: View) -> list[Candidate]:
        """Return, the best first, what is likely, what says more of a word, what may end."""
        rows = [row for row, over in enumerate(view.is_over) if not over]
        whole = [row for row in rows if not self.rows[row].data.unsaid]
        totals = view.shaped.double() + view.shaped.new_tensor(
            [[node.logprob] for node in self.rows], dtype=torch.float64
        )
        found: dict[tuple[int, int], float] = {}
        for some in (rows, whole) if whole != rows else (rows,):
            if some:
                likely = top(totals[some], 2 * self.lane.strategy.num_beams)
                found |= {(some[r], token): value for value, r, token in likely}
        pairs = [(row, token) for row in rows for token in self.rows[row].data.next_tokens()]
        if pairs:
            values = totals[tuple(zip(*pairs, strict=True))].tolist()
            found |= {
                pair: value for pair, value in zip(pairs, values, strict=True) if value > -1e300
            }
        ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
        return [
            Candidate(value, row, token, self.rows[row].data.after(token))
            for (row, token), value in ordered
        ]

    def _share(self, going: Sequence[Candidate]) -> list[Candidate]:
        """Return the best candidates of each bank, as many as it may have."""
        sizes: dict[int, int] = {}
        for c in going:
            sizes[c.progress.missing] = sizes.get(c.progress.missing, 0) + 1
        left = allot({-bank: size for bank, size in sizes.items()}, self.lane.strategy.num_beams)
        live = []
        for c in going:
            if left[-c.progress.missing]:
                left[-c.progress.missing] -= 1
                live.append(c)
        return live

    def _advance(
        self,
        view: View,
        live: Sequence[Candidate],
        closing: Sequence[Candidate],
        candidates: Sequence[Candidate],
    ) -> Move:
        both = [*live, *closing]
        told = view.tell(self.lane, [c.row for c in both], [c.token for c in both])
        nodes = [
            Node(facts, self.rows[c.row], c.logprob, self._score(c, view), c.progress)
            for facts, c in zip(told, both, strict=True)
        ]
        fates = dict.fromkeys(map(id, live), "live") | dict.fromkeys(map(id, closing), "finished")
        in_order = [*live, *(c for c in candidates if fates.get(id(c)) != "live")]
        self.weighed.append(
            tuple(self._hypothesis(c, view, fates.get(id(c), "pruned")) for c in in_order)
        )
        self._keep(nodes[len(live) :])
        if not live and not self.finished:  # what shapes the logits forbids a word: stop here
            self.is_done = True
            return Move([], [], [])
        self.rows = nodes[: len(live)]
        self.is_done = not live or self._cannot_improve(view)
        processed = [facts.logprob_processed for facts in told[: len(live)]]
        return Move([c.row for c in live], [c.token for c in live], processed)

    def _score(self, c: Candidate, view: View) -> float:
        return length_normalised(c.logprob, view.made + 1, self.lane.strategy.length_penalty)

    def _hypothesis(self, c: Candidate, view: View, fate: str) -> Hypothesis:
        """Tell of a candidate; its group is how many tokens of the words it has said."""
        said = sum(map(len, self.lane.strategy.force_words_ids)) - c.progress.missing
        return Hypothesis(c.row, c.token, c.logprob, self._score(c, view), fate, said)

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
