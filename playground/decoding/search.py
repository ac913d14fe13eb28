"""What searches have in common: rows of hypotheses, a tree of decisions, whole results.

A Search keeps r rows of the model alive. At each position the Run shows it a View of them and is
told by a Move which rows go on and with what tokens. It remembers its hypotheses as Nodes, so the
text of any of them is the way back to the root.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from playground.decoding.decide import Told, tell
from playground.decoding.lane import Lane
from playground.decoding.strategies import Strategy
from playground.traces.trace import Alternative, Hypothesis, Step


@dataclass(frozen=True)
class View:
    """r rows of a lane at one position, as its Search sees them."""

    stages: Tensor  # (S, r, V): log p of the model, then after each processor, not renormalised
    hidden: Tensor | None  # (r, N, C) of what was just read, for a Search that asks for it
    position: int
    made: int  # tokens decided before this position
    longest: int  # tokens a hypothesis can have
    is_over: Sequence[bool]  # rows whose constraint says that their text is complete
    eos_token: int | None
    slid: int
    n_candidates: int

    @property
    def is_last(self) -> bool:
        """True if no position follows."""
        return self.made + 1 >= self.longest

    @property
    def shaped(self) -> Tensor:
        """log p (r, V) after the processors; as in transformers it is not renormalised."""
        return self.stages[-1]

    def tell(self, lane: Lane, rows: Sequence[int], tokens: Sequence[int]) -> list[Told]:
        """Tell that `tokens` came from `rows`."""
        if not tokens:
            return []
        device = self.stages.device
        return tell(
            self.stages, torch.tensor(tokens, device=device), [lane] * len(tokens), self.position,
            rows=torch.tensor(rows, device=device), slid=self.slid, n_candidates=self.n_candidates,
        )  # fmt: skip


@dataclass(frozen=True)
class Move:
    """Which rows go on: row i of the next position is row `parents[i]` and `tokens[i]`."""

    parents: Sequence[int]
    tokens: Sequence[int]
    logprobs: Sequence[float]  # of the tokens, after the processors


@dataclass(frozen=True, eq=False)
class Node:
    """A hypothesis: its newest decision, and the one it continues."""

    told: Told | None = None  # None at the root
    parent: Node | None = None
    logprob: float = 0.0  # sum of log p after the processors
    score: float = 0.0
    data: Any = None  # what a kind of search remembers besides

    @cached_property
    def length(self) -> int:
        return 0 if self.parent is None else self.parent.length + 1

    @property
    def path(self) -> list[Node]:
        """The nodes from the first decision to this one."""
        node, found = self, []
        while node.parent is not None:
            found.append(node)
            node = node.parent
        return found[::-1]

    @property
    def tokens(self) -> tuple[int, ...]:
        return tuple(node.told.token for node in self.path)

    @cached_property
    def step(self) -> Step:
        return self.told.step()


@runtime_checkable
class SearchStrategy(Strategy, Protocol):
    """A strategy that keeps several hypotheses alive."""

    @property
    def max_rows(self) -> int:
        """The most rows of the model that it holds at once."""
        ...

    def start(self, lane: Lane) -> Search:
        """Return the search before its first position, with its first rows."""
        ...


@dataclass
class Search:
    """The hypotheses of a lane, and what was weighed so far."""

    lane: Lane
    rows: list[Node] = field(default_factory=lambda: [Node()])
    finished: list[Node] = field(default_factory=list)  # whole results, the best first
    weighed: list[tuple[Hypothesis, ...]] = field(default_factory=list)
    is_done: bool = False
    calls: int = 0  # of the model since the prompt; counted by the Run

    def move(self, view: View) -> Move:
        """Decide a position; rows that are left out or `is_done` end the lane's use of them."""
        raise NotImplementedError

    def sample_of(self, row: int) -> int:
        """Return which of the lane's samples `row` is, for processors that toss coins."""
        return 0

    def best(self) -> Node:
        """Return the hypothesis that is shown: the best whole one, or the leading row."""
        if self.finished and (self.is_done or not self.rows):
            return self.finished[0]
        return self.rows[0]

    def results(self) -> list[Node]:
        """Return the whole results, the best first; until the end those still growing as well."""
        if self.is_done and self.finished:
            return self.finished
        return sorted([*self.finished, *self.rows], key=lambda node: -node.score)

    def steps(self) -> tuple[Step, ...]:
        """Return the decisions of the hypothesis that is shown."""
        return tuple(node.step for node in self.best().path)

    def alternatives(self) -> tuple[Alternative, ...]:
        """Return the results; there are none before the first decision."""
        found = self.results() if self.weighed or self.finished else []
        return tuple(Alternative(n.tokens, n.logprob, n.score) for n in found)


def length_normalised(logprob: float, length: int, length_penalty: float) -> float:
    """Return the score of a whole hypothesis: sum of log p over length ** length_penalty.

    Above 0 long ones gain, since log p is negative; 0 leaves the sum, which prefers short ones.
    """
    return logprob / max(1, length) ** length_penalty


def gumbel(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return standard Gumbel noise in doubles."""
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64)  # in [0, 1)
    exponential = -uniform.clamp(min=1e-300).log()
    return -exponential.log()


def top(values: Tensor, count: int, noise: Tensor | None = None) -> list[tuple[float, int, int]]:
    """Return the `count` largest of values (r, V) as (value, row, column), without -inf.

    With `noise` (r, V) the sums with it are compared, and the values returned in their order.
    """
    flat, width = values.flatten(), values.shape[1]
    ranked = flat if noise is None else flat + noise.to(values).flatten()
    indices = ranked.topk(min(count, len(ranked))).indices
    pairs = zip(flat[indices].tolist(), indices.tolist(), strict=True)
    return [(value, *divmod(index, width)) for value, index in pairs if value > -math.inf]
