"""The cache of the Hub's own client, which every other tool shares: models, by name and commit.

    models--owner--name/blobs/<hash>                      what the files hold
    models--owner--name/snapshots/<commit>/<file>         links to blobs
    models--owner--name/refs/<branch>                     the commit that it was

A snapshot counts as here when it is whole: its config, tokenizer and every file of weights.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name

from playground.data.hub import COMMIT, NAME
from playground.errors import PlaygroundError
from playground.hub.contents import Folder, Wanted, wanted

MAX_LISTED = 200  # snapshots that are looked at for the list
MAX_REFERENCE_BYTES = 64


@dataclass(frozen=True)
class Cached:
    """A model of the Hub that is here whole."""

    name: str  # owner/name
    commit: str
    folder: Path
    kind: str  # as in Plan
    architecture: str
    num_bytes: int
    last_used: float  # seconds since 1970

    @property
    def address(self) -> str:
        return f"{self.name}@{self.commit}"


def storage_of(name: str) -> Path:
    """Return the folder of a model in the cache, whether it is there or not."""
    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model")


def snapshot_of(name: str, commit: str) -> Path:
    return storage_of(name) / "snapshots" / commit


def blob_of(name: str, digest: str) -> Path:
    return storage_of(name) / "blobs" / digest


def part_of(blob: Path) -> Path:
    """Return where what has arrived of a blob is kept until it is whole."""
    return blob.with_name(f"{blob.name}.incomplete")


def commit_of(name: str, revision: str | None) -> str | None:
    """Return the commit that a branch or tag was when it was last fetched."""
    revision = revision or constants.DEFAULT_REVISION
    if COMMIT.fullmatch(revision):
        return revision
    references = storage_of(name) / "refs"
    path = Path(os.path.normpath(references / revision))
    try:
        if references not in path.parents:
            return None
        with open(path, encoding="ascii") as file:
            commit = file.read(MAX_REFERENCE_BYTES)
    except (OSError, ValueError):
        return None
    return commit if COMMIT.fullmatch(commit) else None


def remember(name: str, revision: str | None, commit: str) -> None:
    """Note which commit a branch or tag is now."""
    revision = revision or constants.DEFAULT_REVISION
    references = storage_of(name) / "refs"
    path = Path(os.path.normpath(references / revision))
    if revision == commit or references not in path.parents:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    temporary.write_text(commit, encoding="ascii")
    os.replace(temporary, path)


def link(name: str, commit: str, file: str, digest: str) -> None:
    """Put a blob under its name into a snapshot."""
    path, blob = snapshot_of(name, commit) / file, blob_of(name, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        try:
            os.symlink(os.path.relpath(blob, path.parent), temporary)
        except OSError:  # a file system without links: the client copies there too
            shutil.copyfile(blob, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def look(name: str, commit: str) -> Wanted | None:
    """Return what a snapshot in the cache holds; None where it is not whole."""
    folder = snapshot_of(name, commit)
    if not folder.is_dir():
        return None
    try:
        return wanted(Folder(folder, f"the model {name}"))
    except PlaygroundError:
        return None


def touch(folder: Path) -> None:
    """Note that a snapshot was used now; a cache that is read-only stays as it is."""
    try:
        os.utime(folder)
    except OSError:
        return


def cached() -> list[Cached]:
    """Return the models of the Hub that are here whole, the one that was used last first."""
    found = []
    root = Path(constants.HF_HUB_CACHE)
    for folder in sorted(root.glob("models--*--*/snapshots/*"))[:MAX_LISTED]:
        name = "/".join(folder.parent.parent.name.split("--")[1:])
        if not NAME.fullmatch(name) or not COMMIT.fullmatch(folder.name):
            continue
        if (held := look(name, folder.name)) is None:
            continue
        try:
            size = sum((folder / file).stat().st_size for file in held.files)
            used = folder.stat().st_mtime
        except OSError:  # removed meanwhile
            continue
        found.append(Cached(name, folder.name, folder, held.kind, held.architecture, size, used))
    return sorted(found, key=lambda model: (-min(model.last_used, time.time()), model.name))
