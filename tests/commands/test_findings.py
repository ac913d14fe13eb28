"""python -m playground findings: what the kept experiments found, or what is missing."""

from playground.command_line import main
from playground.commands import findings
from playground.experiments.findings import finding
from playground.experiments.results import load_result
from tests import made_up_experiments


def kept(monkeypatch, folder, *results):
    for result in results:
        (folder / f"{result.name}.json").write_text(result.to_json(), encoding="utf-8")
    monkeypatch.setattr(findings, "load_result", lambda name: load_result(name, folder))


def test_each_finding_is_printed_with_what_makes_it_again(tmp_path, monkeypatch, capsys):
    families = made_up_experiments.families()
    kept(monkeypatch, tmp_path, families)
    assert main(["findings", "families"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("families, as the lesson says: ")
    assert finding(families).text in told
    assert "python -m train.experiment families, 3 seeds" in told


def test_what_has_not_been_made_is_told_beside_the_others(tmp_path, monkeypatch, capsys):
    kept(monkeypatch, tmp_path, made_up_experiments.families())
    assert main(["findings", "families", "scaling"]) == 0
    out, err = capsys.readouterr()
    assert "scaling" not in out
    assert "The experiment scaling has not been made here" in err
    assert main(["findings", "scaling"]) == 2


def test_a_name_that_there_is_not_is_told(capsys):
    assert main(["findings", "nonsense"]) == 2
    assert "There is no experiment 'nonsense'. There are families" in capsys.readouterr().err
