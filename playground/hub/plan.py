"""What would be fetched for a model of the Hub, with everything checked before it is."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants

from playground.data.hub import COMMIT, DIGEST, Repository, UnreachableError, find, parse_address
from playground.errors import DataError
from playground.hub import cache, memory
from playground.hub.architecture import count
from playground.hub.contents import Folder, Source, Wanted, read_weights, wanted
from playground.hub.remote import Remote

LIMIT = "PLAYGROUND_MAX_DOWNLOAD_GB"
DEFAULT_GB = 4.0
SPARE = 256 * 2**20  # bytes of the disk that are left free


@dataclass(frozen=True)
class Plan:
    """A model at one commit: what it is, and what it takes to fetch and to load it."""

    repository: Repository
    architecture: str
    kind: str  # "causal", "seq2seq", "image", "audio" or "playground"
    files: tuple[str, ...]
    num_bytes: int  # of these files
    memory_bytes: int  # to load it on a CPU
    missing_bytes: int  # of these files, not here yet
    parameters: int
    revision: str | None  # as it was asked for: a branch, a tag, a commit or none

    @property
    def address(self) -> str:
        """owner/name@commit: the same model for ever."""
        return f"{self.repository.name}@{self.repository.commit}"

    @property
    def folder(self) -> Path:
        """Where the files are, or will be."""
        return cache.snapshot_of(self.repository.name, self.repository.commit)


def plan(address: str) -> Plan:
    """Look at a model of the Hub, "owner/name" or "owner/name@revision"; no weights are fetched.

    A commit that is here whole is not asked for on the network, and where there is no network
    the newest that is here is taken.

    Raises:
        DataError: there is none, it may not be seen, it is too large, or it cannot be asked for.
        CheckpointError: it cannot be loaded here; the message says why.
    """
    name, revision = parse_address(address)
    commit = cache.commit_of(name, revision)
    here = cache.look(name, commit) if commit else None
    if here and revision and COMMIT.fullmatch(revision):
        return _of_folder(name, commit, revision, here)
    if here and constants.is_offline_mode():
        return _of_folder(name, commit, revision, here)
    try:
        repository = find("model", name, revision)
    except UnreachableError:
        if here:
            return _of_folder(name, commit, revision, here)
        raise
    except DataError as error:
        raise _data_set(name, error) from error
    source = Remote(repository)
    held = wanted(source)
    parameters, memory_bytes = _weigh(held, source)
    sizes = {file: source.sizes[file] for file in held.files}
    missing = sum(size - _bytes_here(repository, file, size) for file, size in sizes.items())
    found = Plan(
        repository, held.architecture, held.kind, held.files, sum(sizes.values()), memory_bytes,
        missing, parameters, revision,
    )  # fmt: skip
    _check_size(found)
    return found


def _of_folder(name: str, commit: str, revision: str | None, held: Wanted) -> Plan:
    source = Folder(cache.snapshot_of(name, commit), f"the model {name}")
    parameters, memory_bytes = _weigh(held, source)
    sizes = {file: source.sizes[file] for file in held.files}
    repository = Repository("model", name, commit, dict(source.sizes), {})
    return Plan(
        repository, held.architecture, held.kind, held.files, sum(sizes.values()), memory_bytes,
        0, parameters, revision,
    )  # fmt: skip


def _weigh(held: Wanted, source: Source) -> tuple[int, int]:
    """Return a model's number of parameters and the bytes it takes, if there is room for it."""
    weights = read_weights(source, held.weights)
    if held.kind == "playground":  # checked by its own loader, which computes in float32
        parameters, needed = weights.stored, int(weights.stored * 4 * memory.OVERHEAD)
    else:
        parameters = count(held, weights, source)
        per_stored = weights.stored_bytes / weights.stored
        _, needed = memory.choose_dtype(parameters, int(parameters * per_stored))
    memory.check_room(source.title[0].upper() + source.title[1:], needed)
    return parameters, needed


def _bytes_here(repository: Repository, file: str, size: int) -> int:
    """Return how much of a file is in the cache: all of it, what has arrived so far, or nothing."""
    digest = repository.hashes.get(file) or ""
    if not DIGEST.fullmatch(digest):
        return 0
    blob = cache.blob_of(repository.name, digest)
    for path in (blob, cache.part_of(blob)):
        if path.is_file():
            return min(path.stat().st_size, size)
    return 0


def _check_size(found: Plan) -> None:
    """Compare what is to be fetched with the limit and with the disk's free room."""
    title = found.repository.title
    most = limit_bytes()
    if found.missing_bytes > most:
        raise DataError(
            f"The files of {title} to fetch have {memory.told(found.missing_bytes)}; at "
            f"most {memory.told(most)} are fetched ({LIMIT}). Choose a smaller one, or raise it."
        )
    place = Path(constants.HF_HUB_CACHE)
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    if found.missing_bytes and found.missing_bytes + SPARE > free:
        raise DataError(
            f"The disk has {memory.told(free)} free, and {title} takes "
            f"{memory.told(found.missing_bytes)} (and {memory.told(SPARE)} are left free). Make "
            "room, choose a smaller one, or let HF_HOME name a larger disk."
        )


def limit_bytes() -> int:
    """Return the most bytes that are fetched for one model.

    Raises:
        DataError: the environment variable is no number above 0.
    """
    text = os.environ.get(LIMIT, "")
    try:
        limit = float(text) if text else DEFAULT_GB
        if not 0 < limit < 10**6:
            raise ValueError
    except ValueError as error:
        raise DataError(f"{LIMIT} is {text[:40]!r}; it must be a number of GB above 0.") from error
    return int(limit * 2**30)


def _data_set(name: str, error: DataError) -> DataError:
    """Say so where the name is that of a data set, which people often have at hand."""
    if not str(error).startswith("There is no"):
        return error
    try:
        find("dataset", name)
    except DataError:
        return error
    return DataError(
        f"{name} is a data set on the Hub, not a model. Name a model; data sets are for training "
        f"(python -m train.image --data hub:{name})."
    )
