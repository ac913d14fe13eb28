"""What the Compare page draws, as plain data: the lanes' texts, a search's tree, a draft's saving.

Nothing here knows of streamlit. Texts are lists of short strings, and figures lists of the same
length: eight lanes of 200 tokens are 25 kB a redraw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from playground.comparison import LaneResult
from playground.decoding.processors import PROCESSORS
from playground.decoding.spec import LaneSpec
from playground.decoding.strategy_catalogue import STRATEGIES
from playground.tokenizers.text import visible
from playground.traces.trace import Hypothesis, Step, Trace

MOST_BITS = 99.0  # a token of probability 0 is drawn as so surprising
PROMPT_SHOWN = 240  # characters of the prompt that every lane repeats
SAME_SHOWN = 24  # characters of what all results begin with
MAX_COLUMNS = 400  # of a tree
SCORES = {  # what the score of a search's hypothesis is
    "contrastive_search": "contrastive score",
    "stochastic_beam_search": "log p with noise",
    "minimum_bayes_risk": "likeness to the others",
    "best_of_n": "log p, length-normalised",
}
FATES = {"live": "goes on", "finished": "is finished", "pruned": "is given up"}
DRAFTED = ("speculative_decoding", "prompt_lookup")
COMBINED = {
    "guided": "classifier-free guidance: what the prompt or the class makes likelier, more so",
    "contrastive_decoding": "what a large model knows better than a small one",
    "dola": "what late layers know better than early ones",
    "ensemble": "the mean of two models",
}


def piece(token: int, tokenizer: Any) -> str:
    """Return a token as running text: what cannot be seen becomes its label."""
    plain = tokenizer.decode([token])
    if not isinstance(plain, str):  # a level of a picture
        return tokenizer.label(token)
    if plain == "\n":
        return "⏎\n"
    seen = plain and visible(plain).replace("␣", " ") == plain
    return plain if seen else tokenizer.label(token)


@dataclass
class Drawn:
    """One text as the page draws it; grows with the steps, or follows a search's best."""

    tokens: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    bits: list[float] = field(default_factory=list)
    ranks: list[int] = field(default_factory=list)
    by: list[str] = field(default_factory=list)  # first letters of who chose
    ghosts: dict[int, list[str]] = field(default_factory=dict)  # rejected drafts, by index

    def append(self, step: Step, write: Callable[[int], str]) -> None:
        draft = step.draft
        if draft is not None and not draft.accepted:
            self.ghosts[len(self.tokens)] = [write(t) for t in (draft.token, *draft.dropped)]
        self.tokens.append(step.token)
        self.texts.append(write(step.token))
        self.bits.append(round(min(MOST_BITS, step.surprisal), 4))
        self.ranks.append(step.rank)
        self.by.append(step.chosen_by[0])

    def follow(self, steps: Sequence[Step], write: Callable[[int], str]) -> None:
        """Become the text of `steps`, keeping what both begin with."""
        same = 0
        for ours, step in zip(self.tokens, steps, strict=False):
            if ours != step.token:
                break
            same += 1
        for column in (self.tokens, self.texts, self.bits, self.ranks, self.by):
            del column[same:]
        self.ghosts = {i: texts for i, texts in self.ghosts.items() if i < same}
        for step in steps[same:]:
            self.append(step, write)

    def data(self, name: str, number: int) -> dict:
        return {
            "name": name,
            "sample": number,
            "texts": self.texts,
            "bits": self.bits,
            "ranks": self.ranks,
            "by": "".join(self.by),
            "ghosts": {str(i): texts for i, texts in self.ghosts.items()},
        }


def summary(spec: LaneSpec) -> str:
    """Return what sets a lane apart, in one line."""
    told = ", ".join(f"{k} {_short(v)}" for k, v in spec.settings.items())
    parts = [spec.strategy.replace("_", " ") + (f" ({told})" if told else "")]
    parts += [str(p).replace("=", " ") for p in spec.processors if not p.is_off]
    if spec.combination:
        own = ", ".join(f"{k} {_short(v)}" for k, v in spec.combination_settings.items())
        parts.append(spec.combination.replace("_", " ") + (f" ({own})" if own else ""))
    if spec.condition != "":
        parts.append(f"class {spec.condition}")
    if spec.model:
        parts.append(f"model {spec.model}")
    if spec.second:
        parts.append(f"with {spec.second}")
    if spec.samples > 1:
        parts.append(f"{spec.samples} samples")
    return " → ".join(parts)


