"""A training script as its user runs it: in a process of its own, killed and started again."""

import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from tests.helpers import ROOT


@dataclass(frozen=True)
class Script:
    """python -m `module`, with flags that make it small."""

    module: str
    flags: tuple[str, ...]

    def start(self, out: Path, *flags: str) -> subprocess.Popen:
        command = [sys.executable, "-m", self.module, "--out", str(out), *self.flags, *flags]
        return subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, out: Path, *flags: str) -> str:
        """Run it to its end; return what it printed."""
        process = self.start(out, *flags)
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output
        return output

    def refusal(self, out: Path, *flags: str) -> str:
        """Return what it says of flags or data that it cannot do with."""
        process = self.start(out, *flags)
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 2, output
        assert "Traceback" not in output
        return output

    def run_in_spite_of_kills(self, out: Path, *flags: str, kills: int) -> None:
        """Kill it so many times, anywhere between two saves or inside one; then let it end."""
        chance, killed = random.Random(3), 0
        while killed < kills:
            before, process = saved_at(out), self.start(out, *flags)
            deadline = time.monotonic() + 120
            while saved_at(out) == before and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.1))
            if process.poll() is not None:
                break  # it was faster than the killer
            process.send_signal(signal.SIGKILL)
            process.communicate()
            killed += 1
        self.run(out, *flags)
        assert killed >= kills - 1

    def stop_politely(self, out: Path) -> None:
        """Ask a long run to stop; it must save, and say how it goes on."""
        process = self.start(out, "--steps", "100000", "--save-every", "100000")
        for line in process.stdout:
            if line.startswith("step "):
                break
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 128 + signal.SIGTERM
        assert "the same command goes on from there" in output
        assert (out / "resume.safetensors").exists()


def assert_same_weights(one: Path, other: Path) -> None:
    """Compare all that two runs have saved, bit for bit."""
    for name in ("resume.safetensors", "model.safetensors"):
        first, second = load_file(one / name), load_file(other / name)
        assert first.keys() == second.keys()
        for key in first:
            assert torch.equal(first[key], second[key]), key
    assert not [*one.glob("*.tmp"), *other.glob("*.tmp")]


def records(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def saved_at(out: Path) -> int:
    """Return when the run was last saved, 0 if never."""
    path = out / "resume.safetensors"
    return path.stat().st_mtime_ns if path.exists() else 0
