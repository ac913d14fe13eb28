"""Votes pushed to a data set of the Hub by huggingface_hub's CommitScheduler.

A folder beside the database holds one file of JSON lines for each process, which only grows; the
scheduler uploads what has changed every few minutes. What a process that was killed had not yet
written there is taken from the database when the next one begins.
"""

from __future__ import annotations

import logging
import re
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from playground.errors import ConfigError
from playground.votes.store import Store
from playground.votes.table import marks_of_lines, to_line
from playground.votes.vote import Vote

REPO, TOKEN = "PLAYGROUND_VOTES_REPO", "HF_TOKEN"  # environment variables
EVERY_MINUTES = 5.0
AGAIN_S = 60.0  # until a Hub that could not be asked is asked again
IN_REPO = "votes"  # the folder of the data set
NAME = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pushed:
    """How the export stands."""

    repo: str
    at: float | None  # seconds since 1970 of the last commit that went well; None: none yet
    waiting: int  # votes that are not there yet
    problem: str  # of the last attempt; empty: it went well

    def says(self, now: float) -> str:
        """The state in a sentence."""
        age = "never" if self.at is None else f"{_duration(now - self.at)} ago"
        told = f"Pushed to the data set {self.repo}: last {age}, {self.waiting} votes wait."
        return f"{told} The last attempt failed: {self.problem}" if self.problem else told


class Publisher:
    """Pushes the votes of one process; one of them for each folder.

    Raises:
        ConfigError: `repo` is no name on the Hub.
    """

    def __init__(
        self, store: Store, repo: str, token: str, *, every_minutes: float = EVERY_MINUTES,
        endpoint: str | None = None,
    ):  # fmt: skip
        if not NAME.fullmatch(repo):
            raise ConfigError(f"{REPO} is {repo[:60]!r}; it must be owner/name.")
        self.store, self.repo, self.token = store, repo, token
        self.every, self.endpoint = every_minutes, endpoint
        self.folder = store.path.with_name(store.path.name + ".export")
        self.file = self.folder / f"votes-{secrets.token_hex(6)}.jsonl"
        self._lock = threading.Lock()  # held while the file grows, and while it is looked at
        self._beginning = threading.Lock()
        self._known: set[tuple[str, str]] = set()  # what the folder has
        self._scheduler: Any = None
        self._asked = 0.0  # when the Hub was last asked for a scheduler
        self._sent = 0  # votes of the folder that the data set has
        self._at: float | None = None
        self._problem = ""
        self._stopped = False

    def start(self) -> None:
        """Write what earlier processes left, and begin to push, without waiting for the Hub."""
        threading.Thread(target=self._begin, daemon=True).start()

    def append(self, vote: Vote) -> None:
        """Add a vote to the file; it is in the database already, so a problem is only told."""
        try:
            with self._lock:
                self._write([vote])
        except OSError as error:
            self._problem = f"the file of the export cannot be written ({error.strerror})."
        if self._scheduler is None and time.monotonic() - self._asked > AGAIN_S:
            self.start()

    def state(self) -> Pushed:
        return Pushed(self.repo, self._at, len(self._known) - self._sent, self._problem)

    def push(self) -> None:
        """Push now and wait until that has gone well or badly."""
        if self._scheduler is None:
            self._begin()
        if self._scheduler is not None:
            try:
                self._scheduler.trigger().result()
            except Exception as error:  # the client's, told by `state`
                log.info("the votes were not pushed: %s", error)

    def stop(self) -> None:
        self._stopped = True
        if self._scheduler is not None:
            self._scheduler.stop()

    # -- inside ----------------------------------------------------------------------------------

    def _begin(self) -> None:
        with self._beginning:
            if self._scheduler is not None or self._stopped:
                return
            self._asked = time.monotonic()
            try:
                self._fill()
                self._scheduler = self._schedule()
            except Exception as error:  # no network, a wrong token, a full disk, a damaged database
                self._problem = _sentence(error)

    def _fill(self) -> None:
        """Write the votes of the database that no file of the folder has."""
        kept = self.store.votes()
        with self._lock:
            self.folder.mkdir(parents=True, exist_ok=True)
            for file in sorted(self.folder.glob("*.jsonl")):
                with open(file, encoding="utf-8", errors="replace") as lines:
                    self._known |= marks_of_lines(lines)
            self._write(kept)

    def _write(self, votes: list[Vote]) -> None:
        fresh = {(v.pair, v.judge): v for v in votes if (v.pair, v.judge) not in self._known}
        if fresh:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(self.file, "a", encoding="utf-8") as file:
                file.writelines(map(to_line, fresh.values()))
            self._known |= set(fresh)

    def _schedule(self) -> Any:
        from huggingface_hub import CommitScheduler, HfApi

        publisher = self

        class Scheduler(CommitScheduler):
            """Notes how each push went; its lock is the publisher's, from its first push on."""

            lock = property(lambda _: publisher._lock, lambda *_: None)

            def push_to_hub(self):
                with self.lock:
                    written = len(publisher._known)
                try:
                    done = super().push_to_hub()
                except Exception as error:
                    publisher._problem = _sentence(error)
                    raise
                publisher._sent, publisher._at = written, time.time()
                publisher._problem = ""
                return done

        return Scheduler(
            repo_id=self.repo, repo_type="dataset", folder_path=self.folder, every=self.every,
            path_in_repo=IN_REPO, allow_patterns="*.jsonl", private=True,
            hf_api=HfApi(endpoint=self.endpoint, token=self.token),
        )  # fmt: skip


def publisher_of(store: Store, environ: Mapping[str, str]) -> Publisher | None:
    """Return what pushes the votes where the environment has a token and a data set, else None.

    Raises:
        ConfigError: the data set has no possible name.
    """
    repo, token = environ.get(REPO, "").strip(), environ.get(TOKEN, "").strip()
    return Publisher(store, repo, token) if repo and token else None


def _sentence(error: Exception) -> str:
    """Return an error in one line, without what it quotes of the request."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _duration(seconds: float) -> str:
    for size, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {name}"
    return f"{max(0, seconds):.0f} seconds"
