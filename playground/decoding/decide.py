"""From logits to Steps: the processors' stages, and every number that a chart needs of them.

Everything is computed for all rows at once, on the device, and copied to the host once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, repeat

import torch
from torch import Tensor

from playground.decoding.context import Context
from playground.decoding.lane import Lane
from playground.traces.trace import Candidate, Step

N_CANDIDATES = 20  # of the most likely tokens, raw and processed, that a Step keeps
SCORED_ROWS = 4096  # at once: a minute of sound would take gigabytes


def apply_processors(logits: Tensor, lane: Lane, context: Context | None) -> Tensor:
    """Return the stages (S, R, V) of logits (R, V): as they came, then after each processor.

    A lane without processors needs no context.
    """
    stages = [logits.float()]
    for processor in lane.active:
        stages.append(processor(stages[-1], context))
    return torch.stack(stages) if len(stages) > 1 else logits[None]


@dataclass(frozen=True)
class Told:
    """The numbers of one decision; unpacked into a Step when somebody asks for one."""

    numbers: Sequence[float]
    n_ids: int
    lane: Lane
    position: int
    slid: int = 0

    @property
    def token(self) -> int:
        return int(self.numbers[self.n_ids - 1])

    @property
    def logprob_processed(self) -> float:
        return self.numbers[self.n_ids * (1 + len(self.lane.stages)) - 1]

    @property
    def logprob(self) -> float:
        """Under the raw model; of what that does not list, log of the mass of all such tokens."""
        own = self.numbers[2 * self.n_ids - 1]
        return own if own > -math.inf or self.lane.rest_token is None else self.numbers[-4]

    def step(self, chosen_by: str = "strategy") -> Step:
        """Return the Step; a candidate that was named twice is told once."""
        n, depth = self.n_ids, len(self.lane.stages)
        ids = list(map(int, self.numbers[:n]))
        rows = [self.numbers[n * (1 + s) : n * (2 + s)] for s in range(depth)]
        minus_entropy, above, kept = self.numbers[-3:]
        found = dict(zip(ids, zip(*rows, strict=True), strict=True))
        if self.lane.rest_token is not None:  # what is not listed is no candidate
            found = {i: lps for i, lps in found.items() if lps[0] > -math.inf or i == ids[-1]}
        ordered = list(map(Candidate, found, found.values()))
        ordered.sort(key=_likeliest_first)
        return Step(
            position=self.position,
            token=ids[-1],
            logprob=self.logprob,
            logprob_processed=found[ids[-1]][-1],
            rank=int(above) + 1,
            entropy=max(0.0, -minus_entropy),
            kept=int(kept),
            stages=self.lane.stages,
            candidates=tuple(ordered),
            chosen_by=chosen_by,
            slid=self.slid,
        )


def _likeliest_first(candidate: Candidate) -> tuple[float, int]:
    return -candidate.logprobs[0], candidate.token


def tell(
    stages: Tensor,
    tokens: Tensor,
    lanes: Sequence[Lane],
    position: int | range,
    *,
    rows: Tensor | None = None,
    slid: int = 0,
    n_candidates: int = N_CANDIDATES,
) -> list[Told]:
    """Tell C decisions: that `tokens` (C,) came from `rows` (C,) of the stages (S, R, V).

    A lane with fewer stages than S has its last one repeated. Without `rows` token i is row i's.
    `position` is that of all C, or a range of one for each.
    """
    depth, _, vocab_size = stages.shape
    n = min(n_candidates, vocab_size)
    logprobs = stages.float().log_softmax(-1)  # (S, R, V); doubles would cost three times as much
    raw = logprobs[0]
    likely = raw.topk(n).indices
    if depth > 1:
        likely = torch.cat((likely, logprobs[-1].topk(n).indices), dim=1)
    minus_entropy = (raw.exp() * raw.clamp(min=-1e30)).sum(-1, keepdim=True)  # 0 log 0 = 0
    kept = (logprobs[-1] > -torch.inf).sum(-1, keepdim=True)
    if rows is not None:
        likely, minus_entropy, kept = likely[rows], minus_entropy[rows], kept[rows]
        logprobs = logprobs[:, rows]
    ids = torch.cat((likely, tokens[:, None]), dim=1)  # (C, n_ids)
    found = logprobs.gather(2, ids.expand(depth, -1, -1))  # (S, C, n_ids)
    rest_token = lanes[0].rest_token if lanes else None  # all lanes are of one model
    rest = () if rest_token is None else (logprobs[0, :, rest_token, None],)
    base = len(rest)  # the first stage without it, which is no token that another could be below
    above = (logprobs[base] > found[base, :, -1:]).sum(-1, keepdim=True)
    found = found.double()
    facts = torch.cat(  # integers become doubles, exactly
        (ids, found.transpose(0, 1).flatten(1), *rest, minus_entropy, above, kept), dim=1
    )
    n_ids = ids.shape[1]
    positions = position if isinstance(position, range) else repeat(position, len(tokens))
    return [
        Told(numbers, n_ids, lane, at, slid)
        for numbers, lane, at in zip(facts.tolist(), lanes, positions, strict=True)
    ]


def score(
    logits: Tensor, tokens: Sequence[int], first: int = 1, rest_token: int | None = None
) -> tuple[Step, ...]:
    """Tell what the model thought of T tokens that were given: logits (T, V) scored by tokens.

    `logits[i]` scores `tokens[i]`, whose position is `first` + i. The Steps have no candidates.
    A token that the model does not list has the log p of all such together, `rest_token`'s: it is
    at most as likely, and its rank is at least the one that is told.
    """
    if len(tokens) > SCORED_ROWS:
        firsts = range(0, len(tokens), SCORED_ROWS)
        parts = (
            score(logits[at:], tokens[at : at + SCORED_ROWS], at + first, rest_token)
            for at in firsts
        )
        return tuple(chain.from_iterable(parts))
    if not tokens:
        return ()
    logits = logits[: len(tokens)]
    logprobs = logits.double().log_softmax(-1)  # (T, V)
    chosen = logprobs.gather(-1, torch.tensor(tokens, device=logits.device)[:, None])
    above = logprobs > chosen
    if rest_token is not None:
        above[:, rest_token] = False
        rest = logprobs[:, rest_token, None]
        chosen = torch.where(chosen > -torch.inf, chosen, rest)
    facts = torch.cat(
        (
            chosen,
            above.sum(-1, keepdim=True).double(),
            -(logprobs.exp() * logprobs.clamp(min=-1e30)).sum(-1, keepdim=True),
        ),
        dim=1,
    ).tolist()
    return tuple(
        Step(i, token, lp, lp, int(above) + 1, max(0.0, entropy), logits.shape[-1],
             chosen_by="prompt")
        for i, (token, (lp, above, entropy)) in enumerate(zip(tokens, facts, strict=True), first)
    )  # fmt: skip
