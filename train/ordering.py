"""Does the order of the pixels matter? python -m train.ordering

Trains the same small Transformer on 8x8 digits in every order and with several seeds, each by
`python -m train.image` in a process of its own (twelve of them, about 100 seconds of a core each),
and writes playground/experiments/ordering.json. The models of the first seed are the checkpoints
digits-transformer-<order>. A run that was killed goes on where it was; a finished one is kept.
"""

import json
import math
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from playground.checkpoints import load, read_config, write_atomically
from playground.data.images import load_pictures
from playground.errors import PlaygroundError
from playground.evaluation.bits_per_dim import surprisal_of_pictures
from playground.experiments.ordering import RESULT, Ordered, Trained, independent_pixels
from playground.tokenizers.image import ImageTokenizer
from playground.tokenizers.orders import ORDERS
from train.config import option, parse_config
from train.image import encode

LEVELS = 17  # of the digits themselves
# One thread and float32, so that a second of the same machine gives the same bits.
FLAGS = (
    f"--data digits --model transformer --levels {LEVELS} --n-layer 4 --n-embd 48 --n-head 4 "
    "--dropout 0.1 --batch-size 32 --threads 1 --precision float32"
)


@dataclass(frozen=True)
class Config:
    """Train one Transformer on every order of the pixels, and compare them."""

    steps: int = option(1500, "optimizer steps of every run")
    seeds: int = option(3, "runs of every order, with the seeds 0, 1, ...")
    eval_every: int = option(100, "steps between points of the learning curve")
    jobs: int = option(1, "runs at a time, one thread each")
    checkpoints: Path = option(Path("checkpoints"), "where the models of seed 0 are put")
    runs: Path = option(Path("runs/ordering"), "where the models of the other seeds are put")
    result: Path = option(RESULT, "the file to write")


def folder_of(config: Config, order: str, seed: int) -> Path:
    """Return where a run is kept: the first one of an order is shipped."""
    if seed == 0:
        return config.checkpoints / f"digits-transformer-{order}"
    return config.runs / f"{order}-{seed}"


def flags_of(config: Config, order: str, seed: int) -> list[str]:
    return [
        *FLAGS.split(), "--steps", str(config.steps), "--eval-every", str(config.eval_every),
        "--order", order, "--seed", str(seed), "--out", str(folder_of(config, order, seed)),
    ]  # fmt: skip


def is_finished(folder: Path, command: str) -> bool:
    """Whether a folder holds what a command makes; the card is the last that it writes."""
    if not (folder / "README.md").is_file():
        return False
    return read_config(folder)["info"].get("command") == command


def train_one(config: Config, order: str, seed: int) -> None:
    """Train one model in a process of its own, or go on with it.

    Raises:
        subprocess.CalledProcessError: it failed; what it printed stands above.
    """
    folder, flags = folder_of(config, order, seed), flags_of(config, order, seed)
    if not is_finished(folder, "python -m train.image " + shlex.join(flags)):
        subprocess.run([sys.executable, "-m", "train.image", *flags], check=True)
    for sheet in folder.glob("samples-*.png"):  # of the way there
        sheet.unlink()


def curve_of(folder: Path) -> tuple[tuple[int, float], ...]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    return tuple(
        (r["step"], r["test_bits_per_dim"]) for r in records if "test_bits_per_dim" in r
    )  # fmt: skip


def judge_order(config: Config, order: str, test) -> Ordered:
    """Measure every model of an order on the test pictures (N, H, W, 1), as it was stored."""
    trained, bits = [], []
    for seed in range(config.seeds):
        folder = folder_of(config, order, seed)
        info = read_config(folder)["info"]
        model, tokenizer = load(folder)
        found = surprisal_of_pictures(model, encode(test, tokenizer), tokenizer.bos_token)
        found = found[:, torch.from_numpy(tokenizer.places).argsort()].double()  # row by row
        bits.append(found)
        trained.append(
            Trained(
                seed, round(found.mean().item(), 4), curve_of(folder), info["seconds"],
                info["command"],
            )
        )  # fmt: skip
    mean = torch.stack(bits).mean(0)  # (N, H * W)
    rounded = [[round(value, 3) for value in mean.mean(axis).tolist()] for axis in (1, 0)]
    return Ordered(order, tuple(trained), *map(tuple, rounded))


def compare(config: Config) -> dict:
    """Return what is written: all runs, the baselines, and how they were made."""
    pictures = load_pictures("digits")
    tokenizer = ImageTokenizer(8, 8, 1, LEVELS)
    train, test = (encode(p, tokenizer).numpy() for p in (pictures.train, pictures.test))
    orders = [judge_order(config, order, pictures.test) for order in ORDERS]
    info = read_config(folder_of(config, "raster", 0))["info"]
    changed = [
        f"--{name} {getattr(config, name)}"
        for name in ("steps", "seeds")
        if getattr(config, name) != getattr(Config(), name)
    ]
    return {
        "command": " ".join(["python -m train.ordering", *changed]),
        "data": f"{pictures.name}, {pictures.split} held out",
        "train_pictures": len(train),
        "test_pictures": len(test),
        "levels": LEVELS,
        "parameters": info["parameters"],
        "steps": config.steps,
        "machine": info["machine"],
        "baselines": {
            "uniform": round(math.log2(LEVELS), 4),
            "independent pixels": round(independent_pixels(train, test, LEVELS), 4),
        },
        "orders": {
            found.order: {k: v for k, v in asdict(found).items() if k != "order"}
            for found in orders
        },
    }


def main(argv: list[str] | None = None) -> int:
    config = parse_config(Config, argv)
    todo = [(order, seed) for seed in range(config.seeds) for order in ORDERS]
    try:
        with ThreadPoolExecutor(config.jobs) as pool:
            list(pool.map(lambda run: train_one(config, *run), todo))
        result = compare(config)
    except subprocess.CalledProcessError as error:
        print(f"{shlex.join(error.cmd[1:])} ended with {error.returncode}", file=sys.stderr)
        return 2
    except PlaygroundError as error:
        print(error, file=sys.stderr)
        return 2
    text = json.dumps(result, indent=None, separators=(",", ":"))
    write_atomically(config.result, lambda path: path.write_text(text + "\n", encoding="utf-8"))
    for order, found in result["orders"].items():
        reached = ", ".join(f"{run['bits_per_dim']:.4f}" for run in found["trained"])
        print(f"{order:8} {reached} bits per dimension")
    return 0


if __name__ == "__main__":
    sys.exit(main())
