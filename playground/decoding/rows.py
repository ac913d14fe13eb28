"""The rows of the model that a Run shares among its lanes, and lanes that need no search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from playground.decoding.lane import Lane
from playground.errors import ConfigError, check_whole
from playground.models.base import ARModel
from playground.traces.trace import Step

if TYPE_CHECKING:
    from playground.decoding.run import Run

MAX_LANES = 64
MAX_ROWS = 512  # of all lanes together


def check_lanes(
    model: ARModel, lanes: Sequence[Lane], max_new_tokens: int, eos_token: int | None
) -> None:
    """Raise ConfigError if there are too many lanes or rows, or a strategy cannot do its work."""
    check_whole("the number of lanes", len(lanes), 1, MAX_LANES)
    rows = [getattr(lane.strategy, "max_rows", 1) for lane in lanes]
    if sum(rows) > MAX_ROWS:
        raise ConfigError(
            f"The lanes together may hold at most {MAX_ROWS} texts at once, got {sum(rows)}. Use "
            "fewer lanes, or fewer beams, samples or candidates in each."
        )
    for lane in lanes:
        if hasattr(lane.strategy, "check"):
            lane.strategy.check(model, max_new_tokens, eos_token)


@dataclass
class Single:
    """A lane of one row: its decisions so far."""

    steps: list[Step] = field(default_factory=list)
    is_done: bool = False


class Apart:
    """A lane that reads hidden states: a Run of its own, for it calls the model in its own way.

    Which way changes last bits, and so would change the lanes beside it; and where its rows were
    read beside others, it would change with them.
    """

    def __init__(self, run: Run):
        self.run = run

    @property
    def is_done(self) -> bool:
        return self.run.is_done

    def next(self) -> Step | None:
        """Return the next decision, None while it looks ahead or when the text is complete."""
        return next(self.run, (None,))[0]


@dataclass
class Rows:
    """The rows of all lanes: whose they are, their tokens, and how likely those were."""

    owners: list[int]  # lane of each row, in order
    tokens: Tensor  # (R, T)
    logprobs: Tensor  # (R, T - prompt): log p after all processors

    def of(self, lane: int) -> list[int]:
        return [row for row, owner in enumerate(self.owners) if owner == lane]
