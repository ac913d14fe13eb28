"""One decision, told in full: processors, strategy, and everything a chart needs, as a Step."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from playground.decoding.context import Context
from playground.decoding.processors import Processor
from playground.decoding.strategies import Hypotheses, Sample, Strategy
from playground.errors import check_whole
from playground.traces.trace import Candidate, Step

N_CANDIDATES = 20  # of the most likely tokens, raw and processed, that a Step keeps


@dataclass(frozen=True)
class Lane:
    """One way to decode: a strategy, its processors in order, and where its randomness starts.

    The noise of a decision is a function of (seed, sample, position) and nothing else. So a lane
    gives the same tokens alone and beside others, going back and on again gives the same token,
    and lanes with one seed share their noise, which makes their differences those of the settings.
    """

    strategy: Strategy = field(default_factory=Sample)
    processors: tuple[Processor, ...] = ()
    seed: int = 0
    sample: int = 0  # which of several draws with one seed this is

    def __post_init__(self):
        check_whole("seed", self.seed, 0, 2**53)
        check_whole("sample", self.sample, 0, 2**31)

    @cached_property
    def active(self) -> tuple[Processor, ...]:
        return tuple(p for p in self.processors if not p.is_off)

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """What a Step of this lane calls its stages."""
        return ("model", *(str(p) for p in self.active))

    def noise(self, position: int) -> torch.Generator:
        """Return the generator of the decision at `position`, on the CPU for every device."""
        digest = hashlib.sha256(f"{self.seed}/{self.sample}/{position}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)

    def settings(self) -> dict[str, Any]:
        """Return what a Trace says of this lane."""
        processors = [[p.name, p.value] for p in self.active]
        return {"strategy": self.strategy.name, "processors": processors, "sample": self.sample}


def decide(
    logits: Tensor,
    lane: Lane,
    tokens: Tensor,
    *,
    forced: int | None = None,
    chosen_by: str = "strategy",
    slid: int = 0,
    n_candidates: int = N_CANDIDATES,
) -> Step:
    """Choose what follows tokens (1, T) from its logits (1, V).

    With `forced` that token is taken instead of the strategy's.
    """
    facts, n_ids = _facts(logits, lane, tokens, forced, n_candidates)
    return _step_from(facts.tolist(), n_ids, lane, tokens.shape[1], chosen_by, slid)


def decide_lanes(
    logits: Tensor,
    lanes: Sequence[Lane],
    tokens: Tensor,
    *,
    slid: int = 0,
    n_candidates: int = N_CANDIDATES,
) -> list[Step]:
    """Choose for every lane what follows its row of tokens (R, T) from its row of logits (R, V).

    Everything the Steps hold is gathered on the device and copied to the host once for all.
    """
    found = [
        _facts(logits[row : row + 1], lane, tokens[row : row + 1], None, n_candidates)
        for row, lane in enumerate(lanes)
    ]
    numbers = (torch.cat([facts for facts, _ in found]) if len(found) > 1 else found[0][0]).tolist()
    steps, start = [], 0
    for lane, (facts, n_ids) in zip(lanes, found, strict=True):
        end = start + len(facts)
        steps.append(_step_from(numbers[start:end], n_ids, lane, tokens.shape[1], "strategy", slid))
        start = end
    return steps


def _facts(
    logits: Tensor, lane: Lane, tokens: Tensor, forced: int | None, n_candidates: int
) -> tuple[Tensor, int]:
    """Return all numbers of a Step in one vector of doubles, and how many candidates it names."""
    vocab_size = logits.shape[-1]
    stages = [logits]
    for processor in lane.active:
        stages.append(processor(stages[-1], Context(tokens)))
    if forced is not None:
        token = torch.tensor([forced], device=logits.device)
    else:
        noise = lane.noise(tokens.shape[1]) if lane.strategy.is_random else None
        _, token = lane.strategy.choose(stages[-1], Hypotheses(tokens, logits.new_zeros(1)), noise)

    logprobs = torch.cat(stages).log_softmax(-1, dtype=torch.float64)  # (S, V)
    raw = logprobs[0]
    ends = logprobs[:: max(1, len(stages) - 1)]  # first and last stage
    likely = ends.topk(min(n_candidates, vocab_size)).indices.flatten()
    ids = torch.cat((likely, token))
    facts = torch.cat(  # integers become doubles, exactly
        (
            ids,
            logprobs.index_select(1, ids).flatten(),
            (raw.exp() * raw).sum(-1, keepdim=True),
            (raw > raw.index_select(0, token)).sum(-1, keepdim=True),
            (stages[-1][0].abs() < torch.inf).sum(-1, keepdim=True),
        )
    )
    return facts, len(ids)


def _step_from(
    facts: Sequence[float], n_ids: int, lane: Lane, position: int, chosen_by: str, slid: int
) -> Step:
    """Unpack what `_facts` packed; duplicates of a candidate are dropped here."""
    ids = [int(i) for i in facts[:n_ids]]
    *columns, minus_entropy, above, kept = facts[n_ids:]
    rows = [columns[i : i + n_ids] for i in range(0, len(columns), n_ids)]
    found = dict(zip(ids, zip(*rows, strict=True), strict=True))
    ordered = sorted(found.items(), key=lambda item: (-item[1][0], item[0]))
    token = ids[-1]
    return Step(
        position=position,
        token=token,
        logprob=found[token][0],
        logprob_processed=found[token][-1],
        rank=int(above) + 1,
        entropy=max(0.0, -minus_entropy),
        kept=int(kept),
        stages=lane.stages,
        candidates=tuple(Candidate(i, lps) for i, lps in ordered),
        chosen_by=chosen_by,
        slid=slid,
    )


def score(logits: Tensor, tokens: Sequence[int]) -> tuple[Step, ...]:
    """Tell what the model thought of tokens that were given: logits (T, V) scored by T tokens.

    `logits[i]` scores `tokens[i]`, whose position is i + 1. The Steps have no candidates.
    """
    if not tokens:
        return ()
    logprobs = logits.double().log_softmax(-1)  # (T, V)
    chosen = logprobs.gather(-1, torch.tensor(tokens, device=logits.device)[:, None])
    facts = torch.cat(
        (
            chosen,
            (logprobs > chosen).sum(-1, keepdim=True).double(),
            -(logprobs.exp() * logprobs).sum(-1, keepdim=True),
        ),
        dim=1,
    ).tolist()
    return tuple(
        Step(i, token, lp, lp, int(above) + 1, max(0.0, entropy), logits.shape[-1],
             chosen_by="prompt")
        for i, (token, (lp, above, entropy)) in enumerate(zip(tokens, facts, strict=True), start=1)
    )  # fmt: skip
