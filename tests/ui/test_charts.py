"""Charts as data: fields, order, what is removed, and files that open."""

import math

import pytest

from playground.traces.trace import Candidate, Step
from playground.ui import charts

STAGES = ("model", "temperature=0.5", "top_k=2")


def a_step(token: int = 1) -> Step:
    raw = [0.4, 0.3, 0.2, 0.05]
    sharp = [p * p / sum(q * q for q in raw) * 0.9 for p in raw]
    candidates = tuple(
        Candidate(i, (math.log(raw[i]), math.log(sharp[i]), math.log(0.5) if i < 2 else -math.inf))
        for i in range(4)
    )
    return Step(7, token, math.log(raw[token]), -1.0, token + 1, 1.0, 2, STAGES, candidates)


def test_every_column_adds_up_to_one():
    rows = charts.candidate_rows(a_step(), str)
    for stage in STAGES:
        assert sum(r["probability"] for r in rows if r["stage"] == stage) == pytest.approx(1)


def test_a_removed_token_keeps_a_hollow_bar_of_its_last_probability():
    rows = charts.candidate_rows(a_step(), str)
    removed = next(r for r in rows if r["name"] == "2" and r["stage"] == "top_k=2")
    before = next(r for r in rows if r["name"] == "2" and r["stage"] == "temperature=0.5")
    assert removed["kind"] == "removed"
    assert removed["says"] == "✕"
    assert removed["right"] - removed["left"] == pytest.approx(before["right"] - before["left"])


def test_the_choice_is_shown_even_if_it_is_unlikely():
    rows = charts.candidate_rows(a_step(token=3), str, shown=2)
    assert {r["name"] for r in rows} == {"0", "1", "3", "all others"}
    assert next(r for r in rows if r["name"] == "3")["kind"] == "taken"


def test_labels_that_look_alike_stay_apart():
    rows = charts.candidate_rows(a_step(), lambda token: "�")
    assert len({r["name"] for r in rows}) == 5


def test_a_click_names_position_and_token():
    rows = charts.candidate_rows(a_step(), str)
    assert rows[0]["sid"] == "7:0"
    assert next(r for r in rows if r["kind"] == "rest")["sid"] == ""


def test_specs_carry_no_rows_and_name_their_selections():
    spec = charts.candidates_spec(STAGES)
    assert "datasets" not in spec
    assert "data" not in spec
    assert [p["name"] for p in spec["params"]] == ["pick"]
    assert [p["name"] for p in charts.timeline_spec()["params"]] == ["at"]


def test_surprisal_is_drawn_as_bars_from_zero():
    bars = charts.timeline_spec()["layer"][1]
    assert bars["mark"]["type"] == "bar"
    assert bars["encoding"]["y2"] == {"datum": 0}


def test_odd_characters_in_stage_names_do_not_break_the_axis():
    spec = charts.candidates_spec(("it's\\", "b"))
    assert r"\'s\\" in spec["layer"][0]["encoding"]["x"]["axis"]["labelExpr"]


@pytest.mark.parametrize(("kind", "start"), [("png", b"\x89PNG"), ("svg", b"<svg")])
def test_charts_render_to_files(kind, start):
    step = a_step()
    rows = charts.candidate_rows(step, lambda t: f"<b>{t}'\\")
    chart = charts.candidates_chart(rows, step.stages)
    assert charts.render(chart, kind).startswith(start)
    line = charts.timeline_chart(charts.timeline_rows([step], ["x"], 7))
    assert charts.render(line, kind).startswith(start)
    heads = charts.attention_chart([[1.0, 0.0], [0.4, 0.6]], ["a'", "⏎"], "layer 1, head 1")
    assert charts.render(heads, kind).startswith(start)
