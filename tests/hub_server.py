"""A small Hugging Face Hub on this machine, which the real client talks to over HTTP.

It answers what the client asks of the real one: what a repository holds, its files, whole or in
parts, searches, and uploads by its LFS. A fault makes it answer as a Hub does that has a problem.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

ABOUT = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/revision/(.+))?")
FILE = re.compile(r"/(?:(datasets)/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
UPLOAD = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)/(preupload|commit)/([^/]+)")
BATCH = re.compile(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch")
STORE = "/lfs-store/"
LARGE = (".safetensors", ".parquet", ".bin")  # what goes to the LFS


def blob_id(data: bytes) -> str:
    """Return git's name of a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class Repo:
    """A repository: its files by path, and the metadata of its README."""

    files: dict[str, bytes]
    card: dict = field(default_factory=dict)
    revisions: tuple[str, ...] = ("main",)
    sizes: dict[str, int | None] = field(default_factory=dict)  # where it lies about them
    sent: dict[str, bytes] = field(default_factory=dict)  # what is sent instead of a file
    private: bool = False
    gated: bool = False
    downloads: int = 0

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
    slow: dict[str, tuple[int, float]] = field(default_factory=dict)  # bytes, seconds after them
    silent: list[str] = field(default_factory=list)  # parts of path that are never answered
    token: str = "hf_right"
    asked: list[str] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)  # (path, Authorization)
    stored: dict[str, bytes] = field(default_factory=dict)  # the LFS, by sha256
    closing: threading.Event = field(default_factory=threading.Event)

    def add(self, name: str, files: dict[str, bytes], kind: str = "datasets", **more) -> Repo:
        self.repos[kind, name] = Repo(files, **more)
        return self.repos[kind, name]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub  # set by `serve`

    def is_answered(self) -> bool:
        """Note the request; return whether a fault has answered it."""
        self.body = self.read_body()
        if self.path == "/api/agent-harnesses":  # the client asks it once, of what it is run by
            self.answer(404, b"", {})
            return True
        self.hub.asked.append(f"{self.command} {self.path}")
        self.hub.told.append((self.path, self.headers.get("Authorization", "")))
        path = unquote(urlsplit(self.path).path)
        if any(part in path for part in self.hub.silent):
            self.hub.closing.wait()
            self.close_connection = True
            return True
        for part, (status, headers) in self.hub.status.items():
            if part in path:
                self.answer(status, b"{}", headers)
                return True
        return False

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def is_known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {self.hub.token}"

    def do_GET(self):
        if self.is_answered():
            return None
        path = unquote(urlsplit(self.path).path)
        if path == "/api/models":
            return self.search(parse_qs(urlsplit(self.path).query))
        if match := ABOUT.fullmatch(path):
            return self.about(*match.groups())
        if match := FILE.fullmatch(unquote(urlsplit(self.path).path.replace("%2F", "\0"))):
            return self.file(*(part and part.replace("\0", "/") for part in match.groups()))
        return self.answer(404, b"{}", {})

    do_HEAD = do_GET  # noqa: N815 (http.server's name)

    def do_POST(self):
        if self.is_answered():
            return None
        path = unquote(urlsplit(self.path).path)
        if path == "/api/validate-yaml":
            return self.tell({"errors": [], "warnings": []})
        if not self.is_known():
            return self.answer(401, b"{}", {"X-Error-Message": "Invalid username or password."})
        data = json.loads(self.body) if "/commit/" not in path else None
        if path == "/api/repos/create":
            name = f"{data['organization']}/{data['name']}"
            made = {"url": f"{self.hub.url}/{name}", "id": name}
            kind = f"{data.get('type') or 'model'}s"
            if (kind, name) in self.hub.repos:
                return self.answer(409, json.dumps(made).encode(), {})
            private = bool(data.get("private")) or data.get("visibility") == "private"
            self.hub.add(name, {}, kind=kind, private=private)
            return self.tell(made)
        if match := BATCH.fullmatch(path):
            return self.batch(data)
        if match := UPLOAD.fullmatch(path):
            repo = self.hub.repos[match[1], match[2]]
            return self.modes(data) if match[3] == "preupload" else self.commit(repo, match[2])
        return self.answer(404, b"{}", {})

    def do_PUT(self):
        if self.is_answered():
            return None
        digest = urlsplit(self.path).path.removeprefix(STORE)
        if hashlib.sha256(self.body).hexdigest() != digest:
            return self.answer(400, b"{}", {})
        self.hub.stored[digest] = self.body
        return self.answer(200, b"{}", {})

    def search(self, asked: dict[str, list[str]]):
        word = asked.get("search", [""])[0].lower()
        found = [
            {
                "id": name, "downloads": repo.downloads, "likes": 3, "private": repo.private,
                "gated": "manual" if repo.gated else False, "tags": ["license:mit"],
                "lastModified": "2026-05-04T03:02:01.000Z", "cardData": repo.card,
                "safetensors": {"parameters": {"F32": 1000}, "total": 1000},
            }
            for (kind, name), repo in self.hub.repos.items()
            if kind == "models" and word in name.lower() and not repo.private
        ]  # fmt: skip
        found.sort(key=lambda model: -model["downloads"])
        return self.tell(found[: int(asked.get("limit", ["100"])[0])])

    def about(self, kind: str, name: str, revision: str | None):
        repo = self.hub.repos.get((kind, name))
        if repo is None or (repo.private and not self.is_known()):
            # a real Hub does not tell strangers what is private and what is not there
            return self.answer(401, b"{}", {"X-Error-Message": "Invalid username or password."})
        if revision not in (None, repo.commit, *repo.revisions):
            return self.answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        siblings = []
        for path, data in repo.files.items():
            size = repo.sizes.get(path, len(data))
            told = {"rfilename": path, "size": size, "blobId": blob_id(data)}
            if path.endswith(LARGE):
                digest = hashlib.sha256(data).hexdigest()
                told["lfs"] = {"sha256": digest, "size": size, "pointerSize": 130}
            siblings.append(told)
        gated = "manual" if repo.gated else False
        body = {"id": name, "sha": repo.commit, "siblings": siblings, "cardData": repo.card}
        return self.tell(body | {"gated": gated, "private": repo.private})

    def file(self, kind: str | None, name: str, revision: str, path: str):
        repo = self.hub.repos.get((kind or "models", name))
        if repo is None or path not in repo.files or (repo.private and not self.is_known()):
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        if repo.gated and not self.is_known():
            return self.answer(401, b"", {"X-Error-Code": "GatedRepo"})
        data, status = repo.files[path], 200
        digest = hashlib.sha256(data).hexdigest() if path.endswith(LARGE) else blob_id(data)
        headers = {
            "ETag": f'"{digest}"', "X-Repo-Commit": repo.commit, "Accept-Ranges": "bytes",
        }  # fmt: skip
        data = repo.sent.get(path, data)
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
            if first > last:
                return self.answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            data, status = data[first : last + 1], 206
        for fault in self.hub.cut:
            if fault[0] in path and self.command == "GET":
                self.hub.cut.remove(fault)
                return self.answer(status, data, headers, sent=fault[1])
        for part, pace in self.hub.slow.items():
            if part in path and self.command == "GET":
                return self.answer(status, data, headers, pace=pace)
        return self.answer(status, data, headers)

    def modes(self, data: dict):
        files = [
            {
                "path": file["path"], "shouldIgnore": False,
                "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
            }
            for file in data["files"]
        ]  # fmt: skip
        return self.tell({"files": files})

    def batch(self, data: dict):
        objects = [
            item if item["oid"] in self.hub.stored
            else item | {"actions": {"upload": {"href": f"{self.hub.url}{STORE}{item['oid']}"}}}
            for item in data["objects"]
        ]  # fmt: skip
        return self.tell({"transfer": "basic", "objects": objects})

    def commit(self, repo: Repo, name: str):
        for line in self.body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                repo.files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                repo.files[value["path"]] = self.hub.stored[value["oid"]]
        url = f"{self.hub.url}/{name}/commit/{repo.commit}"
        return self.tell({"success": True, "commitOid": repo.commit, "commitUrl": url})

    def tell(self, value: object):
        return self.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def answer(
        self,
        status: int,
        body: bytes,
        headers: dict,
        sent: int | None = None,
        pace: tuple[int, float] | None = None,
    ):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            step, pause = pace or (len(body) or 1, 0.0)
            for start in range(0, len(body[:sent]), step):
                self.wfile.write(body[:sent][start : start + step])
                if pause and self.hub.closing.wait(pause):
                    break
        if sent is not None:
            self.close_connection = True  # in the middle of what was announced

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        """Say nothing of clients that have heard enough."""


@contextmanager
def serve() -> Iterator[Hub]:
    """Run a Hub on a free port of the loopback until the block is left."""
    handler = type("Handler", (Handler,), {})
    with Server(("127.0.0.1", 0), handler) as server:
        handler.hub = Hub(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield handler.hub
        finally:
            handler.hub.closing.set()
            server.shutdown()
            thread.join()
