"""A generation in somebody's hands: forward, back, another token instead, and every branch kept.

A branch is a Trace with a name. The cursor stands between tokens: what is shown is the decision
about the token after it, made or still to make. All of it is values; what is kept of the model's
memory is a small cache, filled again from the tokens whenever it is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from playground.decoding.ahead import BURST, can_burst, decide_burst
from playground.decoding.contrastive import ContrastiveSearch, look_ahead
from playground.decoding.decide import N_CANDIDATES, Told, apply_processors, tell
from playground.decoding.kept_states import KeptStates
from playground.decoding.lane import Lane
from playground.decoding.listed import among_listed
from playground.decoding.prompt_scores import score_prompt
from playground.decoding.run import prefill
from playground.decoding.search import SearchStrategy
from playground.decoding.speculative import Begun, Guesses, Setting, Speculating
from playground.decoding.window import before_slide, dropped_tokens, slid_before, visible_window
from playground.errors import ConfigError, ContextFullError, PromptError, check_whole
from playground.models.base import ARModel, State, device_of
from playground.traces.trace import Step, Trace

MAX_BRANCHES = 24
MAX_TOKENS = 4096
LONGEST = 2**17  # of what has an end of its own


@dataclass(frozen=True)
class Branch:
    """One way the text went, and where it left another."""

    name: str
    trace: Trace
    origin: str = ""  # name of the branch it left
    forked_at: int = 0  # position of the first token of its own
    number: int = 0  # never another's, while names are


class Stepper:
    """A cursor on a set of branches over one model and one prompt.

    The prompt starts with BOS. `slide` lets a full context go on from its newest half; without it
    a step beyond the context raises ContextFullError. What has an end of its own, as a picture has,
    holds at most `longest` tokens, BOS counted; then it is complete. A Step keeps `n_candidates`
    of the likeliest tokens.
    """

    def __init__(
        self,
        model: ARModel,
        model_name: str,
        prompt: Sequence[int],
        *,
        seed: int = 0,
        eos_token: int | None = None,
        slide: bool = False,
        tokenizer=None,
        longest: int = MAX_TOKENS,
        n_candidates: int = N_CANDIDATES,
    ):
        self.model, self.eos_token, self.slide = model, eos_token, slide
        self.longest = check_whole("longest", longest, 1, LONGEST)
        self.n_candidates = n_candidates
        self.tokenizer = tokenizer  # for processors that read text
        self._peeked: tuple[tuple, Step] | None = None  # looked at, then taken
        self._guessed: dict[tuple[Lane, tuple[int, ...]], Step] = {}
        self._kept = KeptStates()
        self.branches: dict[str, Branch] = {}
        self._named = 0
        trace = Trace(model_name, tuple(prompt), seed)
        self.current = self._keep(trace).name
        self.cursor = len(trace.prompt)
        if self.cursor < longest:
            self._at(self.cursor)  # a prompt that does not fit is told of now
        elif self.cursor > longest:
            raise PromptError(
                f"At most {longest - 1} tokens fit behind the start token, got {self.cursor - 1}. "
                "Keep the first of them only."
            )
        self.prompt_steps = score_prompt(model, trace.prompt)

    # -- what there is ---------------------------------------------------------------------------

    @property
    def branch(self) -> Branch:
        return self.branches[self.current]

    @property
    def tokens(self) -> tuple[int, ...]:
        """All tokens of the current branch, those after the cursor too."""
        return self.branch.trace.tokens

    @property
    def prefix(self) -> tuple[int, ...]:
        """The tokens before the cursor."""
        return self.tokens[: self.cursor]

    @property
    def state(self) -> State:
        """What the model remembers of `prefix`."""
        return self._at(self.cursor)[1]

    @property
    def at_end(self) -> bool:
        return self.cursor == len(self.tokens)

    @property
    def has_ended(self) -> bool:
        """True if nothing can follow: the end token, or no more room."""
        return self.tokens[self.cursor - 1] == self.eos_token or self.cursor >= self.longest

    def steps_by_position(self, name: str | None = None) -> list[Step]:
        """Return a Step for every token after BOS of a branch: the prompt's, then the decisions."""
        trace = self.branches[name or self.current].trace
        return [*self.prompt_steps[: len(trace.prompt) - 1], *trace.steps]

    def peek(self, lane: Lane) -> Step:
        """Tell the decision about the next token without taking it.

        Raises:
            ContextFullError: the context is full and `slide` is off.
            ConfigError: the strategy keeps several texts at once.
        """
        lane = among_listed(lane, self.model)
        asked = (lane, self.branch.number, self.cursor)
        if self._peeked is None or self._peeked[0] != asked:
            self._peeked = (asked, self._decide(lane))
        return self._peeked[1]

    def _decide(self, lane: Lane) -> Step:
        strategy = lane.strategy
        if isinstance(strategy, Speculating):
            return self._guess(lane)
        if isinstance(strategy, ContrastiveSearch):
            return self._contrast(lane)
        if isinstance(strategy, SearchStrategy):
            raise ConfigError(
                f"{strategy.name} keeps several texts at once, so it has no single next token. "
                "Watch it on the Compare page, or choose another strategy here."
            )
        stages = self._stages(lane)
        uniforms = torch.tensor([[lane.uniform(self.cursor)]], dtype=torch.float64)
        return self._tell(lane, stages, strategy.choose(stages[-1], uniforms)).step()

    def look(self, lane: Lane) -> Step:
        """Tell the decision about the token after the cursor: as it was made, or to be made.

        A decision made under other processors is told anew under those of `lane`, with the token
        that did follow.

        Raises:
            ContextFullError: the context is full and `slide` is off.
        """
        if self.at_end:
            return self.peek(lane)
        lane = among_listed(lane, self.model)
        index = self.cursor - len(self.branch.trace.prompt)
        if index >= 0 and self.branch.trace.steps[index].stages == lane.stages:
            return self.branch.trace.steps[index]
        made_by = self.branch.trace.steps[index].chosen_by if index >= 0 else "prompt"
        return self._forced(self.tokens[self.cursor], made_by, lane)

    @torch.inference_mode()
    def distribution(self, lane: Lane) -> Tensor:
        """Return log p (S, V) of every token that can follow the cursor: raw, then by processor.

        Raises:
            ContextFullError: the context is full and `slide` is off.
        """
        return self._stages(among_listed(lane, self.model))[:, 0].float().log_softmax(-1)

    # -- what one can do -------------------------------------------------------------------------

    def step(self, lane: Lane) -> bool:
        """Decide the next token; return False at the end.

        Behind the end of the branch, a decision that comes out as before only moves the cursor;
        another one, because the settings have changed, starts a new branch.
        """
        if self.has_ended:
            return False
        self._advance(self.peek(lane), among_listed(lane, self.model))
        return True

    @torch.inference_mode()
    def run_ahead(self, lane: Lane, count: int) -> int:
        """Decide up to `count` tokens; return how many, which is less only at the end.

        All is as after `count` calls of `step`, but a token costs far less: see `ahead.py`.
        """
        made, lane = 0, among_listed(lane, self.model)
        while made < count and not self.has_ended:
            if self.at_end and can_burst(lane):
                made += self._burst(lane, count - made)
            else:
                made += self.step(lane)
        return made

    def take(self, token: int, lane: Lane) -> None:
        """Take `token` next, whatever the strategy would have chosen.

        Raises:
            ConfigError: the model has no such token.
        """
        excluded = getattr(self.model, "excluded", ())  # a start token never follows
        if not 0 <= token < self.model.vocab_size or token in excluded:
            raise ConfigError(
                f"There is no token {token}, or it never follows: this model's tokens are 0 to "
                f"{self.model.vocab_size - 1} without {list(excluded)}. Click one in the chart."
            )
        if self.has_ended:
            return
        lane = among_listed(lane, self.model)
        self._advance(self._forced(token, "user", lane), lane)

    def back(self) -> bool:
        """Move the cursor one token back; return False at the start."""
        return self.go_to(self.cursor - 1)

    def go_to(self, position: int) -> bool:
        """Put the cursor before the token at `position`; return False if there is none such."""
        if not 1 <= position <= len(self.tokens):
            return False
        self.cursor = position
        return True

    def switch(self, name: str) -> None:
        """Go on with another branch, the cursor at its end."""
        if name in self.branches:
            self.current = name
            self.cursor = len(self.tokens)

    def rename(self, name: str) -> None:
        """Give the current branch another name.

        Raises:
            ConfigError: the name is empty, too long or taken.
        """
        name = name.strip()
        if not 0 < len(name) <= 60 or (name in self.branches and name != self.current):
            raise ConfigError(
                f"A branch needs a name of 1 to 60 characters that no other one has, got {name!r}."
            )
        self.branches = {
            (name if key == self.current else key): replace(
                b,
                name=name if key == self.current else b.name,
                origin=name if b.origin == self.current else b.origin,
            )
            for key, b in self.branches.items()
        }
        self.current = name

    # -- inside ----------------------------------------------------------------------------------

    def _advance(self, step: Step, lane: Lane) -> None:
        trace = self.branch.trace
        if not self.at_end:
            if self.tokens[self.cursor] == step.token:
                self.cursor += 1
                return
            fork = self.cursor
            trace = trace.cut(fork)
            self.current = self._keep(trace, origin=self.current, forked_at=fork).name
        self._extend(trace, [step], lane)

    def _extend(self, trace: Trace, steps: Sequence[Step], lane: Lane) -> None:
        """Let `steps` follow `trace`, which is what the current branch has so far."""
        trace = trace.extend(steps, lane.settings())
        self.branches[self.current] = replace(self.branch, trace=trace)
        self.cursor += len(steps)

    def _burst(self, lane: Lane, count: int) -> int:
        """Decide up to `count` tokens behind the last one; return how many."""
        first, found = self.cursor, self._at(self.cursor)
        count = min(count, self.longest - first, BURST - (first - 1) % BURST)
        count = before_slide(first, count, self.model.context_length)
        logprobs = self._logprobs() if lane.plain_temperature is None else ()
        burst = decide_burst(self._setting(), lane, self.tokens, logprobs, found, count)
        steps = burst.steps(lane, first, self._slid(), self.n_candidates)
        self._extend(self.branch.trace, steps, lane)
        for length, state in burst.states:
            self._kept.keep_anchor(self.branch.number, length, state)
        newest, state = burst.states[-1]
        self._kept.keep(self.branch.number, newest, (burst.logits, state))
        return len(steps)

    def _forced(self, token: int, chosen_by: str, lane: Lane) -> Step:
        tokens = torch.tensor([token], device=device_of(self.model))
        return self._tell(lane, self._stages(lane), tokens).step(chosen_by)

    def _tell(self, lane: Lane, stages: Tensor, tokens: Tensor) -> Told:
        (told,) = tell(
            stages, tokens, [lane], self.cursor, slid=self._slid(), n_candidates=self.n_candidates
        )
        return told

    def _stages(self, lane: Lane) -> Tensor:
        """Return the stages (S, 1, V) of what follows the prefix."""
        logits, _ = self._at(self.cursor)
        context = None  # of thousands of values it takes longer than a step, so only who reads it
        if lane.plain_temperature is None:
            context = self._setting().context(self.prefix, self._logprobs(), lane)
        return apply_processors(logits, lane, context)

    def _logprobs(self) -> list[float]:
        """log p after the processors of every decision before the cursor."""
        made = self.cursor - len(self.branch.trace.prompt)
        return [step.logprob_processed for step in self.branch.trace.steps[: max(0, made)]]

    def _setting(self) -> Setting:
        prompt = self.branch.trace.prompt[: self.cursor]
        limit = self.model.context_length if self.slide else None
        return Setting(
            self.model, prompt, self.longest, self.eos_token, limit, self.n_candidates,
            self.tokenizer, device_of(self.model),
        )  # fmt: skip

    def _guess(self, lane: Lane) -> Step:
        """Return what a round of guesses decided for this position, or begin a round here."""
        if (lane, self.prefix) not in self._guessed:
            logits, state = self._at(self.cursor)
            begun = Begun(self.prefix, tuple(self._logprobs()), logits, state)
            self._guessed.clear()  # those of the last round are enough
            prefix = self.prefix
            for step in Guesses(lane, self._setting(), begun).round():
                self._guessed[lane, prefix] = step
                prefix = (*prefix, step.token)
        return self._guessed[lane, self.prefix]

    def _contrast(self, lane: Lane) -> Step:
        logits, _ = self._at(self.cursor)
        context = self._setting().context(self.prefix, self._logprobs(), lane)
        stages = apply_processors(logits.float().log_softmax(-1), lane, context)
        limit = self.model.context_length if self.slide else None
        *window, _ = visible_window((*self.prefix, 0), limit)  # whatever token follows
        return look_ahead(
            self.model, stages, lane, window, self.cursor, slid=self._slid(),
            n_candidates=self.n_candidates,
        ).step()  # fmt: skip

    def _keep(self, trace: Trace, origin: str = "", forked_at: int = 0) -> Branch:
        if len(self.branches) >= MAX_BRANCHES:
            raise ConfigError(
                f"There are {MAX_BRANCHES} branches already, which is the most that are kept. "
                "Download what you need and press Reset."
            )
        self._named += 1
        while f"branch {self._named}" in self.branches:
            self._named += 1
        branch = Branch(f"branch {self._named}", trace, origin, forked_at, self._named)
        if origin:
            self._kept.fork(branch.number, self.branches[origin].number, forked_at)
        self.branches[branch.name] = branch
        return branch

    def _slid(self) -> int:
        return slid_before(self.cursor, self.model.context_length if self.slide else None)

    def _at(self, length: int) -> tuple[Tensor, State]:
        """Return the logits (1, V) of what follows the first `length` tokens, and the State."""
        limit, number = self.model.context_length, self.branch.number
        found = self._kept.find(number, length)
        if found is not None:
            return found
        dropped = dropped_tokens(length, limit)
        if dropped and not self.slide:
            raise ContextFullError(
                f"The context is full: this model sees {limit} tokens at once, and the text has "
                f"{length}. Switch on “Slide the window” to go on from its newest half, go "
                "back, or shorten the prompt."
            )
        start, state = self._kept.nearest(
            number, length, lambda shorter: dropped_tokens(shorter, limit) == dropped
        )
        if state is not None:
            rest = torch.tensor([self.tokens[start:length]], device=device_of(self.model))
            found = self.model.step(rest, state)
        else:
            found = prefill(self.model, visible_window(self.tokens[:length], limit))
        self._kept.keep(number, length, found)
        return found
