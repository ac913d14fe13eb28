"""Experiments made again at a reduced size, in a process of their own; one at a time a server.

The process belongs to the server, not to a tab: whoever opens the page sees how far it is. Its
result lies in a temporary folder and never replaces the kept one.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from playground.errors import ConfigError, DataError
from playground.experiments.results import NAMES, Result, load_result
from playground.running.trainings import NICENESS, ROOT, SWITCH, is_allowed

MOST_SECONDS = 3600.0
PATIENCE_S = 5.0  # from asking a process to end to ending it
TOLD_BYTES = 4096  # of what it printed that are looked at


def command_of(name: str, folder: Path) -> list[str]:
    """Return what makes an experiment again at a reduced size."""
    return [sys.executable, "-m", "train.experiment", name, "--reduced", "--out", str(folder)]


@dataclass
class Rerun:
    """One experiment that is being made, or was."""

    name: str
    folder: Path
    process: subprocess.Popen
    is_stopped: bool = False  # by a visitor
    problem: str = ""
    has_ended: threading.Event = field(default_factory=threading.Event)

    @property
    def progress(self) -> tuple[int, int]:
        """Return how many of how many parts are done, as it last said; (0, 0) before it did."""
        for line in reversed(_end_of(self.folder / "told.txt").splitlines()):
            with contextlib.suppress(ValueError, KeyError, TypeError):
                told = json.loads(line)
                return int(told["done"]), int(told["of"])
        return 0, 0


class Reruns:
    """What this server makes again, and what it made."""

    def __init__(self, command: Callable[[str, Path], Sequence[str]] = command_of) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._root = Path(tempfile.mkdtemp(prefix="playground-experiments-"))
        self._last: dict[str, Rerun] = {}
        self._current: Rerun | None = None
        atexit.register(self.close)

    @property
    def current(self) -> Rerun | None:
        """What is being made now."""
        current = self._current
        return None if current is None or current.has_ended.is_set() else current

    def last(self, name: str) -> Rerun | None:
        """Return the newest attempt at an experiment, ended or not."""
        return self._last.get(name)

    def result(self, name: str) -> Result | None:
        """Return what was made of an experiment; None if nothing was."""
        try:
            return load_result(name, self.folder(name))
        except DataError:
            return None

    def folder(self, name: str) -> Path:
        return self._root / name

    def start(self, name: str) -> Rerun:
        """Begin to make an experiment again.

        Raises:
            ConfigError: it is switched off here, something is being made, or there is no such one.
        """
        if not is_allowed():
            raise ConfigError(f"Training is switched off on this server ({SWITCH}=off).")
        if name not in NAMES:
            raise ConfigError(f"experiment must be one of {', '.join(NAMES)}, got {name!r}.")
        with self._lock:
            if self.current is not None:
                raise ConfigError(
                    f"The experiment {self.current.name} is being made on this server; only one "
                    "can be at a time. Wait for its end, or stop it."
                )
            rerun = self._last[name] = self._current = self._begin(name)
        threading.Thread(target=_watch, args=(rerun,), daemon=True).start()
        return rerun

    def _begin(self, name: str) -> Rerun:
        folder = self.folder(name)
        folder.mkdir(parents=True, exist_ok=True)
        with (
            open(folder / "told.txt", "wb") as told,
            open(folder / "wrong.txt", "wb") as wrong,
        ):
            process = subprocess.Popen(
                self._command(name, folder), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=told,
                stderr=wrong, start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PGRP, process.pid, NICENESS)
        return Rerun(name, folder, process)

    def close(self) -> None:
        """End what runs, and forget all results: for the end of the server."""
        current = self.current
        if current is not None:
            _signal(current, signal.SIGKILL)
        shutil.rmtree(self._root, ignore_errors=True)


def stop(rerun: Rerun) -> None:
    """Ask a process and all that it started to end; who does not is ended some seconds later."""
    rerun.is_stopped = True
    _signal(rerun, signal.SIGTERM)
    threading.Timer(PATIENCE_S, lambda: _kill_if_there(rerun)).start()


def _kill_if_there(rerun: Rerun) -> None:
    if not rerun.has_ended.is_set():
        _signal(rerun, signal.SIGKILL)


def _watch(rerun: Rerun) -> None:
    """Wait for the end of a process and say what went wrong with it."""
    try:
        code = rerun.process.wait(MOST_SECONDS)
    except subprocess.TimeoutExpired:
        _signal(rerun, signal.SIGKILL)
        rerun.process.wait()
        code, rerun.problem = 0, f"It took longer than {MOST_SECONDS / 60:.0f} minutes."
    if rerun.is_stopped:
        _wait_for_all(rerun)  # a training saves when it is asked to end
    _signal(rerun, signal.SIGKILL)  # what it started and left behind
    if code and not rerun.is_stopped:
        said = _end_of(rerun.folder / "wrong.txt").strip().splitlines()
        rerun.problem = (
            f"The experiment {rerun.name} ended with {code}"
            + (f": {said[-1][:400]}" if said else "")
            + f". See more: python -m train.experiment {rerun.name} --reduced."
        )
    rerun.has_ended.set()


def _wait_for_all(rerun: Rerun) -> None:
    """Wait until nothing is left of what a process started, or its patience ends."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            os.killpg(rerun.process.pid, 0)
        except (ProcessLookupError, PermissionError):
            return
        time.sleep(0.05)


def _signal(rerun: Rerun, number: int) -> None:
    """Send a signal to a process and all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(rerun.process.pid, number)


def _end_of(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - TOLD_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
