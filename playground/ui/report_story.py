"""What a report tells of, whatever it is written as."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from playground.comparison import LaneResult, Real, kind_of
from playground.comparison.contract import Condition


@dataclass(frozen=True)
class Story:
    """All that is told of a run; text comes as it is and is escaped where it is written."""

    settings: Any  # a dataclass of plain values
    labels: Sequence[str]
    results: Sequence[LaneResult]
    rows: Sequence[dict]  # of compare_table
    tokenizer: Any
    prompt: str
    link: str = ""
    device: str = ""
    charts: Sequence[tuple[str, str]] = ()  # title, SVG that was made here
    real: Real | None = None  # pictures or sounds that people made
    label: Condition = None  # what all lanes are told, of pictures and sounds

    @property
    def kind(self) -> str:
        """The modality of what the lanes made."""
        return kind_of(self.tokenizer).name
