"""Beam search, its sampling and its diverse form: the k best continuations, all of them kept.

The rules are those of `generate` in transformers 5: 2k candidates are looked at, so that k can go
on when others end; only the k best of them may end; scores are sums of log p after the processors
(not renormalised), divided by length ** length_penalty once a hypothesis is whole.

References: Graves 2012, arXiv:1211.3711; Wu et al. 2016, arXiv:1609.08144 (length penalty);
Vijayakumar et al. 2016, arXiv:1610.02424 (diverse beam search). Beam search is a heuristic: the
most likely sequence may have left the beam (Stahlberg & Byrne 2019, arXiv:1908.10090).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from playground.decoding.lane import Lane
from playground.decoding.search import (
    Move,
    Node,
    Search,
    View,
    gumbel,
    length_normalised,
    top,
)
from playground.decoding.strategies import Settings
from playground.errors import ConfigError, check_range, check_whole
from playground.traces.trace import Hypothesis

MAX_BEAMS = 32
EARLY_STOPPING = (False, True, "never")


def check_beams(num_beams: int, length_penalty: float, early_stopping: bool | str) -> None:
    """Raise ConfigError unless the settings that all beams share are in their ranges."""
    check_whole("num_beams", num_beams, 1, MAX_BEAMS)
    check_range("length_penalty", length_penalty, -5.0, 5.0)
    if early_stopping not in EARLY_STOPPING:
        raise ConfigError(f"early_stopping must be one of {EARLY_STOPPING}, got {early_stopping!r}")


@dataclass(frozen=True)
class BeamSearch(Settings):
    """Keep the `num_beams` most likely continuations."""

    num_beams: int = 4
    length_penalty: float = 1.0
    early_stopping: bool | str = False

    name = "beam_search"

    def __post_init__(self):
        check_beams(self.num_beams, self.length_penalty, self.early_stopping)

    def start(self, lane: Lane) -> Search:
        return Beams(lane, groups=[Beam(self)])


@dataclass(frozen=True)
class BeamSample(BeamSearch):
    """Draw the continuations that are looked at, without replacement, instead of the best."""

    name = "beam_sample"

    def start(self, lane: Lane) -> Search:
        return Beams(lane, groups=[Beam(self, is_random=True)])


@dataclass(frozen=True)
class DiverseBeamSearch(BeamSearch):
    """Let groups of beams search in turn, each penalised for tokens that those before it took."""

    num_beam_groups: int = 2
    diversity_penalty: float = 1.0

    name = "diverse_beam_search"

    def __post_init__(self):
        super().__post_init__()
        check_whole("num_beam_groups", self.num_beam_groups, 1, MAX_BEAMS)
        check_range("diversity_penalty", self.diversity_penalty, 0.0, 100.0)
        if self.num_beams % self.num_beam_groups:
            raise ConfigError(
                f"num_beam_groups must divide num_beams, got {self.num_beam_groups} groups of "
                f"{self.num_beams} beams. Take {self.num_beam_groups * 2} beams, for example."
            )

    def start(self, lane: Lane) -> Search:
        own = replace(self, num_beams=self.num_beams // self.num_beam_groups)
        groups = [Beam(own, group=g) for g in range(self.num_beam_groups)]
        return Beams(lane, groups=groups, diversity_penalty=self.diversity_penalty)


@dataclass(frozen=True)
class Candidate:
    """One of the continuations that a beam looks at."""

    logprob: float  # of all its tokens
    row: int  # index among the rows of the lane
    token: int
    fate: str


@dataclass
class Beam:
    """The hypotheses of one group: indices of the lane's rows, and its whole results."""

    strategy: BeamSearch
    group: int = 0
    is_random: bool = False
    rows: list[int] = field(default_factory=lambda: [0])
    finished: list[Node] = field(default_factory=list)
    is_done: bool = False

    def choose(self, totals: Tensor, view: View, noise: torch.Generator | None) -> list[Candidate]:
        """Return the candidates of totals (len(rows), V): sums of log p with the token's own."""
        k, eos = self.strategy.num_beams, view.eos_token
        if noise is None:
            found = top(totals, 2 * k)
        else:  # the largest of log p + Gumbel noise are a draw without replacement
            drawn = top(totals + gumbel(tuple(totals.shape), noise).to(totals), 2 * k)
            found = [(totals[row, token].item(), row, token) for _, row, token in drawn]
        ends = [view.is_last or token == eos for _, _, token in found]
        going = sorted(
            (i for i, end in enumerate(ends) if not end), key=lambda i: -found[i][0]
        )[:k]  # fmt: skip
        fates = {i: "live" for i in going} | {
            i: "finished" for i, end in enumerate(ends[:k]) if end
        }
        found_in_order = [*going, *(i for i in range(len(found)) if i not in set(going))]
        return [
            Candidate(found[i][0], self.rows[found[i][1]], found[i][2], fates.get(i, "pruned"))
            for i in found_in_order
        ]

    def keep(self, node: Node) -> None:
        """Keep a whole hypothesis if it is among the best."""
        k = self.strategy.num_beams
        if len(self.finished) == k and self.strategy.early_stopping is True:
            return
        self.finished = sorted([*self.finished, node], key=lambda n: -n.score)[:k]

    def check_done(self, best_running: float | None, made: int, longest: int) -> None:
        """Set `is_done` if no running hypothesis can better the whole ones.

        `made` tokens are decided, `longest` can be. Unless early_stopping says "never" this is a
        heuristic: a longer hypothesis might still gain by a length penalty above 0.
        """
        s = self.strategy
        if best_running is None:
            self.is_done = True
        if len(self.finished) < s.num_beams:
            return
        length = longest if s.early_stopping == "never" and s.length_penalty > 0 else made
        possible = length_normalised(best_running or 0.0, length, s.length_penalty)
        if s.early_stopping is True or possible <= self.finished[-1].score:
            self.is_done = True


