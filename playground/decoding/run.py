"""Any number of lanes over one model, in lockstep: one `model.step` per position for all rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from playground.decoding.context import Context
from playground.decoding.contrastive import Contrasting, ContrastiveSearch, read_hidden
from playground.decoding.decide import N_CANDIDATES, tell
from playground.decoding.lane import Lane
from playground.decoding.listed import among_listed
from playground.decoding.processors import Processor
from playground.decoding.rows import MAX_LANES as MAX_LANES
from playground.decoding.rows import Apart, Rows, Single, check_lanes
from playground.decoding.search import Move, Search, SearchStrategy, View
from playground.decoding.speculative import Guesses, Setting, Speculating
from playground.decoding.window import dropped_tokens, slid_before, visible_window
from playground.errors import PromptError, check_whole
from playground.models.base import ARModel, State, device_of
from playground.traces.trace import Step, Trace

MAX_NEW_TOKENS = 20_000


def check_prefix(model: ARModel, tokens: Sequence[int]) -> None:
    """Raise PromptError unless the model can read `tokens`, BOS first."""
    if not tokens or min(tokens) < 0 or max(tokens) >= model.vocab_size:
        raise PromptError(
            "A prefix needs at least the start token, and tokens from 0 to "
            f"{model.vocab_size - 1}. Encode the prompt with this model's own tokenizer."
        )


def prefill(model: ARModel, tokens: Sequence[int]) -> tuple[Tensor, State]:
    """Read a whole prefix (BOS first); return the logits (1, V) of what follows, and the State.

    Raises:
        PromptError: the prefix is empty or names tokens the model does not have.
        ContextFullError: it is longer than the model's context.
    """
    check_prefix(model, tokens)
    rows = torch.tensor([list(tokens)], device=device_of(model))
    return model.step(rows, model.initial_state(1))


Kept = Single | Search | Guesses | Apart  # what a lane has decided, by its kind of strategy


class Run:
    """Lanes side by side; each `next` decides one position and returns a Step for every lane.

    None stands for a lane that has ended or whose search is still looking ahead. A lane ends at
    `eos_token`, where its constraint is complete, or where its search can find nothing better; all
    end after `max_new_tokens`. With `slide` a full context goes on from its newest half, read
    again after BOS. Nothing is computed ahead: whoever stops iterating has stopped the model, and
    `trace` still tells what there is.

    Raises (at the first `next`, or when the context is full and `slide` is off):
        ContextFullError, PromptError
    """

    def __init__(
        self,
        model: ARModel,
        prompt: Sequence[int],
        lanes: Sequence[Lane],
        *,
        max_new_tokens: int = 100,
        eos_token: int | None = None,
        slide: bool = False,
        n_candidates: int = N_CANDIDATES,
        tokenizer=None,
    ):
        check_whole("max_new_tokens", max_new_tokens, 0, MAX_NEW_TOKENS)
        lanes = [among_listed(lane, model) for lane in lanes]
        check_lanes(model, lanes, max_new_tokens, eos_token)
        check_prefix(model, prompt)
        self.model, self.prompt, self.lanes = model, tuple(prompt), tuple(lanes)
        self.max_new_tokens, self.eos_token = max_new_tokens, eos_token
        self.n_candidates, self.tokenizer = n_candidates, tokenizer
        self.limit = model.context_length if slide else None
        self.device = device_of(model)
        self.made = 0  # positions decided by lanes that do not look ahead
        self._kept: list[Kept] = [self._begin(lane) for lane in self.lanes]
        self._rows: Rows | None = None
        self._state: State | None = None
        self._slid = 0
        self._next: Tensor | None = None  # tokens (R, 1) that the model has not read yet

    def __iter__(self) -> Iterator[tuple[Step | None, ...]]:
        return self

    @torch.inference_mode()
    def __next__(self) -> tuple[Step | None, ...]:
        if self.is_done:
            raise StopIteration
        logits, hidden = self._read()
        steps = [
            kept.next() if isinstance(kept, Guesses | Apart) and not kept.is_done else None
            for kept in self._kept
        ]
        if logits is not None:
            self._decide(logits, hidden, steps)
        self.made += 1
        if not any(steps) and all(kept.is_done for kept in self._kept):
            raise StopIteration
        return tuple(steps)

    @property
    def is_done(self) -> bool:
        return self.max_new_tokens == 0 or all(kept.is_done for kept in self._kept)

    def has_ended(self, lane: int) -> bool:
        return self._kept[lane].is_done

    def calls(self, lane: int) -> int:
        """Return how often the model was called for a lane since it read the prompt."""
        kept = self._kept[lane]
        if isinstance(kept, Single):
            return max(0, len(kept.steps) - 1)
        if isinstance(kept, Apart):
            return kept.run.calls(0)
        return kept.calls

    def trace(self, lane: int, name: str) -> Trace:
        """Return what a lane has decided so far; of a search, its best hypothesis."""
        kept, own = self._kept[lane], self.lanes[lane]
        if isinstance(kept, Apart):
            return kept.run.trace(0, name)
        if isinstance(kept, Single | Guesses):
            steps, search, others = tuple(kept.steps), (), ()
        else:
            steps, search, others = kept.steps(), tuple(kept.weighed), kept.alternatives()
        return Trace(name, self.prompt, own.seed, steps, own.settings(), search, others)

    # -- inside ----------------------------------------------------------------------------------

    def _begin(self, lane: Lane) -> Kept:
        if isinstance(lane.strategy, ContrastiveSearch) and len(self.lanes) > 1:
            run = Run(
                self.model, self.prompt, [lane], max_new_tokens=self.max_new_tokens,
                eos_token=self.eos_token, slide=self.limit is not None,
                n_candidates=self.n_candidates, tokenizer=self.tokenizer,
            )  # fmt: skip
            return Apart(run)
        if isinstance(lane.strategy, Speculating):
            setting = Setting(
                self.model, self.prompt, self.max_new_tokens, self.eos_token, self.limit,
                self.n_candidates, self.tokenizer, self.device,
            )  # fmt: skip
            return Guesses(lane, setting)
        return lane.strategy.start(lane) if isinstance(lane.strategy, SearchStrategy) else Single()

    def _read(self) -> tuple[Tensor | None, Tensor | None]:
        """Let the model read what was decided; return logits (R, V), and hidden states if asked."""
        if self._rows is None:
            return self._read_prompt()
        if self._next is None:
            return None, None
        length = self._rows.tokens.shape[1]
        self._slid = slid_before(length, self.limit)
        tokens = self._next
        if self._slid:  # read the newest half of every row again
            kept = self._rows.tokens[:, 1 + dropped_tokens(length, self.limit) :]
            tokens = torch.cat((self._rows.tokens[:, :1], kept), dim=1)
            self._state = self.model.initial_state(len(tokens))
        if isinstance(self._kept[0], Contrasting):
            logits, hidden, self._state = read_hidden(self.model, tokens, self._state)
            return logits, hidden
        logits, self._state = self.model.step(tokens, self._state)
        return logits, None

    def _read_prompt(self) -> tuple[Tensor | None, Tensor | None]:
        owners = []  # one row each, and those that a search begins with
        for lane, kept in enumerate(self._kept):
            if not isinstance(kept, Guesses | Apart):
                owners += [lane] * (len(kept.rows) if isinstance(kept, Search) else 1)
        count = len(owners)
        self._rows = Rows(
            owners,
            torch.tensor([self.prompt], device=self.device).expand(count, -1),
            torch.zeros(count, 0, dtype=torch.float64, device=self.device),
        )
        self._slid = slid_before(len(self.prompt), self.limit)
        if not owners:
            return None, None
        window = torch.tensor([visible_window(self.prompt, self.limit)], device=self.device)
        if isinstance(self._kept[0], Contrasting):  # it is the only lane
            logits, hidden, state = read_hidden(self.model, window, self.model.initial_state(1))
            self._kept[0].past.append(hidden[0])
        else:
            logits, state = self.model.step(window, self.model.initial_state(1))
        if count > 1:  # every row starts from the same State, read once
            state = state.select(torch.zeros(count, dtype=torch.int64, device=self.device))
            logits = logits.expand(count, -1)
        self._state = state
        return logits, None

    def _decide(self, logits: Tensor, hidden: Tensor | None, steps: list) -> None:
        """Decide one position of all rows; fill in `steps`, and say what the model reads next."""
        stages, over = self._stages(logits.float())
        moves = {}
        singles = [
            row
            for row, lane in enumerate(self._rows.owners)
            if isinstance(self._kept[lane], Single)
        ]
        if singles:
            moves |= self._decide_singles(stages, over, singles, steps)
        for lane, kept in enumerate(self._kept):
            rows = self._rows.of(lane) if isinstance(kept, Search) and not kept.is_done else []
            if rows:
                before = kept.best().length
                move = kept.move(self._view(lane, rows, stages, hidden, over))
                if not kept.is_done:
                    moves[lane] = move
                    kept.calls += 1
                steps[lane] = kept.best().step if kept.best().length > before else None
        self._advance(moves)

    def _stages(self, logits: Tensor) -> tuple[Tensor, list[bool]]:
        """Return the stages (S, R, V) of all rows, and whose text is complete.

        Rows with the same processors are shaped together; rows of a search start from log p.
        """
        groups: dict[tuple[tuple[Processor, ...], bool], list[int]] = {}
        for row, lane in enumerate(self._rows.owners):
            is_search = isinstance(self._kept[lane], Search)
            groups.setdefault((self.lanes[lane].active, is_search), []).append(row)
        depth = 1 + max(len(active) for active, _ in groups)
        R = len(self._rows.owners)
        over = [False] * R
        if depth == 1 and not any(is_search for _, is_search in groups):
            return logits[None], over
        stages = logits.new_empty(depth, R, logits.shape[1]) if len(groups) > 1 else None
        for (active, is_search), rows in groups.items():
            index = torch.tensor(rows, device=self.device) if len(groups) > 1 else slice(None)
            own = [logits[index].log_softmax(-1) if is_search else logits[index]]
            context = self._context(rows, index)
            for processor in active:
                own.append(processor(own[-1], context))
                for row, end in zip(rows, processor.is_over(context), strict=True):
                    over[row] |= end
            if stages is None:
                return torch.stack(own), over
            stages[:, index] = torch.stack(own + own[-1:] * (depth - len(own)))
        return stages, over

    def _context(self, rows: list[int], index) -> Context:
        position = self._rows.tokens.shape[1]

        def uniform(use: str) -> Tensor:
            numbers = [self._uniform(row, position, use) for row in rows]
            return torch.tensor(numbers, dtype=torch.float64, device=self.device)[:, None]

        return Context(
            self._rows.tokens[index], len(self.prompt), self._rows.logprobs[index],
            self.eos_token, self.tokenizer, uniform,
        )  # fmt: skip

    def _uniform(self, row: int, position: int, use: str) -> float:
        lane = self._rows.owners[row]
        kept, sample = self._kept[lane], 0
        if isinstance(kept, Search):
            sample = kept.sample_of(row - self._rows.owners.index(lane))
        return self.lanes[lane].uniform(position, use, sample)

    def _decide_singles(
        self, stages: Tensor, over: list[bool], rows: list[int], steps: list
    ) -> dict[int, Move]:
        """Decide for all lanes of one row at once."""
        position = self._rows.tokens.shape[1]
        for row in [row for row in rows if over[row]]:
            self._kept[self._rows.owners[row]].is_done = True
        rows = [row for row in rows if not over[row]]
        if not rows:
            return {}
        lanes = [self._rows.owners[row] for row in rows]
        own = [self.lanes[lane] for lane in lanes]
        everything = len(rows) == len(self._rows.owners)
        stages = stages if everything else stages[:, rows]
        tokens = torch.empty(len(rows), dtype=torch.int64, device=self.device)
        for strategy in dict.fromkeys(lane.strategy for lane in own):
            index = [i for i, lane in enumerate(own) if lane.strategy == strategy]
            uniforms = None
            if strategy.is_random:
                numbers = [[own[i].uniform(position)] for i in index]
                uniforms = torch.tensor(numbers, dtype=torch.float64)
            whole = slice(None) if len(index) == len(rows) else index
            tokens[whole] = strategy.choose(stages[-1][whole], uniforms)
        told = tell(stages, tokens, own, position, slid=self._slid, n_candidates=self.n_candidates)
        moves = {}
        for lane, facts in zip(lanes, told, strict=True):
            kept = self._kept[lane]
            steps[lane] = facts.step()
            kept.steps.append(steps[lane])
            kept.is_done = facts.token == self.eos_token or len(kept.steps) >= self.max_new_tokens
            if not kept.is_done:
                moves[lane] = Move([0], [facts.token], [facts.logprob_processed])
        return moves

    def _view(self, lane: int, rows: list[int], stages: Tensor, hidden, over: list[bool]) -> View:
        own = self.lanes[lane]
        index = slice(rows[0], rows[-1] + 1)  # rows of a lane stand side by side
        return View(
            stages=stages[: len(own.stages), index],
            hidden=None if hidden is None else hidden[index],
            position=self._rows.tokens.shape[1],
            made=self._rows.tokens.shape[1] - len(self.prompt),
            longest=self.max_new_tokens,
            is_over=over[index],
            eos_token=self.eos_token,
            slid=self._slid,
            n_candidates=self.n_candidates,
        )

    def _advance(self, moves: dict[int, Move]) -> None:
        """Lay the rows that go on side by side, with their new tokens."""
        owners, parents, tokens, logprobs = [], [], [], []
        for lane in sorted(moves):
            first = self._rows.owners.index(lane)
            move = moves[lane]
            owners += [lane] * len(move.tokens)
            parents += [first + parent for parent in move.parents]
            tokens += move.tokens
            logprobs += move.logprobs
        if not owners:
            self._next = None
            return
        self._next = torch.tensor(tokens, device=self.device)[:, None]
        told = torch.tensor(logprobs, dtype=torch.float64, device=self.device)[:, None]
        old = self._rows
        if parents != list(range(len(old.owners))):
            index = torch.tensor(parents, device=self.device)
            old = Rows(old.owners, old.tokens[index], old.logprobs[index])
            self._state = self._state.select(index)
        self._rows = Rows(
            owners,
            torch.cat((old.tokens, self._next), dim=1),
            torch.cat((old.logprobs, told), dim=1),
        )
