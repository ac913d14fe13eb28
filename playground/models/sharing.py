"""A second thread for the rows of a batch, where there is a core for it.

The rows of a batch do not depend on each other, so a batch is cut into pieces and whoever is free
takes the next one: the caller, and a helper that waits in machine code, since waking a thread
takes as long as a small model's step. The helper gives its core to anybody else who wants it, and
goes to sleep when nothing has come for a few milliseconds. If it is busy or asleep the caller
does all pieces; what a row comes to is the same however the batch is cut.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

MIN_ROWS = 4  # fewer are read with the weights once by one thread
PATIENCE = 8_000_000  # cycles, 2 to 3 ms: longer than the Python between two steps of a Run
WORDS = 128  # of a mailbox
AWAKE = 40  # its word that says that the helper waits in machine code
NOBODY = np.zeros(0, np.int64)

_threads = min(2, os.cpu_count() or 1)


def set_kernel_threads(number: int) -> int:
    """Let kernels use so many threads, 1 or 2; return how many they did before."""
    global _threads
    before, _threads = _threads, max(1, min(2, number))
    return before


class Helper:
    """A thread that runs `serve(mailbox, patience)` of one family of kernels when it is called."""

    def __init__(self, serve: Callable[[np.ndarray, int], None]):
        self.serve, self.mailbox = serve, np.zeros(WORDS, np.int64)
        self.in_use = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def call(self) -> None:
        """Wake the thread unless it is awake; the caller holds `in_use`."""
        if self.mailbox[AWAKE]:
            return
        if self._thread is None or not self._thread.is_alive():  # none is left after a fork
            self._thread = threading.Thread(target=self._work, name="kernel helper", daemon=True)
            self._thread.start()
        self._wake.set()

    def _work(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            self.serve(self.mailbox, PATIENCE)


_helpers: dict[Callable, Helper] = {}  # a handful: one for each kernel that shares


@contextmanager
def helper(rows: int, serve: Callable[[np.ndarray, int], None]) -> Iterator[np.ndarray]:
    """Hold the helper's mailbox for a batch of `rows`, an empty one if there is no helper for it.

    `serve(mailbox, patience)` is what the helper runs.
    """
    if rows < MIN_ROWS:
        yield NOBODY
        return
    with any_helper(serve) as mailbox:
        yield mailbox


@contextmanager
def any_helper(serve: Callable[[np.ndarray, int], None]) -> Iterator[np.ndarray]:
    """Hold the helper's mailbox whatever there is to do, an empty one if another holds it."""
    found = None
    if _threads > 1:
        found = _helpers.get(serve) or _helpers.setdefault(serve, Helper(serve))
    if found is None or not found.in_use.acquire(blocking=False):
        yield NOBODY
        return
    try:
        found.call()
        yield found.mailbox
    finally:
        found.in_use.release()
