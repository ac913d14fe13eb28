"""Fetch the files of a plan into the cache that all tools of the Hub share.

The Hub's own client throws away half a file when its process ends, and compares sizes only. Here
half a file is kept beside its place as <hash>.incomplete and goes on from there, in whatever
process; it takes its name only when its hash is right. What is in the cache is then what the
client itself would have put there.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError, HTTPError
from huggingface_hub.file_download import repo_folder_name

from playground.data.hub import DIGEST, Repository, UnreachableError, explained
from playground.errors import DataError
from playground.hub import cache
from playground.hub.plan import Plan
from playground.hub.remote import opened

SILENCE_S = 30.0  # without a byte: then it is given up
WAIT_S = 10.0  # for the next bytes, before the Hub is asked anew for the rest
PAUSE_S = 1.0  # before it is asked anew
TELL_S = 0.05  # between two reports
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
WAIT_FOR_LOCK_S = 0.5


class StoppedError(DataError):
    """A download was stopped; what has arrived is kept."""


def fetch(
    plan: Plan,
    on_progress: Callable[[int, int], None] | None = None,
    stopped: Callable[[], bool] | None = None,
) -> Path:
    """Return the folder of a model, fetching what of it is not here.

    Args:
        on_progress: told (bytes that are here, bytes of all files) now and then.
        stopped: asked now and then; a true answer ends it with StoppedError.

    Raises:
        DataError: it cannot be fetched whole. What has arrived is kept and goes on from there the
            next time, unless it is wrong or the disk is full.
    """
    if plan.missing_bytes == 0 and all((plan.folder / file).is_file() for file in plan.files):
        cache.remember(plan.repository.name, plan.revision, plan.repository.commit)
        return plan.folder
    repository, done = plan.repository, 0
    tell = _Told(on_progress, plan.num_bytes)
    for file in plan.files:  # the weights are the last, so a refused token costs little
        digest, size = repository.hashes.get(file), repository.sizes[file]
        if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
            raise DataError(
                f"The Hub does not say what {file} of {repository.title} must be (no hash), so it "
                "is not fetched. Choose another model."
            )
        _fetch_file(repository, file, digest, size, lambda here, base=done: tell(base + here),
                    stopped or (lambda: False))  # fmt: skip
        done += size
    for file in plan.files:
        cache.link(repository.name, repository.commit, file, repository.hashes[file])
    cache.remember(repository.name, plan.revision, repository.commit)
    tell(done, now=True)
    return plan.folder


class _Told:
    """Passes progress on, not more often than anyone can see."""

    def __init__(self, on_progress: Callable[[int, int], None] | None, total: int) -> None:
        self.on_progress, self.total, self.last = on_progress, total, 0.0

    def __call__(self, done: int, now: bool = False) -> None:
        if self.on_progress and (now or time.monotonic() - self.last >= TELL_S):
            self.last = time.monotonic()
            self.on_progress(done, self.total)


def _fetch_file(
    repository: Repository,
    file: str,
    digest: str,
    size: int,
    tell: Callable[[int], None],
    stopped: Callable[[], bool],
) -> None:
    """Bring one blob into the cache; of several that want it, in any process, one fetches it."""
    blob = cache.blob_of(repository.name, digest)
    if blob.is_file() and blob.stat().st_size == size:
        return
    part = cache.part_of(blob)
    name = repo_folder_name(repo_id=repository.name, repo_type=repository.kind)
    lock = Path(constants.HF_HUB_CACHE) / ".locks" / name / f"{digest}.lock"
    for folder in (lock.parent, blob.parent):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(repository, file, error) from error
    held = FileLock(lock, mode=0o664)  # the same that the client takes
    while True:
        if stopped():
            raise _stopped(repository)
        try:
            held.acquire(timeout=WAIT_FOR_LOCK_S)
            break
        except Timeout:  # somebody else is fetching it
            tell(part.stat().st_size if part.exists() else 0)
    try:
        if not (blob.is_file() and blob.stat().st_size == size):
            _receive(repository, file, part, size, tell, stopped)
            _check(repository, file, part, digest)
            os.replace(part, blob)
    except OSError as error:
        if error.errno not in FULL:
            raise _unwritable(repository, file, error) from error
        part.unlink(missing_ok=True)
        raise DataError(
            f"The disk is full: {file} of {repository.title} has {size / 2**20:,.0f} MB. What had "
            "arrived was removed. Make room, or let HF_HOME name a larger disk."
        ) from error
    finally:
        held.release()


def _receive(
    repository: Repository,
    file: str,
    part: Path,
    size: int,
    tell: Callable[[int], None],
    stopped: Callable[[], bool],
) -> None:
    """Add to `part` until it has `size` bytes, asking anew for the rest when it is cut off."""
    heard = time.monotonic()
    with open(part, "r+b" if part.exists() else "w+b") as out:
        here = out.seek(0, os.SEEK_END)
        if here > size:
            here = _restart(out)
        most = here  # what it gets again is no progress
        while here < size:
            before, error = here, None
            try:
                with opened(repository, file, here, size, WAIT_S) as response:
                    if response.status_code != 206:  # it begins at the beginning
                        here = _restart(out)
                    for chunk in response.iter_raw():
                        out.write(chunk)
                        here += len(chunk)
                        if here > most:
                            most, heard = here, time.monotonic()
                        if here > size:
                            _restart(out)
                            raise _wrong(repository, f"{file} is longer than listed")
                        if stopped():
                            raise _stopped(repository)
                        tell(here)
            except HfHubHTTPError as answer:
                error, status = answer, answer.response.status_code
                if status == 416 and here:  # what is here is not how it begins now
                    here = _restart(out)
                elif status < 500 and status != 408:
                    with explained(repository.kind, repository.name, repository.commit):
                        raise
            except HTTPError as cut:  # cut off, silent, or not to be reached
                error = cut
            if here < size:
                if stopped():
                    raise _stopped(repository)
                if time.monotonic() - heard > SILENCE_S:
                    raise _silent(repository, file, here, size, error) from error
                if here <= before:
                    time.sleep(PAUSE_S)
        out.flush()
        os.fsync(out.fileno())


def _restart(out: BinaryIO) -> int:
    out.seek(0)
    return out.truncate(0)


def _check(repository: Repository, file: str, part: Path, digest: str) -> None:
    """Compare what arrived with its hash; what is wrong is removed."""
    with open(part, "rb") as whole:
        if len(digest) == 64:
            found = hashlib.file_digest(whole, "sha256").hexdigest()
        else:  # as git names a file
            start = hashlib.sha1(f"blob {part.stat().st_size}\0".encode())
            found = hashlib.file_digest(whole, lambda: start).hexdigest()
    if found != digest:
        part.unlink()
        raise _wrong(repository, f"{file} has another hash than the Hub lists")


def _silent(
    repository: Repository, file: str, here: int, size: int, error: Exception | None
) -> UnreachableError:
    if isinstance(error, HfHubHTTPError):
        why = f"the Hub answers {error.response.status_code}"
    else:
        why = type(error).__name__ if error else "an empty answer"
    return UnreachableError(
        f"{file} of {repository.title} stopped arriving: no byte in {SILENCE_S:g} seconds ({why})."
        f" {here / 2**20:,.1f} of {size / 2**20:,.1f} MB are kept; check the network and try again,"
        " and it goes on from there."
    )


def _unwritable(repository: Repository, file: str, error: OSError) -> DataError:
    return DataError(
        f"{file} of {repository.title} cannot be written ({error.strerror or error}). Let HF_HOME "
        "name a folder that can be written to."
    )


def _wrong(repository: Repository, what: str) -> DataError:
    return DataError(
        f"What arrived of {repository.title} is not what was published: {what}. It was removed; "
        "try again."
    )


def _stopped(repository: Repository) -> StoppedError:
    return StoppedError(
        f"The download of {repository.title} was stopped. What has arrived is kept and goes on "
        "from there the next time."
    )
