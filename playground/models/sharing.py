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
WORDS = 64  # of the mailbox
AWAKE = 40  # its word that says that the helper waits in machine code
NOBODY = np.zeros(0, np.int64)

_threads = min(2, os.cpu_count() or 1)
_mailbox = np.zeros(WORDS, np.int64)
_in_use = threading.Lock()
_wake = threading.Event()
_helper: threading.Thread | None = None


def set_kernel_threads(number: int) -> int:
    """Let kernels use so many threads, 1 or 2; return how many they did before."""
    global _threads
    before, _threads = _threads, max(1, min(2, number))
    return before


@contextmanager
def helper(rows: int, serve: Callable[[np.ndarray, int], None]) -> Iterator[np.ndarray]:
    """Hold the helper's mailbox for a batch of `rows`, an empty one if there is no helper for it.

    `serve(mailbox, patience)` is what the helper runs.
    """
    if rows < MIN_ROWS or _threads < 2 or not _in_use.acquire(blocking=False):
        yield NOBODY
        return
    try:
        if not _mailbox[AWAKE]:
            _begin(serve)
            _wake.set()
        yield _mailbox
    finally:
        _in_use.release()


def _begin(serve: Callable[[np.ndarray, int], None]) -> None:
    global _helper
    if _helper is None or not _helper.is_alive():  # none is left after a fork

        def work() -> None:
            while True:
                _wake.wait()
                _wake.clear()
                serve(_mailbox, PATIENCE)

        _helper = threading.Thread(target=work, name="kernel helper", daemon=True)
        _helper.start()
