"""Which process trains in a folder, written there so that whoever comes later finds it.

A number alone would not do: it may belong to another process by then. So the moment at which the
process began is kept beside it, as Linux tells it.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = ".process.json"
MAX_BYTES = 64 * 2**10


@dataclass(frozen=True)
class Process:
    """A training process, and the command that it was started by."""

    pid: int
    began: int | None  # ticks since the machine started; None where nobody tells
    command: tuple[str, ...]  # a module of train, then its flags

    @property
    def is_alive(self) -> bool:
        """Whether that very process is still there, and not merely waits to be buried."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # another user's
        state, began = _told(self.pid)
        return state != "Z" and began == self.began

    def ask_to_stop(self) -> None:
        """Ask it to save and end."""
        if self.is_alive:
            os.kill(self.pid, signal.SIGTERM)


def _told(pid: int) -> tuple[str, int | None]:
    """Return the state of a process and when it began, as /proc has it."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "", None
    fields = text.rpartition(")")[2].split()  # its name may have blanks
    return fields[0], int(fields[19])


def note(folder: Path, command: Sequence[str], pid: int | None = None) -> Process:
    """Write into `folder` which process (this one by default) trains there."""
    pid = pid or os.getpid()
    process = Process(pid, _told(pid)[1], tuple(command))
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{FILE}.{pid}.{os.getpid()}.tmp"  # two may write at once
    part.write_text(json.dumps(asdict(process)), encoding="utf-8")
    os.replace(part, folder / FILE)
    return process


def read(folder: Path) -> Process | None:
    """Return which process trains or trained in `folder`, None if it does not say."""
    try:
        with open(folder / FILE, "rb") as file:
            data = json.loads(file.read(MAX_BYTES))
        pid, began, command = data["pid"], data["began"], tuple(data["command"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    is_right = isinstance(pid, int) and pid > 0 and isinstance(began, int | None)
    is_right = is_right and command and all(isinstance(part, str) for part in command)
    return Process(pid, began, command) if is_right else None
