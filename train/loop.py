"""What every training script needs around its own visible loop.

Exact resume rests on one idea: what a step does depends on (seed, step) alone. The batch and the
dropout of step s come from generators seeded with both, so weights and optimizer are all there is
to save, and a run that was killed ends with the same bits as one that was not.
"""

import hashlib
import json
import math
import os
import signal
import time
from dataclasses import fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from playground.checkpoints import write_atomically
from playground.errors import CheckpointError, DataError


def seed_of(*parts: object) -> int:
    """Return a 63-bit seed that is a function of `parts` alone."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def learning_rate_scale(step: int, steps: int, warmup: int, floor: float = 0.02) -> float:
    """Return the factor of the peak rate: linear warm-up, then cosine down to `floor`.

    Loshchilov & Hutter 2017, arXiv:1608.03983.
    """
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


class Windows:
    """Batches of windows of one long stream; each epoch visits every part once, in new order."""

    def __init__(self, stream: Tensor, length: int, batch_size: int, seed: int):
        if len(stream) < 2 * length:
            raise DataError(
                f"The training text has {len(stream)} tokens; windows of {length} need at least "
                f"{2 * length}. Use a longer text or a shorter --context-length."
            )
        self.stream, self.length, self.batch_size, self.seed = stream, length, batch_size, seed
        self.per_epoch = len(stream) // length - 1  # one window is lost to the random offset

    def batch(self, step: int) -> Tensor:
        """Return windows (batch_size, length) of step `step`, the same whenever asked."""
        numbers = range(step * self.batch_size, (step + 1) * self.batch_size)
        return torch.stack([self._window(number) for number in numbers]).long()

    def _window(self, number: int) -> Tensor:
        epoch, place = divmod(number, self.per_epoch)
        if getattr(self, "_epoch", None) != epoch:
            generator = torch.Generator().manual_seed(seed_of(self.seed, "epoch", epoch))
            self._offset = int(torch.randint(self.length, (), generator=generator))
            self._order = torch.randperm(self.per_epoch, generator=generator)
            self._epoch = epoch
        start = self._offset + int(self._order[place]) * self.length
        return self.stream[start : start + self.length]


def is_bfloat16_faster(device: str, width: int) -> bool:
    """Time a product of the model's width in both precisions; on CUDA ask the device."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported()
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        x, weight = torch.ones(2048, width, dtype=dtype), torch.ones(4 * width, width, dtype=dtype)
        F.linear(x, weight)
        times = []
        for _ in range(5):
            start = time.perf_counter()
            F.linear(x, weight)
            times.append(time.perf_counter() - start)
        seconds[dtype] = min(times)
    return seconds[torch.bfloat16] < 0.8 * seconds[torch.float32]


class Resume:
    """The state of a run, in one file written atomically: weights, optimizers, step, config.

    `defaults` are what a run meant by a setting that did not exist when it began.
    """

    def __init__(self, path: Path, config: dict, defaults: dict | None = None):
        self.path, self.config, self.defaults = path, config, defaults or {}
        for kind in ("safetensors", "json", "jsonl", "md", "png"):  # of a run killed while writing
            for litter in path.parent.glob(f"*.{kind}????????.tmp"):
                litter.unlink()

    def save(self, model, optimizers, **facts) -> None:
        """Write everything a resumed run needs; `facts` are numbers and strings."""
        tensors = {f"model.{name}": t for name, t in model.state_dict().items()}
        for i, optimizer in enumerate(optimizers):
            for key, slots in optimizer.state_dict()["state"].items():
                for slot, value in slots.items():
                    tensors[f"optimizer.{i}.{key}.{slot}"] = torch.as_tensor(value)
        tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
        metadata = {"run": json.dumps({"config": self.config, **facts})}
        write_atomically(self.path, lambda path: save_file(tensors, path, metadata))

    def load(self, model, optimizers) -> dict | None:
        """Put a saved run back into model and optimizers; return its facts, None without one.

        Raises:
            CheckpointError: the saved run had another configuration.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                facts = json.loads(file.metadata()["run"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}
        except (SafetensorError, TypeError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"{self.path} cannot be read ({error}). Delete it to start afresh."
            ) from error
        meant = self.defaults | facts["config"]
        other = {k: v for k, v in meant.items() if self.config.get(k) != v}
        if other:
            raise CheckpointError(
                f"{self.path} belongs to a run with {other}. Give the same flags to go on with "
                "it, another --out to start afresh, or delete the file."
            )
        weights = {
            n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")
        }
        model.load_state_dict(weights)
        for i, optimizer in enumerate(optimizers):
            state: dict[int, dict[str, Tensor]] = {}
            for name, tensor in tensors.items():
                if name.startswith(f"optimizer.{i}."):
                    _, _, key, slot = name.split(".", 3)
                    state.setdefault(int(key), {})[slot] = tensor
            optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
        return facts


def settings_of(config, places: set[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the settings of a run and their defaults, but for `places`, which change no weight."""
    kept = [f for f in fields(config) if f.name not in places]
    settings = {f.name: str(getattr(config, f.name)) for f in kept}
    return settings, {f.name: str(f.default) for f in kept}


class Metrics:
    """metrics.jsonl: one record a line, flushed to the disk, never with a step twice."""

    def __init__(self, path: Path, resumed_step: int):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = []
        if resumed_step and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    if json.loads(line)["step"] <= resumed_step:
                        kept.append(line + "\n")
                except (ValueError, KeyError):
                    continue  # the line that was being written when the run was killed
        write_atomically(path, lambda temporary: temporary.write_text("".join(kept)))

    def write(self, **record) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())


class StopRequest:
    """True once SIGTERM or Ctrl-C asked the run to save and end."""

    def __init__(self):
        self.signal: int | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number, frame):
        self.signal = number

    def __bool__(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        return 128 + (self.signal or 0)


def clock(seconds: float) -> str:
    """Format a duration: 75 -> 1:15, 3675 -> 1:01:15."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