@dataclass
class Beams(Search):
    """One or more groups of beams that share a lane."""

    groups: list[Beam] = field(default_factory=list)
    diversity_penalty: float = 0.0

    def move(self, view: View) -> Move:
        taken = torch.zeros_like(view.shaped[0])  # how often groups took each token just now
        going: list[tuple[Beam, Candidate]] = []
        closing: list[tuple[Beam, Candidate]] = []
        weighed: list[Hypothesis] = []
        for beam in self.groups:
            self._close_over(beam, view)
            if beam.is_done or not beam.rows:
                beam.rows = []
                continue
            found = beam.choose(self._totals(beam, view, taken), view, self._noise(beam, view))
            for c in found:
                if c.fate == "live":
                    going.append((beam, c))
                    taken[c.token] += 1
                elif c.fate == "finished":
                    closing.append((beam, c))
                weighed.append(self._hypothesis(beam, c, view))
        self.weighed.append(tuple(weighed))
        return self._advance(view, going, closing)

    def _totals(self, beam: Beam, view: View, taken: Tensor) -> Tensor:
        own = view.shaped[beam.rows] - self.diversity_penalty * taken
        sums = torch.tensor([self.rows[row].logprob for row in beam.rows], dtype=torch.float64)
        return own.double() + sums.to(own.device)[:, None]

    def _noise(self, beam: Beam, view: View) -> torch.Generator | None:
        return self.lane.noise(view.position, f"beam{beam.group}") if beam.is_random else None

    def _close_over(self, beam: Beam, view: View) -> None:
        for row in [row for row in beam.rows if view.is_over[row]]:
            beam.rows.remove(row)
            node = self.rows[row]
            penalty = beam.strategy.length_penalty
            beam.keep(replace(node, score=length_normalised(node.logprob, node.length, penalty)))

    def _hypothesis(self, beam: Beam, c: Candidate, view: View) -> Hypothesis:
        score = length_normalised(c.logprob, view.made + 1, beam.strategy.length_penalty)
        return Hypothesis(c.row, c.token, c.logprob, score, c.fate, beam.group)

    def _advance(
        self,
        view: View,
        going: Sequence[tuple[Beam, Candidate]],
        closing: Sequence[tuple[Beam, Candidate]],
    ) -> Move:
        both = [*going, *closing]
        told = view.tell(self.lane, [c.row for _, c in both], [c.token for _, c in both])
        nodes = []
        for (beam, c), facts in zip(both, told, strict=True):
            score = length_normalised(c.logprob, view.made + 1, beam.strategy.length_penalty)
            nodes.append(Node(facts, self.rows[c.row], c.logprob, score))
        for (beam, _), node in zip(closing, nodes[len(going) :], strict=True):
            beam.keep(node)
        self.rows = nodes[: len(going)]
        for beam in self.groups:
            beam.rows = [i for i, (owner, _) in enumerate(going) if owner is beam]
            best = self.rows[beam.rows[0]].logprob if beam.rows else None
            beam.check_done(best, view.made + 1, view.longest)
        self.finished = sorted((n for b in self.groups for n in b.finished), key=lambda n: -n.score)
        self.is_done = all(beam.is_done for beam in self.groups)
        processed = [facts.logprob_processed for facts in told[: len(going)]]
        return Move([c.row for _, c in going], [c.token for _, c in going], processed)
