"""Beam search, its sampling and its diverse form: the k best continuations, all of them kept.

The rules are those of `generate` in transformers 5: 2k candidates are looked at, so that k can go
on when others end; only the k best of them may end; scores are sums of log p after the processors
(not renormalised), divided by length ** length_penalty once a hypothesis is whole. One beam ends
with its first end token, so it is greedy decoding, or a sample.

References: Graves 2012, arXiv:1211.3711; Wu et al. 2016, arXiv:1609.08144 (length penalty);
Vijayakumar et al. 2016, arXiv:1610.02424 (diverse beam search). Beam search is a heuristic: the
most likely sequence may have left the beam (Stahlberg & Byrne 2019, arXiv:1908.10090).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

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
    if not isinstance(early_stopping, bool) and early_stopping != "never":
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

    @property
    def max_rows(self) -> int:
        return self.num_beams

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
        each = self.num_beams // self.num_beam_groups
        own = BeamSearch(each, self.length_penalty, self.early_stopping)
        groups = [Beam(own, group=g) for g in range(self.num_beam_groups)]
        return Beams(lane, groups=groups, diversity_penalty=self.diversity_penalty)


@dataclass(frozen=True)
class Candidate:
    """One of the continuations that a beam looks at."""

    total: float  # log p of all its tokens, less what its group has paid: what it is ranked by
    paid: float
    row: int  # index among the rows of the lane
    token: int
    fate: str

    @property
    def logprob(self) -> float:
        return self.total + self.paid


Found = tuple[float, int, int, str]  # total, row of the lane, token, fate


@dataclass
class Beam:
    """The hypotheses of one group: indices of the lane's rows, and its whole results."""

    strategy: BeamSearch
    group: int = 0
    is_random: bool = False
    rows: list[int] = field(default_factory=lambda: [0])
    finished: list[Node] = field(default_factory=list)
    is_done: bool = False

    def choose(self, totals: Tensor, view: View, noise: Tensor | None) -> list[Found]:
        """Return the candidates of totals (len(rows), V), those that go on first.

        With `noise` they are drawn without replacement: the largest sums of log p and Gumbel
        noise are such a draw, in its order.
        """
        k, eos = self.strategy.num_beams, view.eos_token
        found = top(totals, 2 * k, noise)
        ends = [view.is_last or token == eos for _, _, token in found]
        reach = len(found) if k > 1 else 1
        going = [i for i in range(reach) if not ends[i]]
        going = sorted(going, key=lambda i: -found[i][0])[:k]
        fates = dict.fromkeys(range(len(found)), "pruned")
        fates |= {i: "finished" for i, end in enumerate(ends[:k]) if end}
        fates |= dict.fromkeys(going, "live")
        in_order = [*going, *(i for i, fate in fates.items() if fate != "live")]
        return [(found[i][0], self.rows[found[i][1]], found[i][2], fates[i]) for i in in_order]

    def keep(self, nodes: Sequence[Node]) -> None:
        """Keep whole hypotheses that are among the best."""
        k = self.strategy.num_beams
        if len(self.finished) < k or self.strategy.early_stopping is not True:
            self.finished = sorted([*self.finished, *nodes], key=lambda n: -n.score)[:k]

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
    """One or more groups of beams that share a lane.

    `Node.data` is the sum of the penalties that its group was charged for its tokens.
    """

    groups: list[Beam] = field(default_factory=list)
    diversity_penalty: float = 0.0

    def move(self, view: View) -> Move:
        taken: Counter[int] = Counter()  # how many beams of earlier groups took each token
        chosen: list[tuple[Beam, Candidate]] = []
        for beam in self.groups:
            self._close_over(beam, view)
            if beam.is_done or not beam.rows:
                beam.rows = []
                continue
            totals = self._totals(beam, view, taken)
            found = beam.choose(totals, view, self._noise(beam, view, totals))
            for total, row, token, fate in found:
                paid = (self.rows[row].data or 0.0) + self.diversity_penalty * taken[token]
                chosen.append((beam, Candidate(total, paid, row, token, fate)))
            taken.update(t for *_, t, fate in found if fate != "pruned" and t != view.eos_token)
        self.weighed.append(tuple(self._hypothesis(beam, c, view) for beam, c in chosen))
        going = [pair for pair in chosen if pair[1].fate == "live"]
        closing = [pair for pair in chosen if pair[1].fate == "finished"]
        return self._advance(view, going, closing)

    def _totals(self, beam: Beam, view: View, taken: Counter[int]) -> Tensor:
        """Return what the continuations (len(beam.rows), V) of a group are ranked by."""
        own = view.shaped if len(beam.rows) == len(self.rows) else view.shaped[beam.rows]
        sums = [[self.rows[row].logprob - (self.rows[row].data or 0.0)] for row in beam.rows]
        totals = own.double() + torch.tensor(sums, dtype=torch.float64, device=own.device)
        if taken and self.diversity_penalty:
            tokens, counts = list(taken), torch.tensor([*taken.values()], dtype=torch.float64)
            totals[:, tokens] -= self.diversity_penalty * counts.to(own.device)
        return totals

    def _noise(self, beam: Beam, view: View, totals: Tensor) -> Tensor | None:
        if not beam.is_random:
            return None
        return gumbel(totals.shape, self.lane.noise(view.position, f"beam{beam.group}"))

    def _close_over(self, beam: Beam, view: View) -> None:
        """Keep the rows whose constraint is complete as whole results."""
        over = [row for row in beam.rows if view.is_over[row]]
        beam.rows = [row for row in beam.rows if not view.is_over[row]]
        beam.keep([self.rows[row] for row in over])  # their scores are of their length already

    def _score(self, beam: Beam, c: Candidate, view: View) -> float:
        return length_normalised(c.total, view.made + 1, beam.strategy.length_penalty)

    def _hypothesis(self, beam: Beam, c: Candidate, view: View) -> Hypothesis:
        score = self._score(beam, c, view)
        return Hypothesis(c.row, c.token, c.logprob, score, c.fate, beam.group)

    def _advance(
        self,
        view: View,
        going: Sequence[tuple[Beam, Candidate]],
        closing: Sequence[tuple[Beam, Candidate]],
    ) -> Move:
        both = [*going, *closing]
        told = view.tell(self.lane, [c.row for _, c in both], [c.token for _, c in both])
        nodes = [
            Node(facts, self.rows[c.row], c.logprob, self._score(beam, c, view), c.paid)
            for (beam, c), facts in zip(both, told, strict=True)
        ]
        self.rows = nodes[: len(going)]
        for beam in self.groups:
            ended = zip(closing, nodes[len(going) :], strict=True)
            beam.keep([node for (owner, _), node in ended if owner is beam])
            beam.rows = [i for i, (owner, _) in enumerate(going) if owner is beam]
            best = going[beam.rows[0]][1].total if beam.rows else None
            beam.check_done(best, view.made + 1, view.longest)
        self.finished = sorted((n for b in self.groups for n in b.finished), key=lambda n: -n.score)
        self.is_done = all(beam.is_done for beam in self.groups)
        processed = [facts.logprob_processed for facts in told[: len(going)]]
        return Move([c.row for _, c in going], [c.token for _, c in going], processed)