def explanation(spec: LaneSpec) -> str:
    """Return one sentence on what a preset shows."""
    if spec.combination:
        what = COMBINED[spec.combination]
    else:
        active = [p for p in spec.processors if not p.is_off]
        kind = PROCESSORS[active[0].name] if active else STRATEGIES[spec.strategy]
        what = kind.effect
    return what.split(": off")[0].split(". ")[0].rstrip(".01 ").rstrip(":")


def tree(trace: Trace, label: Callable[[int], str], *, last: int = MAX_COLUMNS) -> dict:
    """Return the newest `last` positions of a search: rows of hypotheses, joined to parents.

    A row is [index of its parent's row in the column before (-1: outside), text, sum of log p,
    score, fate, group, is on the way to the result].
    """
    columns = trace.search
    rows = [_in_order(column) for column in columns]
    parents = [_parent_rows(rows[t], rows[t - 1] if t else None) for t in range(len(rows))]
    path = _path(rows, parents, [step.token for step in trace.steps])
    first = max(0, len(rows) - last)
    drawn = []
    for t in range(first, len(rows)):
        column = [
            [
                parents[t][i] if t > first else -1,
                label(h.token), _figure(h.logprob), _figure(h.score), h.fate[0], h.group,
                path.get(t) == i,
            ]
            for i, h in enumerate(rows[t])
        ]  # fmt: skip
        drawn.append(column)
    return {"columns": drawn, "first": len(trace.prompt) + first}


def _in_order(column: Sequence[Hypothesis]) -> list[Hypothesis]:
    """Return live ones first, in their own order, then finished ones, then those pruned."""
    return sorted(column, key=lambda h: ("live", "finished", "pruned").index(h.fate))


def _parent_rows(column: Sequence[Hypothesis], before: Sequence[Hypothesis] | None) -> list[int]:
    if before is None:
        return [-1] * len(column)
    live = sum(h.fate == "live" for h in before)
    return [h.parent if h.parent < live else -1 for h in column]


def _path(
    rows: Sequence[Sequence[Hypothesis]],
    parents: Sequence[Sequence[int]],
    tokens: Sequence[int],
) -> dict[int, int]:
    """Return the row of each position that the text with these tokens went through."""
    reached: list[set[int]] = []
    for t, token in enumerate(tokens[: len(rows)]):
        reached.append(
            {
                i
                for i, h in enumerate(rows[t])
                if h.token == token and (t == 0 or parents[t][i] in reached[t - 1])
            }
        )
    if not reached or not reached[-1]:
        return {}
    found, row = {}, min(reached[-1])
    for t in range(len(reached) - 1, -1, -1):
        found[t] = row
        row = parents[t][row]
    return found


def saving(result: LaneResult) -> dict[str, Any] | None:
    """Return what drafts saved: tokens, calls, drafts, accepted, rate; None without drafts."""
    if result.spec.strategy not in DRAFTED:
        return None
    steps = [step for trace in result.traces for step in trace.steps]
    looked_at = [step.draft for step in steps if step.draft is not None]
    accepted = sum(draft.accepted for draft in looked_at)
    tokens = max((len(trace.steps) for trace in result.traces), default=0)
    return {
        "tokens": tokens,
        "calls": result.calls,
        "saved": max(0, tokens - 1 - result.calls),
        "looked_at": len(looked_at),
        "accepted": accepted,
        "rate": accepted / len(looked_at) if looked_at else None,
    }


def result_rows(trace: Trace, tokenizer: Any, most: int = 64) -> list[dict]:
    """Return every whole result of a lane, the best first, with both its scores.

    What all begin with is cut short, so that they can be told apart.
    """
    texts = [tokenizer.decode(other.tokens) for other in trace.alternatives[:most]]
    same = next(
        (i for i, column in enumerate(zip(*texts, strict=False)) if len(set(column)) > 1), 0
    )
    start = same - SAME_SHOWN if same > 2 * SAME_SHOWN else 0
    return [
        {
            "text": ("…" if start else "") + text[start : start + 2000],
            "tokens": len(other.tokens),
            "log p": _figure(other.logprob),
            "score": _figure(other.score),
        }
        for other, text in zip(trace.alternatives, texts, strict=False)
    ]


def weighed_rows(trace: Trace, at: int, label: Callable[[int], str]) -> list[dict]:
    """Return what a search weighed at the `at`-th position after the prompt."""
    column = trace.search[at] if at < len(trace.search) else ()
    return [
        {"token": label(h.token), "log p of the text": _figure(h.logprob),
         "score": _figure(h.score), "it": FATES[h.fate]}
        for h in _in_order(column)
    ]  # fmt: skip


def score_name(strategy: str) -> str:
    return SCORES.get(strategy, "log p, length-penalised")


def _figure(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _short(value: Any) -> str:
    return f"{value:g}" if type(value) in (int, float) else str(value)[:24]
