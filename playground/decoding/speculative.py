"""Speculative decoding: a cheap draft guesses several tokens, the model checks them in one pass.

A guess x with draft probability q(x) is accepted with probability min(1, p(x) / q(x)); the first
one that is not is replaced by a draw from what p has more than q. So the tokens are distributed
exactly as without a draft (greedy decoding gives the very same text), and the model is called
once for several of them.

References: Leviathan et al. 2023, arXiv:2211.17192 (algorithm 1); Chen et al. 2023,
arXiv:2302.01318. Guesses copied from the text itself: prompt lookup, Saxena 2023 (the option
`prompt_lookup_num_tokens` of transformers).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from playground.decoding.context import Context
from playground.decoding.decide import apply_processors, tell
from playground.decoding.lane import Lane
from playground.decoding.strategies import Settings, draw
from playground.decoding.window import slid_before, visible_window
from playground.errors import ConfigError, check_whole
from playground.models.base import ARModel, State, step_prefixes
from playground.traces.trace import Draft, Step

MAX_GUESSES = 32


class Guesser(Protocol):
    """Something that guesses what comes next."""

    def guess(self, tokens: Sequence[int], count: int) -> tuple[list[int], Tensor | None]:
        """Return at most `count` tokens, and the probabilities (n, V) they were drawn from.

        None stands for certainty: the guesses were not drawn.
        """
        ...


@dataclass(frozen=True)
class Speculating(Settings):
    """What both forms share: whether tokens are drawn or the likeliest are taken."""

    do_sample: bool = True

    def guesser(self, lane: Lane, setting: Setting) -> Guesser:
        raise NotImplementedError

    @property
    def guesses(self) -> int:
        """The most tokens that are guessed at once."""
        raise NotImplementedError


@dataclass(frozen=True)
class SpeculativeDecoding(Speculating):
    """Let the model `draft` guess `num_assistant_tokens` tokens at a time."""

    num_assistant_tokens: int = 3  # and the token before: four rows, read at once by a kernel
    draft_name: str = ""
    draft: ARModel | None = field(default=None, compare=False, repr=False)

    name = "speculative_decoding"

    def __post_init__(self):
        check_whole("num_assistant_tokens", self.num_assistant_tokens, 1, MAX_GUESSES)

    def guesser(self, lane: Lane, setting: Setting) -> Guesser:
        if self.draft is None:
            raise ConfigError(
                "speculative_decoding needs a draft: a smaller model with the same tokens. "
                "Choose one, or use prompt_lookup, which needs none."
            )
        if self.draft.vocab_size != setting.model.vocab_size:
            raise ConfigError(
                f"The draft {self.draft_name!r} has {self.draft.vocab_size} tokens and the model "
                f"{setting.model.vocab_size}: they must share their tokenizer. Choose another."
            )
        return DraftModel(self.draft, lane, setting)

    @property
    def guesses(self) -> int:
        return self.num_assistant_tokens


@dataclass(frozen=True)
class PromptLookup(Speculating):
    """Guess that what followed the newest n-gram last time follows again."""

    prompt_lookup_num_tokens: int = 5
    max_matching_ngram_size: int = 3

    name = "prompt_lookup"

    def __post_init__(self):
        check_whole("prompt_lookup_num_tokens", self.prompt_lookup_num_tokens, 1, MAX_GUESSES)
        check_whole("max_matching_ngram_size", self.max_matching_ngram_size, 1, 16)

    def guesser(self, lane: Lane, setting: Setting) -> Guesser:
        return Lookup(self.max_matching_ngram_size)

    @property
    def guesses(self) -> int:
        return self.prompt_lookup_num_tokens


@dataclass(frozen=True)
class Setting:
    """What a lane decodes, and how far: the arguments of a Run."""

    model: ARModel
    prompt: tuple[int, ...]
    max_new_tokens: int
    eos_token: int | None
    limit: int | None  # the context's length where the window may slide
    n_candidates: int
    tokenizer: object
    device: torch.device

    def context(self, tokens: Sequence[int], logprobs: Sequence[float], lane: Lane) -> Context:
        position = len(tokens)

        def uniform(use: str) -> Tensor:
            return torch.tensor([[lane.uniform(position, use)]], dtype=torch.float64)

        return Context(
            torch.tensor([tokens], device=self.device), len(self.prompt),
            torch.tensor([logprobs], dtype=torch.float64, device=self.device),
            self.eos_token, self.tokenizer, uniform,
        )  # fmt: skip


@dataclass
class Lookup:
    """Guesses by looking the newest n-gram up in the text; the latest match counts."""

    longest: int

    def guess(self, tokens: Sequence[int], count: int) -> tuple[list[int], Tensor | None]:
        tokens = list(tokens)
        for size in range(min(self.longest, len(tokens) - 1), 0, -1):
            newest = tokens[-size:]
            for start in range(len(tokens) - size - 1, -1, -1):
                if tokens[start : start + size] == newest:
                    return tokens[start + size : start + size + count], None
        return [], None


@dataclass
class DraftModel:
    """Guesses by a model, whose State follows the text and is taken back where it erred."""

    model: ARModel
    lane: Lane
    setting: Setting
    states: list[State] = field(default_factory=list)  # after `read`, and after each guess
    read: tuple[int, ...] = ()
    guessed: list[int] = field(default_factory=list)

    def guess(self, tokens: Sequence[int], count: int) -> tuple[list[int], Tensor | None]:
        tokens = tuple(tokens)
        logits, state = self._catch_up(tokens)
        self.states, self.read, self.guessed = [state], tokens, []
        shaped = []
        while True:
            shaped.append(self._shape(logits))
            self.guessed.append(self._choose(shaped[-1]))
            if len(self.guessed) == count or not self._has_room(state, 1):
                return self.guessed, torch.cat(shaped).softmax(-1, dtype=torch.float64)
            row = torch.tensor([self.guessed[-1:]], device=logits.device)
            logits, state = self.model.step(row, state)
            self.states.append(state)

    def _shape(self, logits: Tensor) -> Tensor:
        """Return logits (1, V) after the lane's processors."""
        if not self.lane.active:
            return logits
        text = [*self.read, *self.guessed]
        return apply_processors(logits, self.lane, self.setting.context(text, [], self.lane))[-1]

    def _choose(self, logits: Tensor) -> int:
        if not self.lane.strategy.do_sample:
            return int(logits.argmax(-1))
        uniform = self.lane.uniform(len(self.read) + len(self.guessed), "draft")
        probs = logits.softmax(-1, dtype=torch.float64)
        return int(draw(probs, torch.tensor([[uniform]], dtype=torch.float64)))

    def _has_room(self, state: State, count: int) -> bool:
        limit = self.model.context_length
        return limit is None or state.length + count <= limit

    def _catch_up(self, tokens: tuple[int, ...]) -> tuple[Tensor, State]:
        """Read what the draft has not read yet, from the longest State that still holds."""
        for extra, state in reversed(list(enumerate(self.states))):
            known = (*self.read, *self.guessed[:extra])
            fresh = tokens[len(known) :]
            if tokens[: len(known)] == known and fresh and self._has_room(state, len(fresh)):
                row = torch.tensor([fresh], device=self.setting.device)
                return self.model.step(row, state)
        window = visible_window(tokens, self.model.context_length)
        row = torch.tensor([window], device=self.setting.device)
        return self.model.step(row, self.model.initial_state(1))


