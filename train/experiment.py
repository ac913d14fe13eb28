"""Make one of the experiments of the Experiments page: python -m train.experiment scaling

Trains what is missing (each a `python -m train.text` of its own, kept under runs/), measures, and
writes playground/experiments/results/NAME.json. `--reduced` does it with few steps and one
seed, to show how it is done.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path

import torch

from playground.checkpoints import write_atomically
from playground.errors import PlaygroundError, check_whole
from playground.experiments.findings import finding
from playground.experiments.results import FOLDER, NAMES, Result

SEEDS = 3


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m train.experiment", description=__doc__)
    top.add_argument("name", choices=NAMES)
    top.add_argument("--seeds", type=int, default=SEEDS, help="trainings of each kind")
    top.add_argument("--jobs", type=int, default=1, help="trainings at a time, one thread each")
    top.add_argument("--reduced", action="store_true", help="few steps, one seed: some minutes")
    top.add_argument("--out", type=Path, default=FOLDER, help="folder of the result")
    return top


def told(done: int, total: int) -> None:
    """Print how far it is; whoever started this reads it."""
    print(json.dumps({"done": done, "of": total}), flush=True)


def make(name: str, seeds: int, jobs: int, is_reduced: bool) -> Result:
    """Train and measure; return the result. What trains nothing has its own number of seeds."""
    experiment = importlib.import_module(f"train.experiments.{name}")
    trained = getattr(experiment, "SEEDS", 1 if is_reduced else seeds)
    started = time.time()
    more = experiment.REDUCED if is_reduced else {}
    rows = experiment.measure(1 if is_reduced else seeds, jobs, told=told, **more)
    changed = ["--reduced"] if is_reduced else []
    changed += [f"--seeds {seeds}"] if seeds != SEEDS and not is_reduced else []
    return Result(
        name,
        " ".join(["python -m train.experiment", name, *changed]),
        experiment.DATA,
        f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
        round(sum(row.get("seconds", 0) for row in rows) or time.time() - started),
        trained,
        is_reduced,
        tuple(rows),
    )


def main(argv: list[str] | None = None) -> int:
    chosen = parser().parse_args(argv)
    try:
        check_whole("--seeds", chosen.seeds, 1, 10)
        check_whole("--jobs", chosen.jobs, 1, 64)
        result = make(chosen.name, chosen.seeds, chosen.jobs, chosen.reduced)
    except subprocess.CalledProcessError as error:
        print(f"{shlex.join(error.cmd[1:])} ended with {error.returncode}", file=sys.stderr)
        return 2
    except PlaygroundError as error:
        print(error, file=sys.stderr)
        return 2
    text = result.to_json()
    path = chosen.out / f"{chosen.name}.json"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    print(f"{path.name}: {len(result.rows)} rows. {finding(result).text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
