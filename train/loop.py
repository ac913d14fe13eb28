"""What every training script needs around what is its own: the data, the loss, the judgement.

Exact resume rests on one idea: what a step does depends on (seed, step) alone. The batch and the
dropout of step s come from generators seeded with both, so weights and optimizer are all there is
to save, and a run that was killed ends with the same bits as one that was not.
"""

import errno
import hashlib
import json
import math
import os
import platform
import shlex
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from playground.checkpoints import write_atomically
from playground.errors import CheckpointError, ConfigError, PlaygroundError
from playground.models.base import count_parameters
from playground.running import process
from train.config import TrainingConfig, parse_config, settings_of
from train.optimizers import build_optimizers, is_bfloat16_faster
from train.schedules import learning_rate_scale

REPORT_EVERY = 20  # steps
PROBE_STEPS = 20  # whose speed tells how many fit into --minutes
NO_ROOM = tuple(os.strerror(n) for n in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


def seed_of(*parts: object) -> int:
    """Return a 63-bit seed that is a function of `parts` alone."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def claim(folder: Path) -> FileLock:
    """Return the lock of a run's folder, which is let go when this process ends, however it does.

    Raises:
        CheckpointError: another process trains there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise CheckpointError(
            f"Another training writes into {folder}. Wait for it, stop it, or give another --out."
        ) from error
    return lock


class Resume:
    """The state of a run, in one file written atomically: weights, optimizers, step, config.

    `defaults` are what a run meant by a setting that did not exist when it began.
    """

    def __init__(self, path: Path, config: dict, defaults: dict | None = None):
        self.path, self.config, self.defaults = path, config, defaults or {}
        for kind in ("safetensors", "json", "jsonl", "md", "png"):  # of a run killed while writing
            for litter in path.parent.rglob(f"*.{kind}????????.tmp"):
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


class Training:
    """One run, begun or resumed: what stands around a script's own step.

    run = Training(config, model, "bits_per_dim", outside, width=256)
    for step in run.steps():
        loss = loss_of(model, batch(step), run.precision)
        run.descend(loss)
        run.report(loss, batch_size, "pictures")
        if run.is_time_to_judge():
            run.note(test_bits_per_dim=...)
    if run.stop:
        return run.stop.exit_code
    """

    def __init__(self, config, model, unit: str, outside: tuple[str, ...], width: int):
        """Resume the run in `config.out`, if there is one; see `build_optimizers` for `outside`.

        `unit` is what surprisal is reported in; `width` decides whether bfloat16 is faster.
        """
        self._lock = claim(config.out)
        process.note(config.out, [Path(sys.argv[0]).stem, *sys.argv[1:]])
        self.config, self.model, self.unit = config, model, unit
        self.optimizers = build_optimizers(config, model, outside)
        self._peaks = [[group["lr"] for group in o.param_groups] for o in self.optimizers]
        self._resume = Resume(config.out / "resume.safetensors", *settings_of(config))
        facts = self._resume.load(model, self.optimizers)
        facts = facts or {"step": 0, "seconds": 0.0, "precision": None}
        self._first = self.done = facts["step"]
        self._is_planned = not config.minutes or "total" in facts
        steps = config.steps if self._is_planned else max(config.steps, PROBE_STEPS + 1)
        self.total = facts.get("total", steps)
        self._judged = self._reported = time.time()
        self._read = facts.get("read", 0)  # of what `report` counts
        self.seconds = self._before = facts["seconds"]  # of training, until the last save
        # What other programs on the machine do makes a run wait, but hardly lengthens this.
        self.processor_seconds = self._worked_before = facts.get("processor_seconds", 0.0)
        self._metrics = Metrics(config.out / "metrics.jsonl", self.done)
        self.precision = facts["precision"] or config.precision
        if self.precision == "auto":
            is_faster = is_bfloat16_faster(config.device, width)
            self.precision = "bfloat16" if is_faster else "float32"
        print(f"{count_parameters(model):,} parameters, {self.precision}, from step {self.done}")
        self.stop = StopRequest()

    def steps(self) -> Iterator[int]:
        """Yield the steps that are left, from 0 on; save when it is time, or when asked to stop."""
        self._started, self._working_since, spent = time.time(), time.process_time(), []
        self.model.train()
        while self.done < self.total:
            torch.manual_seed(seed_of(self.config.seed, "dropout", self.done))
            began = time.time()
            yield self.done
            spent.append(time.time() - began)
            is_planning = not self._is_planned and self.done >= PROBE_STEPS
            if is_planning:
                self._plan(statistics.median(spent[:-1] or spent), spent[-1])
            if self.is_due(self.config.save_every) or is_planning or self.stop:
                self.seconds, self.processor_seconds = self._now(), self._worked()
                planned = {"total": self.total} if self._is_planned else {}
                self._resume.save(
                    self.model, self.optimizers, step=self.done, precision=self.precision,
                    seconds=self.seconds, processor_seconds=self.processor_seconds,
                    read=self._read, **planned,
                )  # fmt: skip
            if self.stop:
                print(f"stopped at step {self.done}; the same command goes on from there")
                return

    def _plan(self, step_s: float, judging_s: float) -> None:
        """Decide how many steps fit into --minutes, from what a step and a validation take.

        Once, and saved: from then on a step depends on the seed and its number alone, as ever.
        """
        c = self.config
        every = max(1.0, c.judge_seconds / step_s) if c.judge_seconds else c.eval_every
        left = max(0.0, 60 * c.minutes - self._now())
        self.total = self.done + max(1, int(left / (step_s + max(0.0, judging_s - step_s) / every)))
        self._is_planned = True
        self.note(planned_steps=self.total)
        self.say(f"{self.total:,} steps fit into {c.minutes:g} minutes")

    def descend(self, loss: Tensor) -> None:
        """Take the optimizers' step down a loss.

        Raises:
            ConfigError: the gradient is not finite.
        """
        c = self.config
        scale = self._scale = learning_rate_scale(self.done, self.total, c.warmup, c.schedule)
        for optimizer, rates in zip(self.optimizers, self._peaks, strict=True):
            optimizer.zero_grad(set_to_none=True)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * scale
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.done += 1
        if not norm.isfinite():
            raise ConfigError(
                f"The gradient of step {self.done} is {norm.item()}: training cannot go on. Lower "
                "--muon-rate and --learning-rate, or try --precision float32."
            )
        for optimizer in self.optimizers:
            optimizer.step()
        self._norm = norm

    def is_due(self, every: int) -> bool:
        """Say whether it is time for what happens every so many steps, and after the last."""
        return self.done % every == 0 or self.done == self.total

    def is_time_to_judge(self) -> bool:
        """Say whether a validation is due, by steps or by seconds, or for the plan to time it."""
        c, is_probe = self.config, not self._is_planned and self.done == PROBE_STEPS
        if c.judge_seconds and not is_probe and self.done != self.total:
            is_due = time.time() - self._judged >= c.judge_seconds
        else:
            is_due = is_probe or self.is_due(c.eval_every)
        if is_due:
            self._judged = time.time()
        return is_due

    def report(self, nats: Tensor, count: int, counted: str) -> None:
        """Count what a step has read; now and then print and note its mean surprisal."""
        self._read += count
        c, waited = self.config, time.time() - self._reported
        is_watched = c.judge_seconds and waited >= c.judge_seconds / 2  # a slow model is, too
        if not (self.is_due(REPORT_EVERY) or is_watched):
            return
        self._reported = time.time()
        now, steps, bits = self._now(), self.total, nats.item() / math.log(2)
        left = (now - self._before) / (self.done - self._first) * (steps - self.done)
        self.say(
            f"of {steps:,}  train {bits:.4f} {self.unit.replace('_', ' ')}  |g| {self._norm:.2f}  "
            f"{self._read / now:,.1f} {counted}/s  {clock(left)} left"
        )
        rate, norm = self._scale * self._peaks[-1][0], self._norm.item()
        self.note(
            **{f"train_{self.unit}": round(bits, 4)}, gradient_norm=round(norm, 4),
            learning_rate=round(rate, 8), read=self._read, seconds=round(now, 1),
            processor_seconds=round(self._worked(), 1),
        )  # fmt: skip

    def say(self, text: str) -> None:
        """Print a line that begins with the steps done."""
        print(f"step {self.done}  {text}", flush=True)

    def note(self, **record) -> None:
        """Write a record of the steps done into metrics.jsonl."""
        self._metrics.write(step=self.done, **record)

    def _now(self) -> float:
        return self._before + time.time() - self._started

    def _worked(self) -> float:
        return self._worked_before + time.process_time() - self._working_since


def origin(script: str, data, model: torch.nn.Module, seconds: float) -> dict:
    """Return what every checkpoint says of where it comes from; `data` has name and licence."""
    threads = torch.get_num_threads()
    return {
        "data": data.name,
        "licence": data.licence,
        "source": data.source,
        "command": f"python -m train.{script} " + shlex.join(sys.argv[1:]),
        "seconds": round(seconds),
        "machine": f"{platform.machine()}, {threads} threads, torch {torch.__version__}",
        "parameters": count_parameters(model),
    }


def settings_json(config: TrainingConfig) -> str:
    """Return all settings, as a model card lists them."""
    return json.dumps({k: str(v) for k, v in asdict(config).items()}, indent=1)


def run_script(config_class: type, train: Callable, argv: list[str] | None = None) -> int:
    """Call `train` with what the command line says; print what a user can mend."""
    try:
        return train(parse_config(config_class, argv))
    except PlaygroundError as error:
        print(error, file=sys.stderr)
    except (OSError, SafetensorError) as error:
        if not any(word in str(error) for word in NO_ROOM):
            raise
        print(
            f"There is no room to write ({error}). What was saved before is whole: make room, and "
            "the same command goes on from there.",
            file=sys.stderr,
        )
    return 2


def clock(seconds: float) -> str:
    """Format a duration: 75 -> 1:15, 3675 -> 1:01:15."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
