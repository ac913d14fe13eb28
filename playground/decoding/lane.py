"""A lane: one way to decode. Its noise is a function of seed, sample, position and use."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from playground.decoding.processors import Processor
from playground.decoding.strategies import Sample, Strategy
from playground.errors import check_whole


@dataclass(frozen=True)
class Lane:
    """A strategy, its processors in the order they are applied, and where its noise starts.

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
    def plain_temperature(self) -> float | None:
        """The temperature, 1 without one, if no other processor is active; None otherwise."""
        if len(self.active) > 1:
            return None
        return self.active[0].temperature if self.active else 1.0

    @cached_property
    def rest_token(self) -> int | None:
        """What stands for all tokens that the model does not list; see `listed.py`."""
        return getattr(self.active[0], "rest_token", None) if self.active else None

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """What a Step of this lane calls its stages."""
        return ("model", *(str(p) for p in self.active))

    def uniform(self, position: int, use: str = "choice", row: int = 0) -> float:
        """Return the number in [0, 1) that decides `use` at `position`.

        Row r of a lane that keeps several has the numbers of the lane whose `sample` is r more.
        """
        return (self._digest(position, use, row) >> 11) * 2.0**-53

    def noise(self, position: int, use: str) -> torch.Generator:
        """Return a generator for what needs many numbers, on the CPU for every device."""
        return torch.Generator().manual_seed(self._digest(position, use, 0) >> 1)

    def _digest(self, position: int, use: str, row: int) -> int:
        text = f"{self.seed}/{self.sample + row}/{position}/{use}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")

    def settings(self) -> dict[str, Any]:
        """Return what a Trace says of this lane."""
        processors = [p.to_json() for p in self.active]
        strategy = {"strategy": self.strategy.name, **self.strategy.settings()}
        return strategy | {"processors": processors, "sample": self.sample}
