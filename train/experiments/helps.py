"""What helps training: clipping, warm-up, a curriculum, scheduled sampling; each on and off."""

from __future__ import annotations

from collections.abc import Callable

from train.experiments.families import STEPS, flags_of
from train.experiments.runs import Run, train_all

HIGH = "--muon-rate 0.1 --learning-rate 1e-2"  # so high that a warm-up has something to do
VARIANTS = {  # name: (what it is about, family, flags beside the family's)
    "clipping on": ("clipping", "rnn", "--learning-rate 4e-3 --clip 1"),
    "clipping off": ("clipping", "rnn", "--learning-rate 4e-3 --clip 1e9"),
    "warm-up on": ("warm-up", "transformer", HIGH),
    "warm-up off": ("warm-up", "transformer", f"{HIGH} --warmup 0"),
    "curriculum on": ("curriculum", "transformer", f"--curriculum {STEPS // 2}"),
    "curriculum off": ("curriculum", "transformer", ""),
    "scheduled sampling on": (
        "scheduled sampling", "transformer",
        "--scheduled-sampling inverse-sigmoid --least-true 0.75",
    ),
    "scheduled sampling off": ("scheduled sampling", "transformer", ""),
}  # fmt: skip

DATA = "King James Bible, the last 5 % held out"
REDUCED = {"steps": 40}


def run_of(name: str, seed: int, steps: int = STEPS) -> Run:
    _, family, more = VARIANTS[name]
    flags = flags_of(family, seed, steps)
    return Run(f"{flags} {more}".strip())


def measure(seeds: int, jobs: int, steps: int = STEPS, told: Callable = print) -> list[dict]:
    """Train what is missing; return a row a run, with its curve and the norms of its gradients."""
    runs = [(name, seed, run_of(name, seed, steps)) for seed in range(seeds) for name in VARIANTS]
    train_all([run for *_, run in runs], jobs, told)
    return [
        {
            "variant": name,
            "about": VARIANTS[name][0],
            "family": VARIANTS[name][1],
            "seed": seed,
            "bits_per_char": run.info["held_out_bits_per_char"],
            "curve": run.curve(),
            "gradient_norms": [r["gradient_norm"] for r in run.records if "gradient_norm" in r],
            "command": run.command,
        }
        for name, seed, run in runs
    ]
