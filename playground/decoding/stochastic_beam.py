"""Stochastic beam search: k different sequences, drawn without replacement from the model.

Every sequence gets its log p plus Gumbel noise; the k largest sums are a sample without
replacement. They are found from the root down, because the largest sum below a hypothesis can be
drawn before its continuations are: given that maximum, the sums of the continuations are drawn so
that their maximum is it.

Reference: Kool et al. 2019, arXiv:1903.06059 (algorithm 1; appendix B.3 for the stable form).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from playground.decoding.beam import MAX_BEAMS
from playground.decoding.lane import Lane
from playground.decoding.search import Move, Node, Search, View, gumbel, top
from playground.decoding.strategies import Settings
from playground.errors import check_whole
from playground.traces.trace import Hypothesis


@dataclass(frozen=True)
class StochasticBeamSearch(Settings):
    """Draw `num_beams` different continuations, without replacement."""

    num_beams: int = 4

    name = "stochastic_beam_search"

    def __post_init__(self):
        check_whole("num_beams", self.num_beams, 1, MAX_BEAMS)

    @property
    def max_rows(self) -> int:
        return self.num_beams

    def start(self, lane: Lane) -> Search:
        return StochasticBeams(lane)


def with_maximum(values: Tensor, maximum: Tensor) -> Tensor:
    """Shift Gumbels (r, V) so that each row's maximum is the one given (r, 1); order is kept.

    Kool et al. 2019, eq. 23: v = T - g + log1mexp(g - Z); g' = T - max(0, v) - log1pexp(-|v|).
    """
    largest = values.amax(-1, keepdim=True)
    below = (values - largest).clamp(max=-1e-300)
    v = maximum - values + torch.where(
        below > -math.log(2), torch.log(-torch.expm1(below)), torch.log1p(-torch.exp(below))
    )  # fmt: skip
    moved = maximum - v.clamp(min=0) - torch.log1p(torch.exp(-v.abs()))
    return torch.where(values == -torch.inf, -torch.inf, moved)


@dataclass
class StochasticBeams(Search):
    """Rows and whole results, all of them ranked by their perturbed log p (`Node.score`)."""

    def move(self, view: View) -> Move:
        k = self.lane.strategy.num_beams
        self.finished += [n for n, over in zip(self.rows, view.is_over, strict=True) if over]
        rows = [i for i, over in enumerate(view.is_over) if not over]
        ahead = sorted((node.score for node in self.finished), reverse=True)[:k]
        weighed, kept = [], []
        for score, logprob, row, token in self._drawn(view, rows) if rows else []:
            ends = view.is_last or token == view.eos_token
            has_room = sum(other > score for other in ahead) + len(kept) < k
            fate = "pruned" if not has_room else "finished" if ends else "live"
            weighed.append(Hypothesis(row, token, logprob, score, fate))
            if has_room:
                kept.append((row, token, logprob, score, ends))
        return self._advance(view, kept, weighed)

    def _drawn(self, view: View, rows: list[int]) -> list[tuple[float, float, int, int]]:
        """Return the k continuations of `rows` with the largest perturbed log p.

        Each is (perturbed log p, log p, row, token), the largest first.
        """
        logprobs = view.stages[-1][rows].log_softmax(-1, dtype=torch.float64).cpu()  # (r, V)
        own = torch.tensor([[self.rows[i].logprob] for i in rows], dtype=torch.float64)
        sums = logprobs + own
        perturbed = sums + gumbel(sums.shape, self.lane.noise(view.position, "gumbel"))
        if view.made:
            most = torch.tensor([[self.rows[i].score] for i in rows], dtype=torch.float64)
            perturbed = with_maximum(perturbed, most)
        return [
            (score, sums[r, token].item(), rows[r], token)
            for score, r, token in top(perturbed, self.lane.strategy.num_beams)
        ]

    def _advance(self, view: View, kept: list, weighed: list[Hypothesis]) -> Move:
        k = self.lane.strategy.num_beams
        told = view.tell(self.lane, [c[0] for c in kept], [c[1] for c in kept])
        nodes = [
            (Node(facts, self.rows[row], logprob, score), row, ends)
            for facts, (row, _, logprob, score, ends) in zip(told, kept, strict=True)
        ]
        closed = [node for node, _, ends in nodes if ends]
        going = [(node, row) for node, row, ends in nodes if not ends]
        self.finished = sorted([*self.finished, *closed], key=lambda n: -n.score)[:k]
        self.weighed.append(tuple(weighed))
        self.rows = [node for node, _ in going]
        self.is_done = not going
        facts = [node.told for node in self.rows]
        return Move(
            [row for _, row in going],
            [f.token for f in facts],
            [f.logprob_processed for f in facts],
        )
