"""Many decisions of one lane in a row: the same as one at a time, at the pace of the kernels.

A burst decides first and tells afterwards: what costs most of a decision beside the model are the
numbers that a Step keeps of it, and they are computed for all rows of a burst at once. No row's
numbers depend on the rows beside it, so each Step is the one that a single decision would give.

A model that `HasSampleAhead` also draws the tokens of a burst in one call. Its draws are guesses
here: every one is made again from the logits, by the lane's own strategy and in its arithmetic,
and the burst ends with the first that comes out differently. So what is decided never depends on
how a kernel rounds, and a strategy that does not draw (greedy) may be guessed at a low temperature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from playground.decoding.context import Context
from playground.decoding.decide import apply_processors, tell
from playground.decoding.lane import Lane
from playground.decoding.speculative import Setting
from playground.decoding.strategies import Greedy, Sample
from playground.models.base import HasSampleAhead, State
from playground.traces.trace import Step

ANCHOR_TOKENS = 32  # so far apart are the States that a burst of single steps leaves behind
BURST = 256  # tokens at most; a model that draws ahead leaves a State behind each time
MOST_LOGITS = 2**21  # of a burst, all stages counted
COLDEST = 2.0**-10  # the temperature that stands for greedy in a guess


@dataclass(frozen=True)
class Burst:
    """K decisions that are not told yet, and what the model remembers of them."""

    tokens: Tensor  # (K,)
    stages: Tensor  # (S, K, V)
    logits: Tensor  # (1, V) behind the last State, from which the last token was decided
    states: tuple[tuple[int, State], ...]  # (tokens read, State); of the last, all tokens but one

    def steps(self, lane: Lane, first: int, slid: int, n_candidates: int) -> list[Step]:
        """Tell the decisions about the tokens at position `first` and behind it."""
        places = range(first, first + len(self.tokens))
        lanes = [lane] * len(places)
        if self.stages.device.type == "cpu":
            told = tell(self.stages, self.tokens, lanes, places, n_candidates=n_candidates)
        else:  # other devices may sum several rows in another order than one
            rows = zip(self.stages.split(1, dim=1), self.tokens.split(1), places, strict=True)
            told = [
                facts
                for stages, token, place in rows
                for facts in tell(stages, token, [lane], place, n_candidates=n_candidates)
            ]
        told[0] = replace(told[0], slid=slid)
        return [facts.step() for facts in told]


def can_burst(lane: Lane) -> bool:
    """Say whether a lane decides token by token, each from the one before."""
    return isinstance(lane.strategy, Sample | Greedy)


def decide_burst(
    setting: Setting,
    lane: Lane,
    tokens: Sequence[int],
    logprobs: Sequence[float],
    found: tuple[Tensor, State],
    count: int,
) -> Burst:
    """Decide up to `count` tokens after `tokens`, at least one; the end token is the last.

    Args:
        logprobs: log p after the processors of every decision since the prompt.
        found: the logits (1, V) of what follows `tokens`, and the State after them.
        count: as many as fit into the model's context, so that a window does not slide.
    """
    count = max(1, min(count, MOST_LOGITS // (len(lane.stages) * setting.model.vocab_size)))
    is_plain = lane.plain_temperature is not None
    if count > 1 and is_plain and isinstance(setting.model, HasSampleAhead):
        burst = _drawn_ahead(setting, lane, len(tokens), found, count)
        if burst is not None:
            return burst
    past = None if is_plain else Past(setting, lane, tokens, logprobs, count)
    return _one_by_one(setting, lane, len(tokens), found, count, past)


class Past:
    """What a Context tells of the tokens before a decision, with room for those of a burst."""

    def __init__(
        self,
        setting: Setting,
        lane: Lane,
        tokens: Sequence[int],
        logprobs: Sequence[float],
        count: int,
    ):
        self.setting, self.lane, self.length = setting, lane, len(tokens)
        self.tokens = torch.zeros(1, len(tokens) + count, dtype=torch.int64)
        self.tokens[0, : len(tokens)] = torch.tensor(tokens)
        self.logprobs = torch.zeros(1, len(logprobs) + count, dtype=torch.float64)
        self.logprobs[0, : len(logprobs)] = torch.tensor(logprobs, dtype=torch.float64)
        self.tokens = self.tokens.to(setting.device)
        self.logprobs = self.logprobs.to(setting.device)
        self.n_before = len(tokens) - len(logprobs)

    def context(self) -> Context:
        """Return what the processors may know before the next token; valid until `add`."""
        position, lane = self.length, self.lane

        def uniform(use: str) -> Tensor:
            return torch.tensor([[lane.uniform(position, use)]], dtype=torch.float64)

        return Context(
            self.tokens[:, :position], len(self.setting.prompt),
            self.logprobs[:, : position - self.n_before],
            self.setting.eos_token, self.setting.tokenizer, uniform,
        )  # fmt: skip

    def add(self, token: Tensor, logits: Tensor) -> None:
        """Let a `token` (1,) follow that was chosen from `logits` (1, V)."""
        self.tokens[:, self.length] = token
        logprob = logits.float().log_softmax(-1).gather(1, token[:, None])[:, 0]
        self.logprobs[:, self.length - self.n_before] = logprob.double()
        self.length += 1


def _one_by_one(
    setting: Setting,
    lane: Lane,
    length: int,
    found: tuple[Tensor, State],
    count: int,
    past: Past | None,
) -> Burst:
    logits, state = found
    rows, chosen, states = [], [], []
    while True:
        stages = apply_processors(logits, lane, None if past is None else past.context())
        uniforms = torch.tensor([[lane.uniform(length)]], dtype=torch.float64)
        token = lane.strategy.choose(stages[-1], uniforms)  # (1,)
        rows.append(stages)
        chosen.append(token)
        is_last = len(rows) == count or int(token) == setting.eos_token
        if is_last or length % ANCHOR_TOKENS == 0:
            states.append((length, state))
        if is_last:
            return Burst(torch.cat(chosen), torch.cat(rows, dim=1), logits, tuple(states))
        if past is not None:
            past.add(token, stages[-1])
        logits, state = setting.model.step(token[:, None], state)
        length += 1


def _drawn_ahead(
    setting: Setting, lane: Lane, length: int, found: tuple[Tensor, State], count: int
) -> Burst | None:
    """Let the model draw ahead, and keep what the lane decides likewise; None if it cannot."""
    begun = _one_by_one(setting, lane, length, found, 1, None)
    token, end = begun.tokens, setting.eos_token
    if int(token) == end:
        return begun
    numbers = [lane.uniform(length + n) for n in range(1, count)]
    uniforms = torch.tensor(numbers, dtype=torch.float64)
    temperature = lane.plain_temperature if lane.strategy.is_random else COLDEST

    def draw(n: int) -> tuple[Tensor, Tensor, State] | None:
        return setting.model.sample_ahead(token[:, None], found[1], uniforms[:n], temperature)

    drawn = draw(count - 1)
    if drawn is None:
        return None
    stages = apply_processors(drawn[1], lane, None)
    tokens = lane.strategy.choose(stages[-1], uniforms[:, None])
    is_last = tokens != drawn[0]
    if end is not None:
        is_last |= tokens == end
    kept = int(is_last.nonzero()[0]) + 1 if is_last.any() else len(tokens)
    if kept < len(tokens):
        del drawn  # a longer State would keep the memory that the shorter one goes on in
        drawn = draw(kept)
    _, logits, state = drawn
    return Burst(
        torch.cat((token, tokens[:kept])),
        torch.cat((begun.stages, stages[:, :kept]), dim=1),
        logits[-1:],
        (*begun.states, (length + kept, state)),
    )
