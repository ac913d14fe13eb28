"""Where a run keeps copies of its model from the course of its training."""

from __future__ import annotations

from pathlib import Path

FOLDER = "snapshots"  # in the folder of a run
MAX_LISTED = 32


def folder_of(folder: Path, step: int) -> Path:
    """Return where the model after so many steps is."""
    return folder / f"{step:08}"


def snapshots(run: Path) -> dict[int, Path]:
    """Return the folders of a run's snapshots by their steps, the first ones if there are many."""
    found = sorted(path.parent for path in (run / FOLDER).glob("*/config.json"))
    found = [path for path in found if path.name.isdecimal() and len(path.name) <= 12]
    return {int(path.name): path for path in found[:MAX_LISTED]}
