"""Models of the Hub that are here take part in a comparison, as main and as second model."""

import pytest
import torch
from safetensors.torch import load, save

from playground.data.hub import PREFIX
from playground.hub.fetch import fetch
from playground.hub.plan import plan
from playground.ui import hub_picker
from tests.hub.conftest import use
from tests.hub_server import serve
from tests.pages.test_compare_page import compare_page, labels, run, session_of, texts
from tests.tiny_models import tiny_folder


@pytest.fixture
def addresses(tmp_path, monkeypatch) -> list[str]:
    """Two models with one tokenizer and other weights, fetched."""
    folder = tiny_folder("llama", tmp_path / "llama")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    other = {name: tensor * 0.9 for name, tensor in load(files["model.safetensors"]).items()}
    with serve() as server:
        use(monkeypatch, server, tmp_path / "cache")
        server.add("somebody/one", files, kind="models")
        metadata = {"format": "pt"}
        server.add(
            "somebody/other",
            files | {"model.safetensors": save(other, metadata)},
            kind="models",
        )
        plans = [plan(name) for name in ("somebody/one", "somebody/other")]
        for found in plans:
            fetch(found)
        hub_picker._cards_here.clear()
        yield [PREFIX + found.address for found in plans]
    hub_picker._cards_here.clear()


def test_two_models_of_the_hub_are_compared(addresses):
    one, other = addresses
    page = compare_page(model=one, second=other, length="6")
    assert page.selectbox(key="second").value == other  # the same tokens
    run(page)
    assert labels(page)
    assert all(len(lane[0]) > 0 for lane in texts(page))
    results = session_of(page).outcome.comparison.results()
    assert {trace.model for result in results for trace in result.traces} == {one}
    assert torch.get_default_dtype() == torch.float32
