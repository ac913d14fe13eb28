"""What a visitor wants trained, as flags of `train.text`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from playground.errors import ConfigError, DataError, check_range, check_whole
from playground.running.families import NUMBERS
from playground.running.settings import SETTINGS, Value, flags_of

SCHEDULES = ("cosine", "linear", "inverse-sqrt", "constant")
LEAST_MINUTES, MAX_MINUTES = 0.1, 120
LEAST_PIECES, MAX_PIECES = 300, 8192  # of byte pairs; the 256 bytes are among them
MAX_PAIRED = 5_000_000  # characters of a visitor's text: cutting one takes 250 bytes each
PAIRED_A_SECOND = 250_000  # characters, for learning the pieces and cutting the text
MAX_READ = 32_768  # tokens a step
WATCHED = "--save-every 50 --judge-seconds 4 --judge-tokens 4000 --snapshots 8"
HELD_OUT = 0.05  # of the text, but no more than:
MOST_HELD_OUT = 100_000  # characters, which are all judged at the end


@dataclass(frozen=True)
class Order:
    """A training as a visitor describes it; `sizes` are the flags of its size, as a preset has.

    `pieces` of byte pairs are its tokens, characters if it is 0; `settings` are of SETTINGS, by
    their flags.
    """

    family: str
    sizes: str
    schedule: str = "cosine"
    minutes: float = 3.0
    pieces: int = 0
    settings: Mapping[str, Value] = field(default_factory=dict)

    def flags(self, data: str, characters: int) -> list[str]:
        """Return the flags that train it on a text of so many characters; no `data`: another's.

        Raises:
            ConfigError: a number is out of its range.
            DataError: the text is too long for byte pairs.
        """
        check_range("The minutes", self.minutes, LEAST_MINUTES, MAX_MINUTES)
        share = min(HELD_OUT, max(0.001, round(MOST_HELD_OUT / max(1, characters), 4)))
        flags = ["--family", self.family, *(("--data", data) if data else ())]
        flags += [*shlex.split(self.sizes), "--held-out", f"{share:g}"]
        if self.pieces:
            check_whole("The byte pairs", self.pieces, LEAST_PIECES, MAX_PIECES)
            if not data and characters > MAX_PAIRED:
                raise DataError(
                    f"The text has {characters / 1e6:.1f} MB; byte pairs are learned from texts of "
                    f"up to {MAX_PAIRED / 1e6:g} MB. Cut it, or let its tokens be characters."
                )
            flags += ["--vocab-size", str(self.pieces)]
        if self.family == "ngram":
            return flags
        settings = flags_of(self.family, self.settings)
        length, batch = (self._value(flag) for flag in ("--context-length", "--batch-size"))
        if length * batch > MAX_READ:
            raise ConfigError(
                f"A step would read {batch} windows of {length} tokens, {length * batch:,} "
                f"together; at most {MAX_READ:,} are read. Lower the batch size or the context "
                "length."
            )
        return [
            *flags, "--schedule", self.schedule, "--minutes", f"{self.minutes:g}", *settings,
            *shlex.split(WATCHED),
        ]  # fmt: skip

    def _value(self, flag: str) -> Value:
        return self.settings.get(flag, SETTINGS[flag].default)


def own_sizes(numbers: Mapping[str, int]) -> str:
    """Return the flags of sizes that a visitor chose.

    Raises:
        ConfigError: one is out of its range, or the heads do not divide the width.
    """
    for flag, value in numbers.items():
        known = NUMBERS[flag]
        check_whole(known.label, value, known.least, known.most)
    width, heads = numbers.get("--n-embd", 0), numbers.get("--n-head")
    if heads and width % (2 * heads):
        raise ConfigError(
            f"The width, {width}, must be a multiple of twice the {heads} attention heads: each "
            f"takes an equal, even share of it. Try {max(1, round(width / heads / 2)) * 2 * heads}."
        )
    return " ".join(f"{flag} {value}" for flag, value in numbers.items())
