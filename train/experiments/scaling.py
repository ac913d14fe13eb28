"""How the loss falls with parameters and with data: at least five sizes by three amounts of text.

Kaplan et al. 2020, arXiv:2001.08361; Hoffmann et al. 2022, arXiv:2203.15556.
"""

from __future__ import annotations

from collections.abc import Callable

from train.experiments.runs import Run, train_all

# (layers, heads, width): 5,000 to 800,000 parameters without the embedding
SIZES = ((2, 2, 16), (2, 2, 32), (3, 4, 48), (4, 4, 64), (4, 4, 128))
STEPS = (60, 180, 540)  # amounts of text, 4,096 characters a step; each is read about once
WARMUP = 40
DATA = "King James Bible, the last 5 % held out"
REDUCED = {"steps": (20, 40, 80)}


def runs_of(seeds: int, steps=STEPS) -> list[tuple[tuple[int, int, int], int, int, Run]]:
    """Return (size, steps, seed, run) of every training, the smallest first."""
    return [
        (size, count, seed, Run(_flags(size, count, seed)))
        for count in steps
        for size in SIZES
        for seed in range(seeds)
    ]


def _flags(size: tuple[int, int, int], steps: int, seed: int) -> str:
    n_layer, n_head, n_embd = size
    return (
        f"--family transformer --n-layer {n_layer} --n-head {n_head} --n-embd {n_embd} "
        f"--steps {steps} --eval-every {max(1, steps // 4)} --warmup {WARMUP} --seed {seed}"
    )


def measure(seeds: int, jobs: int, steps=STEPS, told: Callable = print) -> list[dict]:
    """Train what is missing; return a row a run."""
    runs = runs_of(seeds, steps)
    train_all([run for *_, run in runs], jobs, told)
    return [
        {
            "n_layer": size[0], "n_embd": size[2], "seed": seed,
            "parameters": 12 * size[0] * size[2] ** 2,  # without embedding and norms, as Kaplan
            "tokens": count * 32 * 128,
            "bits_per_char": run.info["held_out_bits_per_char"],
            "seconds": run.seconds,
            "command": run.command,
        }
        for size, count, seed, run in runs
    ]  # fmt: skip
