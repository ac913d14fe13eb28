"""A small Hugging Face Hub on this machine, which the real client talks to over HTTP.

It answers what the client asks of the real one: what a repository holds, and its files, whole or
from some byte on. A fault makes it answer as a Hub does that has a problem.
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

ABOUT = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/revision/(.+))?")
FILE = re.compile(r"/(?:(datasets)/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class Repo:
    """A repository: its files by path, and the metadata of its README."""

    files: dict[str, bytes]
    card: dict = field(default_factory=dict)
    revisions: tuple[str, ...] = ("main",)
    sizes: dict[str, int | None] = field(default_factory=dict)  # where it lies about them

    @property
    def commit(self) -> str:
        return hashlib.sha1(b"".join(sorted(self.files.values()))).hexdigest()


@dataclass
class Hub:
    """What the server holds, and what goes wrong; `asked` lists the requests it has had."""

    url: str
    repos: dict[tuple[str, str], Repo] = field(default_factory=dict)  # by ("datasets", name)
    status: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)  # by part of path
    cut: list[tuple[str, int]] = field(default_factory=list)  # (part of path, bytes sent), once
    asked: list[str] = field(default_factory=list)

    def add(self, name: str, files: dict[str, bytes], kind: str = "datasets", **more) -> Repo:
        self.repos[kind, name] = Repo(files, **more)
        return self.repos[kind, name]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub  # set by `serve`

    def do_GET(self):
        self.hub.asked.append(f"{self.command} {self.path}")
        path = unquote(urlsplit(self.path).path)
        for part, (status, headers) in self.hub.status.items():
            if part in path:
                return self.answer(status, b"{}", headers)
        if match := ABOUT.fullmatch(path):
            return self.about(*match.groups())
        if match := FILE.fullmatch(unquote(urlsplit(self.path).path.replace("%2F", "\0"))):
            return self.file(*(part and part.replace("\0", "/") for part in match.groups()))
        return self.answer(404, b"{}", {})

    do_HEAD = do_GET  # noqa: N815 (http.server's name)

    def about(self, kind: str, name: str, revision: str | None):
        repo = self.hub.repos.get((kind, name))
        if repo is None:  # a real Hub does not tell strangers what is private and what is not there
            return self.answer(401, b"{}", {"X-Error-Message": "Invalid username or password."})
        if revision not in (None, repo.commit, *repo.revisions):
            return self.answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        siblings = [
            {"rfilename": path, "size": repo.sizes.get(path, len(data)), "blobId": "0" * 40}
            for path, data in repo.files.items()
        ]
        body = {"id": name, "sha": repo.commit, "siblings": siblings, "cardData": repo.card}
        return self.answer(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def file(self, kind: str | None, name: str, revision: str, path: str):
        repo = self.hub.repos.get((kind or "models", name))
        if repo is None or path not in repo.files:
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        data, status = repo.files[path], 200
        headers = {
            "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
            "X-Repo-Commit": repo.commit,
            "Accept-Ranges": "bytes",
        }
        if start := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            first, status = int(start[1]), 206
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
            data = data[first:]
        for fault in self.hub.cut:
            if fault[0] in path and self.command == "GET":
                self.hub.cut.remove(fault)
                return self.answer(status, data, headers, sent=fault[1])
        return self.answer(status, data, headers)

    def answer(self, status: int, body: bytes, headers: dict, sent: int | None = None):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:sent])
        if sent is not None:
            self.close_connection = True  # in the middle of what was announced

    def log_message(self, *args):
        pass


@contextmanager
def serve() -> Iterator[Hub]:
    """Run a Hub on a free port of the loopback until the block is left."""
    handler = type("Handler", (Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        handler.hub = Hub(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield handler.hub
        finally:
            server.shutdown()
            thread.join()
