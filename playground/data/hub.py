"""The Hugging Face Hub: what a repository holds, and its files, bounded before they are fetched.

Nothing but named files is fetched, and no code of a repository is ever run. Who has logged in
(`hf auth login`) sees what they may see; HF_ENDPOINT names another hub than huggingface.co.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from playground.errors import DataError

PREFIX = "hub:"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
COMMIT = re.compile(r"[0-9a-f]{40}")
DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")  # git's of a small file, sha256 of a large one
MAX_REVISION = 200  # characters
SECONDS = 10  # to wait for the next part of an answer
WHOLE_SECONDS = 20  # to wait for all of an answer
WHAT = {"dataset": "data set", "model": "model"}


class UnreachableError(DataError):
    """The Hub does not answer, or has a problem of its own: what is here may still be used."""


@dataclass(frozen=True)
class Repository:
    """A repository of the Hub at one commit."""

    kind: str  # "dataset" or "model"
    name: str  # owner/name
    commit: str
    sizes: dict[str, int | None]  # bytes of each file, by path
    card: dict  # the metadata of its README
    hashes: dict[str, str] = field(default_factory=dict)  # sha256 of large files, git's of others
    gated: bool = False

    @property
    def title(self) -> str:
        return f"the {WHAT[self.kind]} {self.name}"


def parse_address(address: str) -> tuple[str, str | None]:
    """Return (owner/name, revision) of `hub:owner/name` or `hub:owner/name@revision`.

    Raises:
        DataError: it is not so.
    """
    name, _, revision = address.removeprefix(PREFIX).partition("@")
    if not NAME.fullmatch(name) or len(revision) > MAX_REVISION:
        raise DataError(
            f"{address[:MAX_REVISION]!r} names nothing on the Hub. Write {PREFIX}owner/name, or "
            f"{PREFIX}owner/name@revision with a branch, a tag or a commit."
        )
    return name, revision or None


def find(kind: str, name: str, revision: str | None = None) -> Repository:
    """Ask the Hub for a repository's files and card.

    Raises:
        DataError: there is none, it may not be seen, or the Hub cannot be asked.
    """
    with explained(kind, name, revision):
        info = in_time(
            lambda: HfApi().repo_info(
                name, revision=revision, repo_type=kind, files_metadata=True, timeout=SECONDS
            )
        )
        if not isinstance(info.sha, str) or not COMMIT.fullmatch(info.sha):
            raise ValueError("it names no commit")
        files = info.siblings or ()
        sizes = {file.rfilename: file.size for file in files}
        hashes = {file.rfilename: file.lfs.sha256 if file.lfs else file.blob_id for file in files}
        card = info.card_data.to_dict() if hasattr(info.card_data, "to_dict") else {}
    return Repository(kind, name, info.sha, sizes, card, hashes, bool(info.gated))


def in_time(call: Callable[[], Any], seconds: float = WHOLE_SECONDS) -> Any:
    """Return what `call` returns, or give up on it: it may be fed a byte at a time for hours.

    The client of the Hub limits only the wait for the next part of an answer, and not everywhere.

    Raises:
        TimeoutError: it has not returned in time; its thread is left to end by itself.
    """
    done: list[tuple[Any, BaseException | None]] = []

    def work() -> None:
        try:
            done.append((call(), None))
        except BaseException as error:  # raised where it is waited for
            done.append((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if not done:
        raise TimeoutError(f"no whole answer in {seconds:g} seconds")
    result, error = done[0]
    if error is not None:
        raise error
    return result


def download(repository: Repository, files: Sequence[str], max_bytes: int) -> list[Path]:
    """Return local copies of some files of a repository, fetched unless they are here already.

    Raises:
        DataError: they are together larger than `max_bytes`, or cannot be fetched whole.
    """
    sizes = [repository.sizes.get(file) for file in files]
    if any(size is None for size in sizes):
        raise DataError(
            f"The Hub does not say how large the files of {repository.title} are, so they are not "
            f"fetched. Name another {WHAT[repository.kind]}."
        )
    if sum(sizes) > max_bytes:
        raise DataError(
            f"The {len(files)} files of {repository.title} have {sum(sizes) / 2**20:,.0f} MB; at "
            f"most {max_bytes / 2**20:,.0f} MB are fetched. Name a smaller one."
        )
    paths = []
    for file, size in zip(files, sizes, strict=True):
        with explained(repository.kind, repository.name, repository.commit):
            path = Path(
                hf_hub_download(
                    repository.name,
                    file,
                    repo_type=repository.kind,
                    revision=repository.commit,
                    etag_timeout=SECONDS,
                )
            )
            if path.stat().st_size != size:
                raise ValueError(f"{file} has {path.stat().st_size} bytes, listed are {size}")
        paths.append(path)
    return paths


@contextmanager
def explained(kind: str, name: str, revision: str | None) -> Iterator[None]:
    """Turn what the client of the Hub raises into DataErrors that say what to do."""
    hub, what = constants.ENDPOINT, WHAT[kind]
    page = f"{hub}/datasets/{name}" if kind == "dataset" else f"{hub}/{name}"
    try:
        yield
    except RevisionNotFoundError as error:
        raise DataError(
            f"The {what} {name} has no revision {revision!r}. Leave it out for the newest, or look "
            f"for one on {page}."
        ) from error
    except GatedRepoError as error:
        raise DataError(
            f"The {what} {name} is for those who have agreed to its terms. Do so on {page}, log in "
            "with `hf auth login`, and try again."
        ) from error
    except OfflineModeIsEnabled as error:
        raise UnreachableError(
            f"The {what} {name} is not fetched, since HF_HUB_OFFLINE is set. Unset it, or name "
            "something that is here."
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if isinstance(error, RepositoryNotFoundError) or status in (401, 403, 404):
            raise DataError(
                f"There is no {what} {name} on {hub}, or it is private (answer {status}). Check "
                "the name; log in with `hf auth login` if it is yours."
            ) from error
        raise UnreachableError(
            f"{hub} answered {status} when asked for the {what} {name}"
            f"{' (too many requests)' if status == 429 else ''}. Try again later."
        ) from error
    except (HTTPError, LocalEntryNotFoundError, TimeoutError) as error:
        raise UnreachableError(
            f"{hub} cannot be reached for the {what} {name} ({_first_line(error)}). Check the "
            "network, or name something that is here."
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"What {hub} sent of the {what} {name} is not whole ({_first_line(error)}). Try again."
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
