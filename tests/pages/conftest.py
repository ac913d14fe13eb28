"""What tests of pages share: a registry with two small models of pictures."""

import pytest

from playground import registry
from tests.picture_checkpoints import write_checkpoint


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A small model of four classes, and one that knows none, beside no shipped ones."""
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    monkeypatch.setattr(registry, "MODELS", ())
    write_checkpoint(tmp_path / "runs" / "animals", n_class=4)
    write_checkpoint(tmp_path / "runs" / "plain", "pixelcnn")
    return tmp_path
