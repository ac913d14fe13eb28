"""The files of a repository on the Hub, read in parts over HTTP."""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from huggingface_hub import constants, hf_hub_url
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, httpx

from playground.data.hub import SECONDS, Repository, explained, in_time

MAX_READ_BYTES = 32 * 2**20  # at once into memory


class Remote:
    """A repository at one commit; what is read of it is not kept on the disk."""

    def __init__(self, repository: Repository) -> None:
        self.repository, self.title = repository, repository.title
        self.sizes = {file: size for file, size in repository.sizes.items() if size is not None}

    def read(self, file: str, start: int, stop: int) -> bytes:
        """Return the bytes [start, stop) of a file.

        Raises:
            DataError: the Hub cannot be asked, or sends something else.
        """
        repository = self.repository
        stop = min(stop, self.sizes[file])
        if stop <= start:
            return b""
        if stop - start > MAX_READ_BYTES:
            raise ValueError(f"{stop - start} bytes of {file} at once")
        with explained(repository.kind, repository.name, repository.commit):
            data = in_time(lambda: self._read(file, start, stop))
            if len(data) != stop - start:
                raise ValueError(f"{file} has fewer bytes than are listed")
        return data

    def _read(self, file: str, start: int, stop: int) -> bytes:
        with opened(self.repository, file, start, stop) as response:
            skip = start if response.status_code == 200 else 0  # it does not read in parts
            data = bytearray()
            for chunk in response.iter_raw():
                data += chunk[skip:]
                skip = max(skip - len(chunk), 0)
                if len(data) >= stop - start:
                    break
        return bytes(data[: stop - start])


@cache
def _client() -> httpx.Client:
    """Return the client that reads files.

    Not the one that the Hub's own library shares: that is closed under everybody's hands when one
    of its requests cannot connect.
    """
    client = httpx.Client(follow_redirects=True)
    atexit.register(client.close)
    return client


def ask(path: str, params: dict[str, Any], seconds: float) -> Any:
    """Return the JSON that the Hub answers to a question, asked once."""
    _check_online(path)
    headers = build_hf_headers()
    url = f"{constants.ENDPOINT}{path}"
    response = _client().get(url, params=params, headers=headers, timeout=seconds)
    hf_raise_for_status(response)
    return response.json()


def _check_online(path: str) -> None:
    if constants.is_offline_mode():
        raise OfflineModeIsEnabled(f"{path} is not asked for: HF_HUB_OFFLINE is set.")


@contextmanager
def opened(
    repository: Repository,
    file: str,
    start: int = 0,
    stop: int | None = None,
    seconds: float = SECONDS,
) -> Iterator[httpx.Response]:
    """Ask for a file from byte `start` on; the answer is not read yet.

    Who has logged in is known to the Hub, and not to where the Hub sends the client for the
    bytes: the client leaves its token out there.
    """
    _check_online(file)
    headers = build_hf_headers() | {"Accept-Encoding": "identity"}
    if start or stop is not None:
        headers["Range"] = f"bytes={start}-" + (str(stop - 1) if stop is not None else "")
    url = hf_hub_url(repository.name, file, repo_type=repository.kind, revision=repository.commit)
    with _client().stream("GET", url, headers=headers, timeout=seconds) as response:
        if response.status_code >= 400:
            response.read()  # what it says goes into the message
        hf_raise_for_status(response)
        yield response
