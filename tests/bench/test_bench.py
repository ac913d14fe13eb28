"""Every task runs and prints complete rows; no test asserts a time."""

import dataclasses
import json
import math

import pytest

from bench.__main__ import TASKS, main
from bench.measure import Row, paired


@pytest.mark.parametrize("task", [task for task in TASKS if task != "page"])
def test_a_task_prints_complete_rows(task, capsys):
    assert main([task, "--quick", "--json", "--threads", "1"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows
    for row in rows:
        assert set(row) == {field.name for field in dataclasses.fields(Row)}
        assert row["task"] == task
        assert row["peer"]
        assert row["unit"]
        assert row["device"] == "cpu"
        assert row["runs"] >= 1
        figures = [row[name] for name in ("ours", "theirs", "ratio", "spread")]
        assert all(math.isfinite(figure) for figure in figures)


def test_a_task_prints_a_table(capsys):
    assert main(["lanes", "--quick", "--threads", "1"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[:5] == ["row", "unit", "ours", "theirs", "ratio"]
    assert len(rows) == 2


def test_a_ratio_above_one_is_better_for_ours():
    faster = paired([20.0, 40.0], [10.0, 20.0])
    smaller = paired([10.0, 20.0], [20.0, 40.0], less_is_better=True)
    assert faster["ratio"] == smaller["ratio"] == 2.0
    assert faster["spread"] == smaller["spread"] == 0.0


def test_spread_is_the_distance_of_the_quartiles():
    ratios = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert paired(ratios, [1.0] * 5)["spread"] == pytest.approx(3.0 / 3.0)
