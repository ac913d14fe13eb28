"""Every family on one text: loss against parameters, tokens and seconds."""

from __future__ import annotations

from collections.abc import Callable

from train.experiments.runs import Run, train_all

# About 200,000 parameters each, which counts have none of.
FAMILIES = {
    "transformer": "--family transformer --n-layer 4 --n-head 4 --n-embd 64",
    "causal-conv": "--family causal-conv --n-layer 6 --n-embd 68",
    "lstm": "--family lstm --n-layer 1 --n-embd 64 --n-hidden 192 --optimizer adamw "
    "--learning-rate 4e-3",
    "gru": "--family gru --n-layer 1 --n-embd 64 --n-hidden 224 --optimizer adamw "
    "--learning-rate 4e-3",
    "rnn": "--family rnn --n-layer 1 --n-embd 64 --n-hidden 416 --optimizer adamw "
    "--learning-rate 1e-3",
    "neural-ngram": "--family neural-ngram --order 9 --n-embd 32 --n-hidden 512 "
    "--optimizer adamw --learning-rate 3e-3",
}
# Half and twice of it, one seed each, for the loss against parameters.
OTHER_SIZES = {
    "transformer": ("--n-layer 4 --n-head 4 --n-embd 40", "--n-layer 4 --n-head 4 --n-embd 104"),
    "causal-conv": ("--n-layer 6 --n-embd 42", "--n-layer 6 --n-embd 110"),
    "lstm": ("--n-embd 64 --n-hidden 112", "--n-embd 64 --n-hidden 330"),
    "gru": ("--n-embd 64 --n-hidden 132", "--n-embd 64 --n-hidden 384"),
    "rnn": ("--n-embd 64 --n-hidden 240", "--n-embd 64 --n-hidden 690"),
    "neural-ngram": ("--n-embd 16 --n-hidden 360", "--n-embd 64 --n-hidden 900"),
}
STEPS = 300
DATA = "King James Bible, the last 5 % held out"
REDUCED = {"steps": 40}


def flags_of(family: str, seed: int, steps: int = STEPS, more: str = "") -> str:
    flags = f"{FAMILIES[family]} {more}".strip()
    return f"{flags} --steps {steps} --eval-every {max(1, steps // 10)} --warmup 40 --seed {seed}"


def runs_of(seeds: int, steps: int = STEPS) -> list[tuple[str, int, Run]]:
    """Return (family, seed, run) of every training; seed by seed, so that all have the first."""
    of_one_size = [
        (family, seed, Run(flags_of(family, seed, steps)))
        for seed in range(seeds)
        for family in FAMILIES
    ]
    other = [
        (family, 0, Run(flags_of(family, 0, steps, more)))
        for family, sizes in OTHER_SIZES.items()
        for more in sizes
    ]
    return of_one_size + other


def measure(seeds: int, jobs: int, steps: int = STEPS, told: Callable = print) -> list[dict]:
    """Train what is missing; return a row a run, with its curve."""
    runs = runs_of(seeds, steps)
    train_all([run for _, _, run in runs], jobs, told)
    rows = [
        {
            "family": family,
            "seed": seed,
            "parameters": run.info["parameters"],
            "seconds": run.seconds,
            "bits_per_char": run.info["held_out_bits_per_char"],
            "curve": run.curve(),
            "command": run.command,
        }
        for family, seed, run in runs
    ]
    for order in range(2, 7):  # counts need no seed and no steps
        run = Run(f"--family ngram --order {order}")
        train_all([run], 1)
        rows.append(
            {
                "family": f"{order}-gram",
                "seed": 0,
                "parameters": 0,
                "seconds": run.seconds,
                "bits_per_char": run.info["held_out_bits_per_char"],
                "curve": [],
                "command": run.command,
            }
        )
    return rows
