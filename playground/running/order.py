"""What a visitor wants trained, as flags of `train.text`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from playground.errors import check_range, check_whole
from playground.running.families import FAMILIES, NUMBERS, WINDOWS

SCHEDULES = ("cosine", "linear", "inverse-sqrt", "constant")
MAX_MINUTES = 120
# The speed of the first 20 steps decides how many fit, so the warm-up ends there.
WATCHED = "--warmup 20 --save-every 50 --judge-seconds 4 --judge-tokens 4000 --snapshots 8"
HELD_OUT = 0.05  # of the text, but no more than:
MOST_HELD_OUT = 100_000  # characters, which are all judged at the end


@dataclass(frozen=True)
class Order:
    """A training as a visitor describes it; `sizes` are the flags of its size, as a preset has."""

    family: str
    sizes: str
    schedule: str = "cosine"
    minutes: float = 3.0
    seed: int = 0
    dropout: float = 0.0
    options: Mapping[str, str] = field(default_factory=dict)

    def flags(self, data: str, characters: int) -> list[str]:
        """Return the flags that train it on a text of so many characters; no `data`: another's.

        Raises:
            ConfigError: a number is out of its range.
        """
        check_range("The minutes", self.minutes, 0.1, MAX_MINUTES)
        check_whole("The seed", self.seed, 0, 2**31 - 1)
        check_range("Dropout", self.dropout, 0.0, 0.9)
        share = min(HELD_OUT, max(0.001, round(MOST_HELD_OUT / max(1, characters), 4)))
        flags = ["--family", self.family, *(("--data", data) if data else ())]
        flags += shlex.split(f"{WINDOWS} {self.sizes}")
        flags += ["--held-out", f"{share:g}"]
        if self.family == "ngram":
            return flags
        for flag, value in self.options.items():
            if flag in FAMILIES[self.family].options and value != "no":
                flags += [flag] if value == "yes" else [flag, value]
        flags += ["--schedule", self.schedule, "--minutes", f"{self.minutes:g}"]
        flags += ["--seed", str(self.seed), *shlex.split(WATCHED)]
        return flags + (["--dropout", f"{self.dropout:g}"] if self.dropout else [])


def own_sizes(numbers: Mapping[str, int]) -> str:
    """Return the flags of sizes that a visitor chose.

    Raises:
        ConfigError: one is out of its range.
    """
    for flag, value in numbers.items():
        known = NUMBERS[flag]
        check_whole(known.label, value, known.least, known.most)
    return " ".join(f"{flag} {value}" for flag, value in numbers.items())