@dataclass(frozen=True)
class Begun:
    """A text to go on with, where some of it has been read already."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...] = ()  # of those behind the prompt, after the processors
    logits: Tensor | None = None  # (1, V) of what follows
    state: State | None = None


class Guesses:
    """One lane of speculative decoding; every `next` is one Step, most of them already checked."""

    def __init__(self, lane: Lane, setting: Setting, begun: Begun | None = None):
        self.lane, self.setting = lane, setting
        self.guesser = lane.strategy.guesser(lane, setting)
        self.steps: list[Step] = []
        self.calls = 0  # of the model, the prompt's not counted
        self.is_done = setting.max_new_tokens == 0
        self._ready: deque[Step] = deque()
        begun = begun or Begun(setting.prompt)
        self._tokens, self._logprobs = list(begun.tokens), list(begun.logprobs)
        self._state = begun.state  # has read all tokens but the newest, or all if `_known`
        self._known = begun.logits  # (1, V) after all tokens

    def next(self) -> Step | None:
        """Return the next decision, None if the text is complete."""
        if not self._ready:
            self._ready.extend(self.round())
        if not self._ready:
            self.is_done = True
            return None
        step = self._ready.popleft()
        self.steps.append(step)
        s = self.setting
        self.is_done = step.token == s.eos_token or len(self.steps) >= s.max_new_tokens
        return step

    def round(self) -> list[Step]:
        """Guess, check all guesses in one pass, and keep those up to the first that is wrong.

        How many are guessed does not depend on how many tokens are still wanted: so a longer
        text begins with the shorter one, and stepping by hand takes the same tokens.
        """
        slid = self._prepare()
        count, limit = self.lane.strategy.guesses, self.setting.model.context_length
        if limit is not None:
            count = min(count, limit - self._state.length - (self._known is None))
        guesses, q = self.guesser.guess(self._tokens, count) if count > 0 else ([], None)
        logits, states = self._check(guesses)  # (n + 1, V)
        return self._accept(guesses, q, logits, states, slid)

    def _prepare(self) -> int:
        """Read the prompt, or the newest half of a full window; return how many tokens it drops."""
        s, length = self.setting, len(self._tokens)
        slid = slid_before(length, s.limit)
        if self._state is None or slid:
            window = torch.tensor([visible_window(self._tokens, s.limit)], device=s.device)
            self._known, self._state = s.model.step(window, s.model.initial_state(1))
        return slid

    def _check(self, guesses: list[int]) -> tuple[Tensor, list[State]]:
        """Return the logits (n + 1, V) before and after every guess, and the State at each."""
        fresh = guesses if self._known is not None else [self._tokens[-1], *guesses]
        logits, states = [], []
        if self._known is not None:
            logits, states = [self._known], [self._state]
        if fresh:
            row = torch.tensor([fresh], device=self.setting.device)
            found, after = step_prefixes(self.setting.model, row, self._state)
            logits.append(found[0])
            states += after
            self.calls += 1
        return torch.cat(logits), states

    def _accept(
        self,
        guesses: list[int],
        q: Tensor | None,
        logits: Tensor,
        states: list[State],
        slid: int,
    ) -> list[Step]:
        """Decide position after position until a guess is wrong; tell all of them at once."""
        best = None  # the likeliest tokens, found at once where nothing shapes them
        if not self.lane.active and not self.lane.strategy.do_sample:
            best = logits.argmax(-1).tolist()
        stages, tokens = [], []
        for i, guess in enumerate([*guesses, None]):
            own = self._shape(logits[i : i + 1])
            if own is None:
                break
            own_q = None if q is None or guess is None else q[i : i + 1]
            token = best[i] if best is not None else self._choose(own[-1], guess, own_q)
            stages.append(own)
            tokens.append(token)
            self._tokens.append(token)
            if self.lane.active:  # the next position's processors may ask for it
                self._logprobs.append(own[-1][0].log_softmax(-1)[token].item())
            if token != guess or token == self.setting.eos_token:
                break
        if not tokens:
            return []
        self._state, self._known = states[len(tokens) - 1], None
        return self._tell(torch.cat(stages, dim=1), tokens, guesses, q, slid)

    def _shape(self, logits: Tensor) -> Tensor | None:
        """Return the stages (S, 1, V) of logits (1, V), None if the text is complete."""
        if not self.lane.active:
            return logits[None]
        context = self.setting.context(self._tokens, self._logprobs, self.lane)
        if any(p.is_over(context)[0] for p in self.lane.active):
            return None
        return apply_processors(logits, self.lane, context)

    def _tell(
        self,
        stages: Tensor,
        tokens: list[int],
        guesses: list[int],
        q: Tensor | None,
        slid: int,
    ) -> list[Step]:
        first = len(self._tokens) - len(tokens)
        told = tell(
            stages, torch.tensor(tokens, device=stages.device), [self.lane] * len(tokens), first,
            n_candidates=self.setting.n_candidates,
        )  # fmt: skip
        if not self.lane.active:
            self._logprobs += [facts.logprob_processed for facts in told]
        likely = [0.0] * len(guesses)
        if q is not None:
            likely = (
                q.gather(1, torch.tensor(guesses, device=q.device)[:, None])[:, 0].log().tolist()
            )
        steps = []
        for i, (facts, token) in enumerate(zip(told, tokens, strict=True)):
            step = replace(facts, position=first + i, slid=slid if i == 0 else 0).step()
            if i < len(guesses):
                is_right = token == guesses[i]
                dropped = () if is_right else tuple(guesses[i + 1 :])
                draft = Draft(guesses[i], likely[i], is_right, dropped)
                by = "draft" if is_right else "strategy"
                step = replace(step, draft=draft, chosen_by=by)
            steps.append(step)
        return steps

    def _choose(self, logits: Tensor, guess: int | None, q: Tensor | None) -> int:
        """Return the guess if it is accepted, else another token (eq. 1 of Leviathan et al.)."""
        if not self.lane.strategy.do_sample:
            return int(logits.argmax(-1))
        position = len(self._tokens)
        p = logits.softmax(-1, dtype=torch.float64)  # (1, V)
        if guess is not None:
            if q is None:
                q = torch.zeros_like(p)
                q[0, guess] = 1.0
            if self.lane.uniform(position, "accept") * q[0, guess].item() < p[0, guess].item():
                return guess
            more = (p - q).clamp(min=0)
            p = more if more.any() else p  # only rounding can leave nothing
        return int(draw(p, torch.tensor([[self.lane.uniform(position)]], dtype=torch.float64)))
