"""Trainings that experiments compare: each is `python -m train.text` in a process of its own.

A run is named by its flags, so what two experiments share is trained once, one that was killed goes
on where it was, and a finished one is kept.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from playground.checkpoints import read_config

RUNS = Path("runs/experiments")
# One thread and float32, so that a second of the same machine gives the same bits.
COMMON = "--threads 1 --precision float32 --context-length 128 --batch-size 32"


@dataclass(frozen=True)
class Run:
    """One training, by the flags that make it."""

    flags: str
    folder_of_all: Path = RUNS

    @property
    def arguments(self) -> list[str]:
        return shlex.split(f"{COMMON} {self.flags}")

    @property
    def folder(self) -> Path:
        digest = hashlib.sha256(" ".join(self.arguments).encode()).hexdigest()[:12]
        return self.folder_of_all / digest

    @property
    def command(self) -> str:
        """What trains it, without --out, which is where it happened to be put."""
        return "python -m train.text " + shlex.join(self.arguments)

    @property
    def is_finished(self) -> bool:
        """Whether all is there; the card is the last that is written."""
        return (self.folder / "README.md").is_file()

    @property
    def seconds(self) -> float:
        """How long a processor worked, which is what an idle machine would have taken."""
        return self.info["processor_seconds"]

    @cached_property
    def info(self) -> dict:
        return read_config(self.folder)["info"]

    @cached_property
    def records(self) -> list[dict]:
        """Return the lines of metrics.jsonl; of counts there are none."""
        path = self.folder / "metrics.jsonl"
        if not path.is_file():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def curve(self) -> list[dict]:
        """Return what was held out against tokens and processor seconds, at every validation."""
        told, found = {}, []
        for record in self.records:
            told |= record
            if "held_out_bits_per_char" in record:
                found.append(
                    {
                        "step": record["step"],
                        "tokens": told.get("read", 0),
                        "seconds": told.get("processor_seconds", 0.0),
                        "bits_per_char": record["held_out_bits_per_char"],
                    }
                )
        return found


def train_all(
    runs: Sequence[Run], jobs: int = 1, told: Callable[[int, int], None] = lambda done, all: None
) -> None:
    """Train what is not finished, `jobs` at a time; `told` hears how many of how many are done.

    Raises:
        subprocess.CalledProcessError: one failed; what it printed stands above.
    """
    todo = [run for run in dict.fromkeys(runs) if not run.is_finished]
    done = len(set(runs)) - len(todo)
    told(done, len(set(runs)))
    with ThreadPoolExecutor(jobs) as pool:
        for _ in pool.map(_train, todo):
            done += 1
            told(done, len(set(runs)))


def _train(run: Run) -> None:
    run.folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "train.text", *run.arguments, "--out", str(run.folder)]
    with open(run.folder / "log.txt", "a", encoding="utf-8") as log:
        subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
