"""`python -m train.experiment`: a real reduced run of the cheapest experiment, and bad input."""

import json
import subprocess
import sys

import pytest

from playground.experiments.findings import finding
from playground.experiments.results import load_result
from playground.ui.experiment_charts import charts
from tests.helpers import ROOT
from train import experiment
from train.experiments import quality


def test_a_reduced_run_tells_how_far_it_is_and_writes_what_the_page_reads(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(quality, "REDUCED", {"prompts": 1, "tokens": 8})  # smaller still: seconds
    assert experiment.main(["quality", "--reduced", "--out", str(tmp_path)]) == 0
    *told, last = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in told] == [{"done": 1, "of": 1}]
    assert last.startswith("quality.json: ")
    found = load_result("quality", tmp_path)
    assert found.is_reduced
    assert found.seeds == 1
    assert found.command == "python -m train.experiment quality --reduced"
    strategies = found.values("strategy")
    assert {"human", "greedy", "beam search"} < set(strategies)
    assert len(found.rows) == len(strategies) == len(quality.NAMES) + len(quality.MORE) + 1
    assert "People's text has perplexity" in finding(found).text
    assert charts(found)


@pytest.mark.parametrize("flags", [["--seeds", "0"], ["--jobs", "0"], ["--seeds", "11"]])
def test_bad_numbers_are_refused_before_any_work(flags, tmp_path, capsys):
    assert experiment.main(["quality", "--out", str(tmp_path), *flags]) == 2
    assert flags[0] in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_unknown_experiment_is_refused_with_the_known_ones(tmp_path):
    command = [sys.executable, "-m", "train.experiment", "alchemy", "--out", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "families" in ended.stderr
