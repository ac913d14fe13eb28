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

    def start(self, lane: Lane) -> Search:
        return Samples(lane)

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

    def start(self, lane: Lane) -> Search:
        return Samples(lane)

    def rank(self, nodes: Sequence[Node]) -> list[Node]:
        """Return the whole samples by expected utility: the mean over all samples, it included."""
        texts = [node.tokens for node in nodes]
        scored = [
            replace(node, score=sum(utility(text, other) for other in texts) / len(texts))
            for node, text in zip(nodes, texts, strict=True)
        ]
        return sorted(scored, key=lambda node: -node.score)


def raw_logprob(node: Node) -> float:
    """Return the sum of log p under the raw model."""
    return sum(n.told.numbers[2 * n.told.n_ids - 1] for n in node.path)


def utility(hypothesis: Sequence[int], reference: Sequence[int]) -> float:
    """Return how alike two sequences are: the mean F1 of their shared 1- to 4-grams, in [0, 1].

    It is chrF (Popović 2015) with tokens for characters and beta 1, so it serves any modality.
    Orders that neither sequence is long enough for are left out; two empty ones are alike.
    """
    scores = []
    for order in range(1, MAX_ORDER + 1):
        ours, theirs = _ngrams(hypothesis, order), _ngrams(reference, order)
        total = sum(ours.values()) + sum(theirs.values())
        if total:
            scores.append(2 * sum((ours & theirs).values()) / total)
    return sum(scores) / len(scores) if scores else 1.0


def _ngrams(tokens: Sequence[int], order: int) -> Counter:
    return Counter(tuple(tokens[i : i + order]) for i in range(len(tokens) - order + 1))


@dataclass
class Samples(Search):
    """n samples that run side by side; row r has the noise of the lane's r-th sample."""

    numbers: list[int] = field(default_factory=list)  # which sample each row is

    def move(self, view: View) -> Move:
        parents = list(range(len(self.rows)))
        if not view.made:
            n = self.lane.strategy.n
            self.numbers, parents = list(range(n)), [0] * n
        uniforms = [[self.lane.uniform(view.position, row=n)] for n in self.numbers]
        logits = view.shaped[parents]
        tokens = Sample().choose(logits, torch.tensor(uniforms, dtype=torch.float64)).tolist()
        over = [view.is_over[row] for row in parents]
        self.finished += [self.rows[row] for row, end in zip(parents, over, strict=True) if end]
        going = [i for i, end in enumerate(over) if not end]
        told = view.tell(self.lane, [parents[i] for i in going], [tokens[i] for i in going])
        rows, numbers, kept, weighed = [], [], [], []
        for i, facts in zip(going, told, strict=True):
            parent = self.rows[parents[i]]
            logprob = parent.logprob + facts.logprob_processed
            node = Node(facts, parent, logprob, logprob)
            ends = view.is_last or facts.token == view.eos_token
            weighed.append(
                Hypothesis(
                    parents[i], facts.token, logprob, logprob, "finished" if ends else "live"
                )
            )
            if ends:
                self.finished.append(node)
            else:
                rows.append(node)
                numbers.append(self.numbers[i])
                kept.append(i)
        self.weighed.append(tuple(weighed))
        self.rows, self.numbers, self.is_done = rows, numbers, not rows
        if self.is_done:
            self.finished = self.lane.strategy.rank(self.finished)
        return Move(
            [parents[i] for i in kept],
            [node.told.token for node in rows],
            [node.told.logprob_processed for node in rows],
        )

    def results(self) -> list[Node]:
        """Return all samples, ranked even where some still grow."""
        if self.is_done:
            return self.finished
        return self.lane.strategy.rank([*self.finished, *self.rows])
