"""HTTP to a model server: JSON there and back, bounded in time and size, and stopped at once.

Where the server is, and the key to it, comes from whoever runs the playground, never from a
visitor, who could else make this machine ask others for anything. Redirections are not followed.

A request has a thread of its own. Whoever waits for it looks every 50 ms whether it should stop
waiting, and then closes the connection, at which a server stops to compute. What breaks off is an
error: nothing is kept of half an answer.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playground.errors import ConfigError, RemoteError

CONNECT_S, READ_S = 5.0, 30.0
MOST_BYTES = 64 * 2**20  # of an answer; all 150,000 tokens of a large vocabulary take 15 MB
AT_ONCE = 4  # requests
POLL_S = 0.05
URL, KEY, MODEL, TOP = (f"PLAYGROUND_REMOTE_{name}" for name in ("URL", "KEY", "MODEL", "TOP"))
MOST_LISTED = 200  # tokens that a server is asked to list, where nothing else is set
MAX_LISTED = 300_000


Wait = tuple[Callable[[float], bool], Callable[[], AbstractContextManager]]
_wait: ContextVar[Wait] = ContextVar("wait", default=(lambda waited: False, nullcontext))


class RefusedError(RemoteError):
    """The server has answered, by a status that says no."""

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status


class BrokenError(RemoteError):
    """There was no connection, or no whole answer: the server may be another one by now."""


class StoppedError(RemoteError):
    """Whoever waited for an answer wanted it no longer."""


@dataclass(frozen=True)
class RemoteSettings:
    """Where a model server is, and how it is asked.

    Raises:
        ConfigError: the address is none of an HTTP server, or the key cannot be sent.
    """

    url: str  # with or without /v1
    key: str = field(default="", repr=False)
    model: str = ""  # empty: the first that the server names
    top: int = MOST_LISTED  # tokens it is asked to list, the likeliest first

    def __post_init__(self):
        url = self.url.strip().rstrip("/")
        object.__setattr__(self, "url", url.removesuffix("/v1"))
        try:
            parts = urlsplit(self.url)
            is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
            is_good &= not (parts.query or parts.fragment or parts.username or parts.password)
        except ValueError:  # a port that is none
            is_good = False
        if not is_good or re.search(r"[^!-~]", self.url):
            raise ConfigError(
                f"{URL} must be the address of a model server, such as http://127.0.0.1:8000/v1, "
                "without a name, a password or a query. Correct it where the playground is started."
            )
        if re.search(r"[^!-~]", self.key):
            raise ConfigError(f"{KEY} must be one line of ASCII without blanks. Correct it.")
        if not 1 <= self.top <= MAX_LISTED:
            raise ConfigError(f"{TOP} must be a whole number in [1, {MAX_LISTED}], got {self.top}.")

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> RemoteSettings | None:
        """Return what the environment sets, None if it names no server.

        Raises:
            ConfigError: what it sets cannot be used.
        """
        url = environ.get(URL, "").strip()
        if not url:
            return None
        top = environ.get(TOP, "").strip() or str(MOST_LISTED)
        return cls(
            url, environ.get(KEY, "").strip(), environ.get(MODEL, "").strip(),
            int(top) if top.isdecimal() and len(top) < 9 else 0,
        )  # fmt: skip


@contextmanager
def stoppable(
    stopped: Callable[[float], bool],
    waiting: Callable[[], AbstractContextManager] = nullcontext,
) -> Iterator[None]:
    """Ask `stopped(seconds waited)` while an answer is waited for here; True ends the waiting.

    Every waiting happens inside of a `waiting()`.
    """
    token = _wait.set((stopped, waiting))
    try:
        yield
    finally:
        _wait.reset(token)


class Client:
    """Asks one server; shared by all sessions, safe under threads."""

    def __init__(
        self,
        settings: RemoteSettings,
        *,
        connect_s: float = CONNECT_S,
        read_s: float = READ_S,
        most_bytes: int = MOST_BYTES,
    ):
        self.settings, self.connect_s, self.read_s = settings, connect_s, read_s
        self.most_bytes = most_bytes
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def get(self, path: str) -> Any:
        """Return the JSON at `path`.

        Raises:
            RemoteError: see `post`.
        """
        return self._all([_Call(self, "GET", path)])[0]

    def post(self, path: str, body: Any) -> Any:
        """Send JSON and return the JSON of the answer.

        Raises:
            RefusedError: the server says no.
            BrokenError: it cannot be reached, takes too long, or breaks off.
            StoppedError: see `stoppable`.
            RemoteError: its answer is too large, or no JSON.
        """
        return self.post_each(path, [body])[0]

    def post_each(self, path: str, bodies: Sequence[Any]) -> list[Any]:
        """Send several at once, `AT_ONCE` at most; return all answers in their order."""
        return self._all([_Call(self, "POST", path, json.dumps(body)) for body in bodies])

    def __del__(self):
        for connection in self._idle:
            connection.close()

    # -- inside ----------------------------------------------------------------------------------

    def _all(self, calls: list[_Call]) -> list[Any]:
        stopped, waiting = _wait.get()
        with waiting():
            return self._wait_for(calls, stopped)

    def _wait_for(self, calls: list[_Call], stopped: Callable[[float], bool]) -> list[Any]:
        left = iter(calls)
        running: list[_Call] = []
        begun = time.monotonic()
        try:
            while True:
                for call in [call for call in running if call.done.is_set()]:
                    running.remove(call)
                    if call.error is not None:
                        raise call.error
                while len(running) < AT_ONCE and (call := next(left, None)) is not None:
                    call.start()
                    running.append(call)
                if not running:
                    return [call.answer for call in calls]
                running[0].done.wait(POLL_S)
                for call in running:
                    call.check_time()
                if stopped(time.monotonic() - begun):
                    raise StoppedError("The request to the model server was stopped.")
        finally:  # of the others nobody waits for the answer
            for call in running:
                call.cancel()

    def take_idle(self) -> http.client.HTTPConnection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def keep_idle(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if len(self._idle) < AT_ONCE:
                self._idle.append(connection)
                return
        connection.close()

    def connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.settings.url)
        is_safe = parts.scheme == "https"
        kind = http.client.HTTPSConnection if is_safe else http.client.HTTPConnection
        return kind(parts.hostname, parts.port, timeout=self.connect_s)


class _Call:
    """One request, in a thread of its own."""

    def __init__(self, client: Client, method: str, path: str, body: str | None = None):
        self.client, self.method, self.body = client, method, body
        self.path = urlsplit(client.settings.url).path + path
        self.done, self.cancelled = threading.Event(), False
        self.answer: Any = None
        self.error: RemoteError | None = None
        self.begun = 0.0
        self.is_connected = False
        self.connection: http.client.HTTPConnection | None = None
        self.sock: socket.socket | None = None  # a response may take it over from the connection

    def start(self) -> None:
        self.begun = time.monotonic()
        threading.Thread(target=self._run, daemon=True, name="remote request").start()

    def cancel(self) -> None:
        """Close the connection, whatever is on its way."""
        self.cancelled = True
        if self.sock is not None:
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)

    def check_time(self) -> None:
        """Raise BrokenError once the whole request takes too long, however its bytes trickle in."""
        waited, own = time.monotonic() - self.begun, self.client
        if self.done.is_set():
            return
        if not self.is_connected and waited > own.connect_s:
            raise BrokenError(_unreachable(f"no connection within {own.connect_s:g} s"))
        if waited > own.connect_s + own.read_s:
            raise BrokenError(_slow(own.read_s))

    def _run(self) -> None:
        try:
            status, retry_after, content = self._exchange()
            if status != 200:
                raise _refusal(status, retry_after, content, self.path)
            self.answer = _json(content)
        except RemoteError as error:
            self.error = error
        except TimeoutError:
            own = self.client
            told = _slow(own.read_s) if self.is_connected else _unreachable(
                f"no connection within {own.connect_s:g} s")  # fmt: skip
            self.error = BrokenError(told)
        except (http.client.HTTPException, OSError, ValueError) as error:
            self.error = BrokenError(
                f"The model server broke off in the middle of its answer ({_named(error)}). "
                "Nothing of it was kept; try again, and see whether the server still runs."
                if self.is_connected
                else _unreachable(_named(error))
            )
        except Exception as error:  # whoever waits must be told
            self.error = BrokenError(f"The request to the model server failed ({_named(error)}).")
        finally:
            if self.error is not None and self.connection is not None:
                self.connection.close()
            self.done.set()

    def _exchange(self) -> tuple[int, str, bytes]:
        """Return the status, Retry-After and the body of the answer."""
        kept = self.client.take_idle()
        if kept is not None:
            try:
                return self._ask(kept)
            except (ConnectionError, http.client.RemoteDisconnected):
                kept.close()  # a server closes what is idle too long, which is no error
                if self.cancelled:
                    raise
                self.is_connected = False
        return self._ask(self.client.connect())

    def _ask(self, connection: http.client.HTTPConnection) -> tuple[int, str, bytes]:
        self.connection = connection
        if connection.sock is None:
            connection.connect()
        self.is_connected, self.sock = True, connection.sock
        self.sock.settimeout(self.client.read_s)
        if self.cancelled:
            raise ConnectionAbortedError("stopped")
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if self.client.settings.key:
            headers["Authorization"] = f"Bearer {self.client.settings.key}"
        connection.request(self.method, self.path, self.body, headers)
        with connection.getresponse() as response:
            content = self._content(response)
        if response.will_close:
            connection.close()
        else:
            self.client.keep_idle(connection)
        self.connection = self.sock = None
        return response.status, response.getheader("Retry-After", ""), content

    def _content(self, response: http.client.HTTPResponse) -> bytes:
        most = self.client.most_bytes
        content = b"" if (response.length or 0) > most else response.read(most + 1)
        if len(content) > most or (response.length and not content):
            raise RemoteError(
                f"The answer of the model server is larger than {most / 2**20:g} MB. Ask it for "
                f"fewer tokens: lower {TOP}."
            )
        if response.length:  # `read` with a limit does not mind a body that is cut off
            raise http.client.IncompleteRead(content, response.length)
        return content


def _unreachable(why: str) -> str:
    return (
        f"The model server cannot be reached ({why}). Start it, or ask whoever runs this page to "
        "do so; then try again. The other models work without it."
    )


def _slow(seconds: float) -> str:
    return (
        f"The model server did not answer within {seconds:g} s. It may be busy or hang: try again, "
        "with a shorter text if it stays so."
    )


def _named(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:120]


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RemoteError(
            f"The model server answers with what is no JSON ({_named(error)}). See whether {URL} "
            "is the address of an OpenAI-compatible completions server."
        ) from None


def _refusal(status: int, retry_after: str, content: bytes, path: str) -> RefusedError:
    """Return what a status other than 200 means, and what to do."""
    detail = _detail(content)
    told = f" It says: {detail}" if detail else ""
    if status in (401, 403):
        text = f"The model server refuses the key ({status}). {KEY} must be set to one it accepts."
    elif status == 404:
        text = f"The model server has no {path}, or no such model (404).{told} See {URL}, {MODEL}."
    elif status == 429:
        wait = f"in {retry_after} s" if retry_after.isdecimal() and len(retry_after) < 7 else "soon"
        text = f"The model server is asked too often (429). Try again {wait}."
    elif status == 503:
        text = f"The model server is busy or still loading (503).{told} Try again in a moment."
    elif 300 <= status < 400:
        text = f"The model server sends elsewhere ({status}), which is not followed. See {URL}."
    elif status >= 500:
        text = f"The model server has a problem of its own ({status}).{told} Try again."
    else:
        text = f"The model server does not accept the request ({status}).{told}"
    return RefusedError(text, status)


def _detail(content: bytes) -> str:
    """Return what a server says of an error, as one short line."""
    try:
        data = json.loads(content[:100_000])
    except (ValueError, RecursionError):
        return ""
    for key in ("error", "message", "detail"):
        while isinstance(data, dict) and key in data:
            data = data[key]
    return " ".join(data.split())[:200] if isinstance(data, str) else ""
