"""python -m train.ordering: two orders trained in real processes, compared, and not again."""

import json
import math

import pytest

from playground.experiments.ordering import load_ordering
from train import ordering


def test_every_order_is_trained_once_and_compared(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ordering, "ORDERS", {name: "" for name in ("raster", "spiral")})
    flags = ["--steps", "6", "--eval-every", "3", "--seeds", "1"]
    for name in ("checkpoints", "runs", "result"):
        flags += [f"--{name}", str(tmp_path / name)]
    assert ordering.main(flags) == 0
    found = load_ordering(tmp_path / "result")
    assert [ordered.order for ordered in found.orders] == ["raster", "spiral"]
    for ordered in found.orders:
        (run,) = ordered.trained
        assert [step for step, _ in run.curve] == [3, 6]
        assert run.curve[-1][1] == pytest.approx(run.bits_per_dim, abs=0.01)
        assert run.bits_per_dim < math.log2(18)
        folder = tmp_path / "checkpoints" / f"digits-transformer-{ordered.order}"
        assert sorted(p.name for p in folder.glob("*.png")) == ["examples.png", "samples.png"]
    assert found.command == "python -m train.ordering --steps 6 --seeds 1"
    told = capsys.readouterr().out
    assert f"spiral   {found['spiral'].trained[0].bits_per_dim:.4f} bits per dimension" in told

    written = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("model.safetensors")}
    assert len(written) == 2
    assert ordering.main(flags) == 0
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("model.safetensors")} == written


def test_a_run_that_fails_ends_the_experiment_without_a_result(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(ordering, "ORDERS", {"zigzag": ""})
    flags = ["--checkpoints", str(tmp_path), "--result", str(tmp_path / "result")]
    assert ordering.main([*flags, "--seeds", "1"]) == 2
    told = capfd.readouterr().err
    assert "order must be one of raster" in told
    assert "--order zigzag" in told
    assert not (tmp_path / "result").exists()


def test_a_run_of_other_settings_is_not_taken_for_a_finished_one(tmp_path):
    (tmp_path / "README.md").write_text("a card")
    config = {"family": "transformer", "info": {"command": "python -m train.image --seed 1"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert ordering.is_finished(tmp_path, "python -m train.image --seed 1")
    assert not ordering.is_finished(tmp_path, "python -m train.image --seed 2")
    assert not ordering.is_finished(tmp_path / "nowhere", "python -m train.image --seed 1")
