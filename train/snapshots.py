"""Copies of a model in the course of its training, so that one can look back at what it knew."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from playground.checkpoints import save
from playground.errors import ConfigError
from playground.models.base import count_parameters
from playground.running.snapshots import FOLDER, folder_of
from train.loop import PROBE_STEPS

LEAST_SNAPSHOTS, MAX_SNAPSHOTS = 4, 20
MAX_BYTES = 2 * 2**30  # of all snapshots of a run, two bytes a weight


def snapshot_steps(total: int, count: int) -> list[int]:
    """Return `count` steps or fewer, from 0 to `total`, the later ones in equal ratios.

    The first three are the same whatever `total` is: a plan for --minutes is made after them.
    """
    first = [step for step in (0, 3, PROBE_STEPS) if step < total]
    if total <= PROBE_STEPS:
        return [*first, total]
    ratio, n = total / PROBE_STEPS, count - 3
    return sorted({*first, *(round(PROBE_STEPS * ratio ** (i / n)) for i in range(1, n + 1))})


class Snapshots:
    """The snapshots of one run: float16 checkpoints in a folder a step.

    Each is written before the run saves that step, so one that was killed has all up to there.
    """

    def __init__(self, out: Path, model: torch.nn.Module, tokenizer, count: int):
        needed = 2 * count * count_parameters(model)
        if needed > MAX_BYTES:
            raise ConfigError(
                f"{count} snapshots of {count_parameters(model):,} parameters are "
                f"{math.ceil(needed / 2**20):,} MB; at most {MAX_BYTES // 2**20:,} MB are kept. "
                "Lower --snapshots, or train a smaller model."
            )
        self.out, self.model, self.tokenizer, self.count = out, model, tokenizer, count

    def keep(self, run) -> None:
        """Write a snapshot if one is due after so many steps."""
        if self.count and run.done in snapshot_steps(run.total, self.count):
            folder = folder_of(self.out / FOLDER, run.done)
            info = {"step": run.done}
            save(folder, self.model, self.tokenizer, info=info, dtype=torch.float16)

    def keep_as_checkpoint(self, run) -> None:
        """Leave what a stopped run has learned as the folder's checkpoint, to be tried at once."""
        if self.count:
            info = {"stopped_at_step": run.done, "of": run.total}
            save(self.out, self.model, self.tokenizer, info=info, dtype=torch.float16)
