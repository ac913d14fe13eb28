"""Contrastive search: likely, but not a repetition of what the text has said already.

Of the k likeliest tokens the one with the largest (1 - a) p - a * m is taken, where m is the
largest cosine between its hidden state and those of the text so far. To know its hidden state the
model must have read it, so the k candidates are rows of the model and a decision comes one model
call after its distribution.

Reference: Su et al. 2022, arXiv:2202.06417, eq. 5. Deviation: a model without hidden states (the
n-gram) is represented by the distribution that it expects next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from playground.decoding.decide import Told, tell
from playground.decoding.lane import Lane
from playground.decoding.search import Move, Node, Search, View
from playground.decoding.strategies import Settings
from playground.errors import check_range, check_whole
from playground.models.base import ARModel, HasLayers, State
from playground.traces.trace import Hypothesis

MAX_CANDIDATES = 32


@dataclass(frozen=True)
class ContrastiveSearch(Settings):
    """Take the likeliest of `top_k` tokens that does not repeat what was said."""

    penalty_alpha: float = 0.6
    top_k: int = 4

    name = "contrastive_search"

    def __post_init__(self):
        check_range("penalty_alpha", self.penalty_alpha, 0.0, 1.0)
        check_whole("top_k of contrastive_search", self.top_k, 1, MAX_CANDIDATES)

    @property
    def max_rows(self) -> int:
        return self.top_k

    def start(self, lane: Lane) -> Search:
        return Contrasting(lane)


def read_hidden(model: ARModel, tokens: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
    """Read tokens (B, N); return the logits (B, V), the hidden states (B, N, C), and the State."""
    if isinstance(model, HasLayers):
        hidden, state = model.step_layers(tokens, state)
        return model.head(hidden[-1][:, -1].contiguous()), hidden[-1], state
    logits, state = model.step_every(tokens, state)
    return logits[:, -1], logits.softmax(-1), state


def contrast(probs: Sequence[float], hidden: Tensor, past: Tensor, alpha: float) -> list[float]:
    """Return the score of each candidate from its p, its hidden state (k, C) and the past (T, C).

    Candidate by candidate, so that none depends on how many there are.
    """
    past = F.normalize(past.double(), dim=-1)
    scores = []
    for p, own in zip(probs, F.normalize(hidden.double(), dim=-1), strict=True):
        alike = (past @ own).max().item() if len(past) else 0.0
        scores.append((1 - alpha) * p - alpha * alike)
    return scores


@dataclass
class Contrasting(Search):
    """One hypothesis, and the candidates for its next token as rows of the model."""

    past: list[Tensor] = field(default_factory=list)  # hidden states (N, C) of the text so far
    waiting: list[Told] = field(default_factory=list)  # the candidates, their model call made

    def move(self, view: View) -> Move:
        if not self.waiting:
            return self._propose(view, row=0)
        if view.slid:  # all that the model still sees has been read again
            self.past = [view.hidden[0, :-1]]
        alpha = self.lane.strategy.penalty_alpha
        root = self.rows[0]
        probs = [math.exp(facts.logprob_processed) for facts in self.waiting]
        scores = contrast(probs, view.hidden[:, -1], torch.cat(self.past), alpha)
        row = max(range(len(scores)), key=lambda i: (scores[i], -i))
        chosen = self.waiting[row]
        self.weighed.append(
            tuple(
                Hypothesis(0, f.token, root.logprob + f.logprob_processed, s,
                           "live" if i == row else "pruned")
                for i, (f, s) in enumerate(zip(self.waiting, scores, strict=True))
            )
        )  # fmt: skip
        node = Node(chosen, root, root.logprob + chosen.logprob_processed, scores[row])
        self.rows = [node]
        self.past.append(view.hidden[row, -1:])
        if chosen.token == view.eos_token or node.length >= view.longest:
            return self._end()
        return self._propose(view, row)

    def _end(self) -> Move:
        self.finished, self.is_done = self.rows, True
        return Move([], [], [])

    def _propose(self, view: View, row: int) -> Move:
        """Give the likeliest tokens after `row` to the model, to learn their hidden states."""
        if view.is_over[row]:
            return self._end()
        values, tokens = view.shaped[row].topk(min(self.lane.strategy.top_k, view.shaped.shape[1]))
        tokens = [t for t, v in zip(tokens.tolist(), values.tolist(), strict=True) if v > -math.inf]
        self.waiting = view.tell(self.lane, [row] * len(tokens), tokens)
        logprobs = [facts.logprob_processed for facts in self.waiting]
        return Move([row] * len(tokens), tokens, logprobs)


def look_ahead(
    model: ARModel, stages: Tensor, lane: Lane, window: Sequence[int], position: int, **told
) -> Told:
    """Choose one token after a prefix by contrastive search; for whoever steps by hand.

    `stages` (S, 1, V) are those of the token to choose, `window` is what the model still sees of
    the prefix when it reads that token.
    """
    strategy = lane.strategy
    tokens = stages[-1, 0].topk(min(strategy.top_k, stages.shape[-1])).indices
    tokens = tokens[stages[-1, 0][tokens] > -torch.inf]
    rows = torch.zeros(len(tokens), dtype=torch.int64, device=tokens.device)
    facts = tell(stages, tokens, [lane] * len(tokens), position, rows=rows, **told)
    seen = torch.tensor([list(window)], device=tokens.device)
    _, past, state = read_hidden(model, seen, model.initial_state(1))
    _, hidden, _ = read_hidden(model, tokens[:, None], state.select(rows))
    probs = [math.exp(f.logprob_processed) for f in facts]
    scores = contrast(probs, hidden[:, -1], past[0], strategy.penalty_alpha)
    return facts[max(range(len(scores)), key=lambda i: (scores[i], -i))]
