"""Many samples, one kept: the likeliest of n, or the one that the others agree with most.

References: best-of-n as in Stiennon et al. 2020, arXiv:2009.01325 (there by a reward; here by the
model's own log p); minimum Bayes risk: Kumar & Byrne 2004; Eikema & Aziz 2020, arXiv:2005.10283.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from playground.decoding.lane import Lane
from playground.decoding.search import Move, Node, Search, View, length_normalised
from playground.decoding.strategies import Sample, Settings
from playground.errors import check_range, check_whole
from playground.traces.trace import Hypothesis

MAX_SAMPLES = 64
MAX_ORDER = 4  # longest n-gram that two samples are compared by


@dataclass(frozen=True)
class BestOfN(Settings):
    """Draw n samples and keep the one with the best log p, normalised by its length."""

    n: int = 4
    length_penalty: float = 1.0

    name = "best_of_n"

    def __post_init__(self):
        check_whole("n", self.n, 1, MAX_SAMPLES)
        check_range("length_penalty", self.length_penalty, -5.0, 5.0)

    @property
    def max_rows(self) -> int:
        return self.n

    def start(self, lane: Lane) -> Search:
        return Samples.of(lane, self.n)

    def rank(self, nodes: Sequence[Node]) -> list[Node]:
        """Return the whole samples, the best first, with their scores."""
        scored = [
            replace(n, score=length_normalised(raw_logprob(n), n.length, self.length_penalty))
            for n in nodes
        ]
        return sorted(scored, key=lambda node: -node.score)


@dataclass(frozen=True)
class MinimumBayesRisk(Settings):
    """Draw n samples and keep the one that is most like the others, by shared n-grams."""

    n: int = 8

    name = "minimum_bayes_risk"

    def __post_init__(self):
        check_whole("n", self.n, 2, MAX_SAMPLES)

    @property
    def max_rows(self) -> int:
        return self.n

    def start(self, lane: Lane) -> Search:
        return Samples.of(lane, self.n)

    def rank(self, nodes: Sequence[Node]) -> list[Node]:
        """Return the whole samples by expected utility: the mean over all samples, it included."""
        texts = [all_ngrams(node.tokens) for node in nodes]
        totals = [0.0] * len(texts)
        for i, text in enumerate(texts):
            totals[i] += 1.0  # it is like itself
            for j, other in enumerate(texts[:i]):  # as alike as the other to this one
                alike = likeness(text, other)
                totals[i] += alike
                totals[j] += alike
        scored = [
            replace(node, score=total / len(texts))
            for node, total in zip(nodes, totals, strict=True)
        ]
        return sorted(scored, key=lambda node: -node.score)


def raw_logprob(node: Node) -> float:
    """Return the sum of log p under the raw model."""
    return sum(n.told.numbers[2 * n.told.n_ids - 1] for n in node.path)


def utility(hypothesis: Sequence[int], reference: Sequence[int]) -> float:
    """Return how alike two sequences are, by their shared 1- to 4-grams, in [0, 1].

    It is chrF (Popović 2015) with tokens for characters and beta 1, so it serves any modality:
    the harmonic mean of precision and recall, each a mean over the orders. Orders that neither
    sequence is long enough for are left out; two empty ones are alike. sacrebleu also leaves out
    orders that one of them is too short for; here nothing is shared in those, or a text of one
    token would lose nothing by its brevity.
    """
    return likeness(all_ngrams(hypothesis), all_ngrams(reference))


def all_ngrams(tokens: Sequence[int]) -> list[Counter]:
    """Return how often each n-gram occurs, for every order up to the longest that is compared."""
    return [
        Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
        for n in range(1, MAX_ORDER + 1)
    ]


def likeness(ours: Sequence[Counter], theirs: Sequence[Counter]) -> float:
    """Return the `utility` of two sequences from the n-grams of each."""
    precision = recall = orders = 0.0
    for own, other in zip(ours, theirs, strict=True):
        n_own, n_other = own.total(), other.total()
        if n_own or n_other:
            shared = (own & other).total()
            precision += shared / max(1, n_own)
            recall += shared / max(1, n_other)
            orders += 1
    if not orders:
        return 1.0
    return 2 * precision * recall / (precision + recall) / orders if precision else 0.0


@dataclass
class Samples(Search):
    """n samples that run side by side; row r has the noise of the lane's r-th sample."""

    numbers: list[int] = field(default_factory=list)  # which sample each row is

    @classmethod
    def of(cls, lane: Lane, n: int) -> Samples:
        return cls(lane, rows=[Node()] * n, numbers=list(range(n)))

    def sample_of(self, row: int) -> int:
        return self.numbers[row]

    def move(self, view: View) -> Move:
        self.finished += [n for n, over in zip(self.rows, view.is_over, strict=True) if over]
        rows = [row for row, over in enumerate(view.is_over) if not over]
        uniforms = [[self.lane.uniform(view.position, row=n)] for n in self.numbers]
        tokens = Sample().choose(view.shaped, torch.tensor(uniforms, dtype=torch.float64)).tolist()
        told = view.tell(self.lane, rows, [tokens[row] for row in rows])
        kept, nodes, weighed = [], [], []
        for row, facts in zip(rows, told, strict=True):
            logprob = self.rows[row].logprob + facts.logprob_processed
            node = Node(facts, self.rows[row], logprob, logprob)
            ends = view.is_last or facts.token == view.eos_token
            parent, fate = row if view.made else 0, "finished" if ends else "live"
            weighed.append(Hypothesis(parent, facts.token, logprob, logprob, fate))
            if ends:
                self.finished.append(node)
            else:
                kept.append(row)
                nodes.append(node)
        self.weighed.append(tuple(weighed))
        self.rows, self.numbers = nodes, [self.numbers[row] for row in kept]
        self.is_done = not nodes
        if self.is_done:
            self.finished = self.lane.strategy.rank(self.finished)
        facts = [node.told for node in nodes]
        return Move(kept, [f.token for f in facts], [f.logprob_processed for f in facts])

    def results(self) -> list[Node]:
        """Return all samples, ranked even where some still grow."""
        if self.is_done:
            return self.finished
        return self.lane.strategy.rank([*self.finished, *self.rows])
