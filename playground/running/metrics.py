"""What a training measured, read from its metrics.jsonl as that grows."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

FILE = "metrics.jsonl"
MAX_READ = 4 * 2**20  # bytes at a time
MAX_POINTS = 2000  # of a curve; then every other one is left out


@dataclass(eq=False)
class Metrics:
    """The curves of one run; `update` reads what has been added since.

    `steps` has a record each 20 steps or so (step, bits a character, gradient_norm, learning_rate,
    seconds, speed in tokens per second), `judged` one a validation (step, bits a character,
    sample). `planned` is how many steps fit into the minutes, None without such a plan;
    `per_token` are the characters that a token has in the held-out text.
    """

    folder: Path
    steps: list[dict] = field(default_factory=list)
    judged: list[dict] = field(default_factory=list)
    planned: int | None = None
    per_token: float = 1.0
    _at: int = 0
    _file: int = 0  # inode: a resumed run writes the file anew
    _last: tuple[int, float] = (0, 0.0)  # tokens read and seconds at the record before

    def update(self) -> bool:
        """Read on; return whether something was new."""
        path = self.folder / FILE
        try:
            with open(path, "rb") as file:
                about = os.fstat(file.fileno())
                if about.st_ino != self._file or about.st_size < self._at:
                    self.__init__(self.folder)
                    self._file = about.st_ino
                file.seek(self._at)
                data = file.read(MAX_READ)
        except OSError:
            return False
        whole, _, rest = data.rpartition(b"\n")
        if not whole:
            if len(rest) == MAX_READ:  # no line of ours: leave it out
                self._at += MAX_READ
            return False
        self._at += len(whole) + 1
        for line in whole.split(b"\n"):
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
        return True

    @property
    def step(self) -> int:
        """Steps done at the last record."""
        return max(
            (points[-1]["step"] for points in (self.steps, self.judged) if points), default=0
        )

    def _take(self, record: dict) -> None:
        step = int(record["step"])
        if "planned_steps" in record:
            self.planned = int(record["planned_steps"])
        if "characters_per_token" in record:
            self.per_token = max(1e-3, float(record["characters_per_token"]))
        if "held_out_bits_per_char" in record:
            bits, sample = float(record["held_out_bits_per_char"]), str(record.get("sample", ""))
            _add(self.judged, {"step": step, "bits": bits, "sample": sample[:2000]})
        if "train_bits_per_token" in record:
            read, seconds = int(record["read"]), float(record["seconds"])
            passed = seconds - self._last[1]
            speed = (read - self._last[0]) / passed if passed > 0 else None
            self._last = (read, seconds)
            point = {
                "step": step,
                "bits": float(record["train_bits_per_token"]) / self.per_token,
                "gradient_norm": float(record["gradient_norm"]),
                "learning_rate": float(record["learning_rate"]),
                "seconds": seconds,
                "speed": speed,
            }
            _add(self.steps, point)


def _add(points: list[dict], point: dict) -> None:
    points.append(point)
    if len(points) > MAX_POINTS:
        del points[1:-1:2]
