"""Step and Trace: a record of decisions without tensors, as JSON and back.

All probabilities are kept as natural logarithms; the page turns them into bits or per cent.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

from playground.errors import TraceError

FORMAT = "playground-trace/2"
MAX_STEPS = 2**17
MAX_JSON_BYTES = 64 * 2**20
MAX_WHOLE = 2**53  # the largest that JavaScript, and so any JSON, holds exactly
CHOOSERS = ("strategy", "user", "prompt", "draft")
FATES = ("live", "pruned", "finished")


class Candidate(NamedTuple):  # made by the dozen at every decision: a tuple is made fastest
    """One token that might have been chosen, and what the processors made of it.

    `logprobs[0]` is under the raw model, `logprobs[i]` after the i-th processor of the Step's
    `stages`; it is -inf from the processor that removed the token on.
    """

    token: int
    logprobs: tuple[float, ...]

    @property
    def removed_by(self) -> int | None:
        """Index into `Step.stages` of the processor that removed the token, None if none did."""
        return next((i for i, lp in enumerate(self.logprobs) if lp == -math.inf), None)


@dataclass(frozen=True, slots=True)
class Draft:
    """What a draft proposed for a position, and what became of it (speculative decoding)."""

    token: int
    logprob: float  # under the draft, after the processors
    accepted: bool
    dropped: tuple[int, ...] = ()  # proposals behind a rejected one, never looked at


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One continuation that a search weighed at a position."""

    parent: int  # index among those of the position before that are live; 0 at the first
    token: int
    logprob: float  # sum of log p after the processors, from the prompt to here
    score: float  # what it is ranked by: the sum with the length penalty, or with noise
    fate: str  # one of FATES
    group: int = 0  # of diverse beam search; constraint tokens met, of constrained


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another whole result of a lane that has several, and how it was ranked."""

    tokens: tuple[int, ...]  # after the prompt
    logprob: float  # sum of log p after the processors
    score: float


@dataclass(frozen=True, slots=True)
class Step:
    """One decision: which token came at `position`, and what the model thought of it."""

    position: int  # index in the sequence; BOS is 0
    token: int
    logprob: float  # of the token under the raw model
    logprob_processed: float  # after every processor; -inf if one removed it (a user's choice)
    rank: int  # 1: the raw model's most likely token
    entropy: float  # of the raw distribution, in nats
    kept: int  # tokens the processors left
    stages: tuple[str, ...] = ("model",)  # "model", then each processor as it was applied
    candidates: tuple[Candidate, ...] = ()  # by raw probability, most likely first
    chosen_by: str = "strategy"  # one of CHOOSERS
    slid: int = 0  # oldest tokens dropped from the window just before this decision
    draft: Draft | None = None  # what was proposed here, if anything was

    @property
    def surprisal(self) -> float:
        """-log2 p of the token under the raw model, in bits."""
        return -self.logprob / math.log(2)

    @property
    def entropy_bits(self) -> float:
        """Entropy of the raw distribution, in bits."""
        return self.entropy / math.log(2)


@dataclass(frozen=True)
class Trace:
    """A prompt and every decision after it, with all that is needed to repeat them."""

    model: str
    prompt: tuple[int, ...]  # BOS first
    seed: int
    steps: tuple[Step, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    search: tuple[tuple[Hypothesis, ...], ...] = ()  # what was weighed at each position
    alternatives: tuple[Alternative, ...] = ()  # every result, the best first

    @cached_property
    def tokens(self) -> tuple[int, ...]:
        """The prompt and the chosen tokens."""
        return self.prompt + tuple(step.token for step in self.steps)

    def extend(self, steps: Sequence[Step], settings: dict[str, Any] | None = None) -> Trace:
        """Return the trace with more decisions, the last of them made under `settings`."""
        settings = self.settings if settings is None else settings
        longer = replace(self, steps=(*self.steps, *steps), settings=settings)
        tokens = (*self.tokens, *(step.token for step in steps))
        longer.__dict__["tokens"] = tokens  # of a second of sound there are thousands
        return longer

    def cut(self, length: int) -> Trace:
        """Return the trace of the first `length` tokens, prompt and BOS counted."""
        kept = max(0, length - len(self.prompt))
        if length >= len(self.prompt) and kept >= len(self.steps):
            return self
        return replace(
            self, prompt=self.prompt[:length], steps=self.steps[:kept],
            search=self.search[:kept], alternatives=(),
        )  # fmt: skip

    def to_json(self, label: Callable[[int], str] | None = None) -> str:
        """Return the trace as JSON; with `label` the names of its tokens go along.

        -inf, which JSON does not know, is written as null.
        """
        data = {"format": FORMAT, **asdict(self)}
        for step in data["steps"]:
            step["logprob"] = _null(step["logprob"])
            step["logprob_processed"] = _null(step["logprob_processed"])
            step["candidates"] = [
                {"token": token, "logprobs": [_null(lp) for lp in logprobs]}
                for token, logprobs in step["candidates"]
            ]
            if step["draft"] is not None:
                step["draft"]["logprob"] = _null(step["draft"]["logprob"])
        for ranked in (*data["alternatives"], *(h for row in data["search"] for h in row)):
            ranked["logprob"], ranked["score"] = _null(ranked["logprob"]), _null(ranked["score"])
        if label is not None:
            named = set(self.tokens) | {c.token for s in self.steps for c in s.candidates}
            named |= {h.token for row in self.search for h in row}
            named |= {s.draft.token for s in self.steps if s.draft is not None}
            named |= {token for other in self.alternatives for token in other.tokens}
            data["labels"] = {str(token): label(token) for token in sorted(named)}
        return json.dumps(data, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Trace:
        """Return the trace that `to_json` wrote.

        Raises:
            TraceError: the text is too long, no JSON, or not such a trace.
        """
        if len(text) > MAX_JSON_BYTES:
            raise TraceError(
                f"The trace has {len(text) / 2**20:.0f} MB; at most {MAX_JSON_BYTES >> 20} MB are "
                "read. Export a shorter one."
            )
        try:
            data = json.loads(text)
            if data["format"] != FORMAT:
                raise ValueError(f"format is {data['format']!r}, not {FORMAT!r}")
            if max(len(data["steps"]), len(data["search"])) > MAX_STEPS:
                raise ValueError(f"more than {MAX_STEPS} steps")
            json.dumps(data["settings"], allow_nan=False)  # 1e999 would not be written again
            prompt = tuple(_whole(token) for token in data["prompt"])
            return cls(
                model=str(data["model"]),
                prompt=prompt,
                seed=_whole(data["seed"]),
                steps=tuple(_step(s, at) for at, s in enumerate(data["steps"], len(prompt))),
                settings=dict(data["settings"]),
                search=_search(data["search"]),
                alternatives=tuple(_alternative(a) for a in data["alternatives"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise TraceError(
                f"This is no trace of the playground ({type(error).__name__}: {str(error)[:200]}). "
                "Upload a JSON file that was downloaded here."
            ) from error

    def to_csv(self, label: Callable[[int], str]) -> str:
        """Return one line a decision; probabilities as fractions, information in bits."""
        out = io.StringIO()
        writer = csv.writer(out)  # lines end as RFC 4180 says, or "\r" would not be quoted
        writer.writerow(
            "position token label probability probability_processed surprisal_bits entropy_bits "
            "rank kept chosen_by".split()
        )
        for s in self.steps:
            name = label(s.token)
            if name.startswith(
                ("=", "+", "-", "@", "\t", "\r")
            ):  # a spreadsheet would run it as a formula
                name = "'" + name
            writer.writerow(
                (
                    *(
                        s.position,
                        s.token,
                        name,
                        math.exp(s.logprob),
                        math.exp(s.logprob_processed),
                    ),
                    *(s.surprisal, s.entropy_bits, s.rank, s.kept, s.chosen_by),
                )
            )
        return out.getvalue()


def _null(logprob: float) -> float | None:
    return None if logprob == -math.inf else logprob


def _logprob(value: float | None) -> float:
    number = -math.inf if value is None else float(value)
    if math.isnan(number) or number > 1e-3:
        raise ValueError(f"a log-probability is {value!r}")
    return number


def _score(value: float | None) -> float:
    number = -math.inf if value is None else float(value)
    if not number < math.inf:
        raise ValueError(f"a score is {value!r}")
    return number


def _whole(value: int) -> int:
    if type(value) is not int or not 0 <= value <= MAX_WHOLE:
        raise ValueError(f"{value!r} is no whole number from 0 to {MAX_WHOLE}")
    return value


def _step(data: dict, position: int) -> Step:
    """Return the Step that `data` tells of, whose place in the sequence is `position`."""
    stages = tuple(str(stage) for stage in data["stages"])
    if data["position"] != position:
        raise ValueError(f"a step of position {data['position']!r} stands at {position}")
    if data["chosen_by"] not in CHOOSERS:
        raise ValueError(f"chosen_by is {data['chosen_by']!r}")
    if any(len(c["logprobs"]) != len(stages) for c in data["candidates"]):
        raise ValueError(f"the candidates of position {position} do not fit its stages")
    if not 0 <= data["entropy"] < math.inf:
        raise ValueError(f"an entropy is {data['entropy']!r}")
    return Step(
        position=position,
        token=_whole(data["token"]),
        logprob=_logprob(data["logprob"]),
        logprob_processed=_logprob(data["logprob_processed"]),
        rank=_whole(data["rank"]),
        entropy=float(data["entropy"]),
        kept=_whole(data["kept"]),
        stages=stages,
        candidates=tuple(
            Candidate(_whole(c["token"]), tuple(_logprob(lp) for lp in c["logprobs"]))
            for c in data["candidates"]
        ),
        chosen_by=data["chosen_by"],
        slid=_whole(data["slid"]),
        draft=None if data["draft"] is None else _draft(data["draft"]),
    )


def _draft(data: dict) -> Draft:
    if type(data["accepted"]) is not bool:
        raise ValueError(f"accepted is {data['accepted']!r}")
    dropped = tuple(_whole(token) for token in data["dropped"])
    return Draft(_whole(data["token"]), _logprob(data["logprob"]), data["accepted"], dropped)


def _search(data: list) -> tuple[tuple[Hypothesis, ...], ...]:
    """Return the weighed hypotheses, each of which continues a live one."""
    rows, n_live = [], 1
    for at, row in enumerate(data):
        rows.append(tuple(_hypothesis(h) for h in row))
        if any(h.parent >= n_live for h in rows[-1]):
            raise ValueError(f"a hypothesis of row {at} continues none of the {n_live} live ones")
        n_live = sum(h.fate == "live" for h in rows[-1])
    return tuple(rows)


def _hypothesis(data: dict) -> Hypothesis:
    if data["fate"] not in FATES:
        raise ValueError(f"a fate is {data['fate']!r}")
    return Hypothesis(
        parent=_whole(data["parent"]),
        token=_whole(data["token"]),
        logprob=_score(data["logprob"]),
        score=_score(data["score"]),
        fate=data["fate"],
        group=_whole(data["group"]),
    )


def _alternative(data: dict) -> Alternative:
    tokens = tuple(_whole(token) for token in data["tokens"])
    return Alternative(tokens, _score(data["logprob"]), _score(data["score"]))
