"""Kill a training again and again, at random moments; see whether anything is lost.

Each time it is let go on until it has saved anew; then SIGKILL comes, in turn, a random moment
later or while a file lies half written, because a save is so short that chance hardly meets one.
What it ends with is compared with a run that nobody killed, bit for bit.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import safe_open

TEXT = Path(__file__).resolve().parent.parent / "tests" / "data" / "king_james_tail.txt"
SMALL = (
    "--n-layer 2 --n-head 2 --n-embd 32 --n-hidden 48 --context-length 16 --batch-size 4 "
    "--dropout 0.1 --steps 1500 --warmup 5 --save-every 5 --eval-every 200 --threads 1 "
    "--precision float32 --snapshots 6"
).split()
FAMILIES = ("transformer", "gru")
PATIENCE_S = 300  # for one start to save something
CLOCKS = ("seconds", "processor_seconds")  # what two runs may differ in


@dataclass(frozen=True)
class Survival:
    """What became of a run in spite of kills."""

    family: str
    kills: int
    inside_a_save: int  # kills that left a file half written
    resumed: int  # starts that went on from the very step that was saved last
    lost: int  # saved steps that were missing afterwards
    steps: int
    is_identical: bool  # weights, optimizers, checkpoint and snapshots, bit for bit
    litter: int  # half-written files that are left at the end
    seconds: int


def survive(family: str, kills: int, folder: Path, flags: Sequence[str] = SMALL) -> Survival:
    """Run it once undisturbed and once under `kills`; compare what they leave in `folder`.

    Raises:
        RuntimeError: it ended by itself before it was killed so often, or it failed.
    """
    started, chance = time.monotonic(), random.Random(17)
    flags = ["--family", family, "--data", str(TEXT), *flags]
    _finish(folder / "undisturbed", flags)
    out = folder / "killed"
    saved, inside, resumed, lost = 0, 0, 0, 0
    for number in range(kills):
        log = folder / "log.txt"
        with open(log, "w", encoding="utf-8") as file:
            process = _start(out, flags, file)
            _wait_until(lambda saved=saved: saved_step(out) > saved, process)
            if number % 2:
                _wait_until(lambda: any(out.rglob("*.tmp")), process, 0.0005)
            else:
                time.sleep(chance.uniform(0, 0.15))
            process.kill()  # SIGKILL
        if process.wait() == 0:
            raise RuntimeError(
                f"The run of {family} was over before {kills} kills: take more --steps"
            )
        begun = re.search(r"from step (\d+)", log.read_text(encoding="utf-8"))
        resumed += begun is not None and int(begun[1]) == saved
        inside += bool([*out.rglob("*.tmp")])
        lost += max(0, saved - saved_step(out))
        saved = saved_step(out)
    output = _finish(out, flags)
    begun = re.search(r"from step (\d+)", output)
    lost += max(0, saved - int(begun[1]))
    steps = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])["step"]
    return Survival(
        family, kills, inside, resumed, lost, steps, are_identical(folder / "undisturbed", out),
        len([*out.rglob("*.tmp")]), round(time.monotonic() - started),
    )  # fmt: skip


def saved_step(out: Path) -> int:
    """Return the step that a run has saved last, 0 for none."""
    path = out / "resume.safetensors"
    if not path.exists():
        return 0
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["run"])["step"]


def are_identical(one: Path, other: Path) -> bool:
    """Compare every tensor of two runs, and the steps of their measurements."""
    files = sorted(path.relative_to(one) for path in one.rglob("*.safetensors"))
    if files != sorted(path.relative_to(other) for path in other.rglob("*.safetensors")):
        return False
    return all(_tensors(one / file) == _tensors(other / file) for file in files) and _steps(
        one
    ) == _steps(other)


def _tensors(path: Path) -> dict[str, bytes]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name).numpy().tobytes() for name in file.keys()}


def _steps(out: Path) -> list[tuple]:
    """Return what was measured when, without what a clock says."""
    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    return [tuple((k, v) for k, v in record.items() if k not in CLOCKS) for record in records]


def _start(out: Path, flags: Sequence[str], output) -> subprocess.Popen:
    command = [sys.executable, "-u", "-m", "train.text", "--out", str(out), *flags]
    return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, text=True)


def _finish(out: Path, flags: Sequence[str]) -> str:
    process = _start(out, flags, subprocess.PIPE)
    output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(output)
    return output


def _wait_until(is_so, process: subprocess.Popen, every_s: float = 0.005) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so() and process.poll() is None:
        if time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(f"Nothing was saved in {PATIENCE_S} s")
        time.sleep(every_s)


def kills(count: int, as_json: bool) -> int:
    """Print what became of a run of each family; return 1 if anything was lost."""
    is_well = True
    for family in FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            found = survive(family, count, Path(folder))
        is_well &= found.is_identical and not found.lost and not found.litter
        print(json.dumps(asdict(found)) if as_json else told(found), flush=True)
    return 0 if is_well else 1


def told(found: Survival) -> str:
    """Return the figures in words."""
    same = "bit-identical to" if found.is_identical else "OTHER THAN"
    return (
        f"{found.family}: {found.kills} kills ({found.inside_a_save} inside a save), went on from "
        f"the last save {found.resumed} times, {found.lost} saved steps lost, {found.litter} files "
        f"half written, after {found.steps:,} steps {same} the undisturbed run; {found.seconds} s"
    )
