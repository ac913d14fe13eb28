"""A Hub on the loopback, an empty cache, and models for it."""

import time

import pytest
from huggingface_hub import constants

from tests.hub_server import serve
from tests.tiny_models import tiny_folder


def use(monkeypatch, server, cache):
    """Let the client talk to `server` and keep what it fetches in `cache`."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # as all other tests are
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # the Hub here has only the LFS
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "no-token"))
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.delenv("HF_TOKEN", raising=False)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with serve() as server:
        use(monkeypatch, server, tmp_path / "cache")
        yield server


@pytest.fixture(scope="session")
def llama(tmp_path_factory) -> dict[str, bytes]:
    """The files of a tiny Llama, as its maker would upload them."""
    folder = tiny_folder("llama", tmp_path_factory.mktemp("made") / "llama")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def soon(monkeypatch):
    """Let what is waited for be given up soon."""
    from playground.data import hub as data_hub
    from playground.hub import fetch

    monkeypatch.setattr(fetch, "SILENCE_S", 0.6)
    monkeypatch.setattr(fetch, "WAIT_S", 0.3)
    monkeypatch.setattr(fetch, "PAUSE_S", 0.05)
    monkeypatch.setattr(data_hub, "SECONDS", 0.5)
    return time.monotonic()
