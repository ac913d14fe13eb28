"""Downloads of models, which go on whoever watches: one thread each, shared by all sessions."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

from playground.errors import ConfigError, PlaygroundError
from playground.hub.fetch import fetch
from playground.hub.plan import Plan

MAX_AT_ONCE = 2  # downloads, for all sessions
SPEED_S = 3.0  # the speed is that of so many last seconds
ENDING_S = 5.0  # to wait for one that was stopped


class Download:
    """One model on its way; its fields are read while its thread writes them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.done, self.total = plan.num_bytes - plan.missing_bytes, plan.num_bytes
        self.problem = ""  # why it ended without the model
        self.is_complete = False
        self.watchers = 1  # sessions; the last one that leaves stops it
        self._marks: deque[tuple[float, int]] = deque([(time.monotonic(), self.done)])
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"fetch {self.name}", daemon=True)

    @property
    def name(self) -> str:
        return self.plan.repository.name

    @property
    def is_going(self) -> bool:
        return self._thread.is_alive()

    @property
    def was_stopped(self) -> bool:
        return self._stopped.is_set()

    @property
    def speed(self) -> float:
        """Bytes a second, of late."""
        marks = tuple(self._marks)
        (first, before), (last, now) = marks[0], marks[-1]
        return (now - before) / (last - first) if last > first else 0.0

    def begin(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Let it end soon; what has come is kept, and another download goes on from there."""
        self._stopped.set()

    def wait(self, seconds: float) -> None:
        """Return when it has ended, or after so many seconds."""
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            fetch(self.plan, self._progress, self._stopped.is_set)
            self.is_complete = True
        except PlaygroundError as error:
            self.problem = str(error)
        except Exception:  # nobody waits for the thread, and whoever watches must be told
            logging.getLogger(__name__).exception("fetching %s", self.name)
            self.problem = f"The download of {self.name} ended by a fault of this program, which "
            self.problem += "is told in its log. Try again, or choose another model."
        finally:
            _forget(self)

    def _progress(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        now = time.monotonic()
        self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[0][0] > SPEED_S:
            self._marks.popleft()


_LOCK = threading.Lock()
_GOING: dict[str, Download] = {}  # by owner/name


def start(plan: Plan) -> Download:
    """Begin to fetch a model, or watch the download of it that goes on already.

    Raises:
        ConfigError: another revision of it is on its way, or as many others as may be.
    """
    name = plan.repository.name
    if (ending := _GOING.get(name)) is not None and ending.was_stopped:
        ending.wait(ENDING_S)
    with _LOCK:
        if (going := _GOING.get(name)) is not None:
            if going.plan.repository.commit != plan.repository.commit:
                raise ConfigError(
                    f"Another revision of {name} is on its way just now. Wait until it is here, "
                    "then try again."
                )
            going.watchers += 1
            return going
        if len(_GOING) >= MAX_AT_ONCE:
            raise ConfigError(
                f"At most {MAX_AT_ONCE} models are fetched at once, for all visitors, and "
                f"{' and '.join(_GOING)} are on their way. Wait until one of them is here."
            )
        download = _GOING[name] = Download(plan)
        download.begin()
        return download


def leave(download: Download) -> None:
    """Watch no longer; a download that nobody watches stops."""
    with _LOCK:
        download.watchers -= 1
        if download.watchers <= 0:
            download.stop()


def _forget(download: Download) -> None:
    with _LOCK:
        if _GOING.get(download.name) is download:
            del _GOING[download.name]
