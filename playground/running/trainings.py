"""Trainings that the page starts: each is `python -m train.text` in a process of its own.

Nothing of a training lives in the server: its folder under runs/ says which process it is, what it
measured and what it printed. So a closed tab or a server that ends changes nothing, and one that
starts later finds it again.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from playground.errors import ConfigError, DataError
from playground.running import process

ROOT = Path(__file__).resolve().parent.parent.parent  # where `python -m train.text` is found
MODULE = "text"
SWITCH = "PLAYGROUND_TRAINING"  # environment variable: "off" forbids it
NICENESS = 10  # pages come first
LOG, CORPUS = "log.txt", "corpus.txt"
LITTER = {LOG, CORPUS, process.FILE, ".lock", "metrics.jsonl"}  # of one that failed to begin
MAX_UPLOAD = 20 * 2**20  # bytes
MAX_SAID = 64 * 2**10  # bytes of the log that are read
MAX_RUNS = 50
LEAST_FREE = 200 * 2**20  # bytes of the disk without which none is started
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
BEGUN = "$ "  # of the line of the log with which a start begins
FINISHED = re.compile(r"([\d.]+) bits per character, ([\d:]+)$")
STOPPED = re.compile(r"stopped at step \d+; the same command goes on")
ASKED = "asked to stop"  # a line of the log

_children: list[subprocess.Popen] = []  # of this server, to be buried when they end
_starting = threading.Lock()


@dataclass(frozen=True)
class Training:
    """A run as its folder tells of it.

    `state` is "running", "finished", "stopped" (it saved, as it was asked to) or "ended" (it was
    refused, went wrong or was killed); `message` says how it ended.
    """

    folder: Path
    process: process.Process
    state: str
    message: str

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def command(self) -> str:
        return f"python -m train.{MODULE} " + shlex.join(self.process.command[1:])

    @property
    def can_resume(self) -> bool:
        """Whether there is something saved to go on from."""
        return self.state in ("stopped", "ended") and (self.folder / "resume.safetensors").is_file()

    @property
    def has_model(self) -> bool:
        return (self.folder / "config.json").is_file()

    @property
    def result(self) -> tuple[float, str] | None:
        """Bits per character of the whole held-out text, and the time it took, if it finished."""
        told = FINISHED.search(self.message) if self.state == "finished" else None
        return (float(told[1]), told[2]) if told else None

    def flag(self, name: str, default: str = "") -> str:
        """Return what the command says of a flag."""
        told = self.process.command
        return told[told.index(name) + 1] if name in told[:-1] else default


def is_allowed() -> bool:
    """Whether this server may train."""
    return os.environ.get(SWITCH, "").lower() not in ("off", "0", "no", "false")


def trainings(runs: Path) -> list[Training]:
    """Return the trainings of a text model in `runs`, those last begun first."""
    for child in [child for child in _children if child.poll() is not None]:
        _children.remove(child)
    notes = sorted(
        runs.glob(f"*/{process.FILE}"), key=lambda path: path.stat().st_mtime, reverse=True
    )
    found = [read(path.parent) for path in notes[:MAX_RUNS]]
    return [training for training in found if training is not None]


def read(folder: Path) -> Training | None:
    """Return the training in a folder, None if there is none."""
    noted = process.read(folder)
    if noted is None or noted.command[0] != MODULE:
        return None
    if noted.is_alive:
        return Training(folder, noted, "running", "")
    return Training(folder, noted, *_end_of(folder))


def said(folder: Path) -> list[str]:
    """Return the last lines that a run printed since it was last started."""
    try:
        with open(folder / LOG, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - MAX_SAID))
            lines = file.read(MAX_SAID).decode(errors="replace").splitlines()
    except OSError:
        return []
    starts = [i for i, line in enumerate(lines) if line.startswith(BEGUN)]
    return [line for line in lines[starts[-1] + 1 if starts else 0 :] if line.strip()]


def _end_of(folder: Path) -> tuple[str, str]:
    """Return the state of a run that is not running, and what to say of it."""
    lines = said(folder)
    if not lines:
        if (folder / "README.md").is_file() and not (folder / LOG).exists():
            return "finished", ""
        return "ended", (
            "It ended without a word. It may have been killed, or there is no room on the disk."
        )
    if lines[-1] == ASKED and not any(line.startswith("step ") for line in lines):
        return "ended", (
            "It was stopped before its first step, so there was nothing to save. Start it again."
        )
    lines = [line for line in lines if line != ASKED]
    last = lines[-1]
    if any(STOPPED.match(line) for line in lines[-3:]):
        return "stopped", next(line for line in lines[-3:] if STOPPED.match(line))
    if FINISHED.search(last):
        return "finished", last
    if re.match(r"step \d+ |[\d,]+ parameters, |.* tokens to train on", last):
        return "ended", f"It was killed from outside. The last that it said: {last}"
    return "ended", last


def is_free(folder: Path) -> bool:
    """Whether a training may begin in `folder`: nothing is there but what failed to begin."""
    if not folder.is_dir():
        return not folder.exists()
    return {path.name for path in folder.iterdir()} <= LITTER


def check_name(name: str) -> None:
    """Raise ConfigError unless a run can be called so."""
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"A run cannot be called {name[:60]!r}. Use up to 40 lowercase letters, digits and "
            "hyphens, a letter or digit first."
        )


def start(runs: Path, name: str, flags: Sequence[str], corpus: bytes | None = None) -> Training:
    """Start a training in runs/NAME; with `corpus` it reads that text, which is kept beside it.

    Raises:
        ConfigError: training is off, the name will not do or is taken, or another training goes on.
        DataError: the corpus is too large, or there is no room for anything on the disk.
    """
    check_name(name)
    if corpus is not None and len(corpus) > MAX_UPLOAD:
        raise DataError(
            f"The text has {len(corpus) / 2**20:.1f} MB; at most {MAX_UPLOAD // 2**20} MB are "
            "taken. Cut it."
        )
    folder = runs / name
    data = () if corpus is None else ("--data", _seen_from_root(folder / CORPUS))
    flags = [*flags, *data, "--out", _seen_from_root(folder)]
    return _launch(folder, flags, corpus, is_new=True)


def resume(training: Training) -> Training:
    """Go on with a training by the command that it was started by.

    Raises:
        ConfigError: it goes on already, another one does, or training is off.
    """
    return _launch(training.folder, list(training.process.command[1:]), None, is_new=False)


def stop(training: Training) -> None:
    """Ask a training to save and end, which takes it one step and a file."""
    with suppress(OSError), open(training.folder / LOG, "a", encoding="utf-8") as log:
        log.write(f"{ASKED}\n")  # it may die of it, before it knows what to do
    training.process.ask_to_stop()


def is_stopping(training: Training) -> bool:
    """Whether a training that runs has been asked to stop."""
    return ASKED in said(training.folder)[-5:]


def _seen_from_root(path: Path) -> str:
    """Return a path as one would type it where the trainings run."""
    path = path.absolute()
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def _launch(folder: Path, flags: list[str], corpus: bytes | None, *, is_new: bool) -> Training:
    if not is_allowed():
        raise ConfigError(
            f"Training is switched off on this server ({SWITCH}=off). Run the playground on a "
            "machine of your own to train."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    turn = FileLock(folder.parent / ".starting.lock", timeout=10)
    try:
        with _starting, turn:
            return _begin(folder, flags, corpus, is_new)
    except Timeout as error:
        raise ConfigError("Another training is being started. Try again.") from error


def _begin(folder: Path, flags: list[str], corpus: bytes | None, is_new: bool) -> Training:
    for other in trainings(folder.parent):
        if other.state == "running":
            raise ConfigError(
                f"The run {other.name} is training now, and there is one training at a time. Stop "
                "it, or wait for its end."
            )
    if is_new and not is_free(folder):
        raise ConfigError(f"There is a run {folder.name} already. Give another name.")
    free = shutil.disk_usage(folder.parent).free
    if free < LEAST_FREE:
        raise DataError(
            f"There are {free // 2**20} MB free on the disk; a training is started with "
            f"{LEAST_FREE // 2**20} MB or more. Make room first."
        )
    folder.mkdir(exist_ok=True)
    if corpus is not None:
        (folder / CORPUS).write_bytes(corpus)
    command = [sys.executable, "-u", "-m", f"train.{MODULE}", *flags]
    with open(folder / LOG, "a", encoding="utf-8") as log:
        log.write(f"{BEGUN}python -m train.{MODULE} {shlex.join(flags)}\n")
        log.flush()
        child = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the server
        )  # fmt: skip
    os.setpriority(os.PRIO_PROCESS, child.pid, NICENESS)
    _children.append(child)
    noted = process.note(folder, [MODULE, *flags], child.pid)
    return Training(folder, noted, "running", "")
