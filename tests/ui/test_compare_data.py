"""What the Compare page draws, as data: texts that grow, trees that join, charts with fields."""

import math

import pytest

from playground.comparison import LaneResult
from playground.decoding.presets import PRESETS
from playground.decoding.processors import Processor
from playground.decoding.spec import LaneSpec
from playground.evaluation.figures import figures
from playground.registry import available
from playground.tokenizers.text import CharTokenizer
from playground.traces.trace import Alternative, Draft, Hypothesis, Step, Trace
from playground.ui import charts, compare_charts, compare_data, compare_table, relatives
from playground.ui.compare_data import Drawn

TOKENIZER = CharTokenizer("ab\n<>&=")


def a_step(position: int, token: int, draft: Draft | None = None, by: str = "strategy") -> Step:
    return Step(position, token, -0.5 - position / 10, -0.5, 1, 1.0, 2, chosen_by=by, draft=draft)


def a_trace(tokens=(0, 1, 0, 1), **more) -> Trace:
    steps = tuple(a_step(i + 1, token) for i, token in enumerate(tokens))
    return Trace("model", (TOKENIZER.bos_token,), 0, steps, **more)


def a_tree() -> Trace:
    """Two positions: a and b live, then b goes on from the second and ends from the first."""
    search = (
        (
            Hypothesis(0, 2, -3.0, -3.0, "pruned"),
            Hypothesis(0, 0, -1.0, -1.0, "live"),
            Hypothesis(0, 1, -2.0, -2.0, "live"),
        ),
        (Hypothesis(1, 1, -2.5, -1.25, "live"), Hypothesis(0, 0, -3.0, -1.5, "finished")),
    )
    return a_trace((1, 1), search=search, alternatives=(Alternative((1, 1), -2.5, -1.25),))


def write(token: int) -> str:
    return compare_data.piece(token, TOKENIZER)


def test_a_text_grows_and_keeps_rejected_drafts_before_the_token():
    drawn = Drawn()
    drawn.append(a_step(1, 0), write)
    drawn.append(a_step(2, 1, Draft(0, -0.1, False, (1, 1))), write)
    drawn.append(a_step(3, 1, Draft(1, -0.1, True), "draft"), write)
    data = drawn.data("", 0)
    assert data["texts"] == ["a", "b", "b"]
    assert data["ghosts"] == {"1": ["a", "b", "b"]}
    assert data["by"] == "ssd"
    assert len(data["bits"]) == len(data["ranks"]) == 3


def test_a_search_that_changes_its_mind_is_followed():
    drawn = Drawn()
    drawn.follow(a_trace((0, 0, 1)).steps, write)
    drawn.follow(a_trace((0, 1, 1, 0)).steps, write)
    assert drawn.texts == ["a", "b", "b", "a"]
    drawn.follow(a_trace((0,)).steps, write)
    assert drawn.texts == ["a"]


def test_a_line_break_is_seen_and_breaks_the_line():
    assert write(2) == "⏎\n"


def test_a_tree_puts_live_ones_first_and_joins_them_to_their_parents():
    tree = compare_data.tree(a_tree(), TOKENIZER.label)
    first, second = tree["columns"]
    assert [row[1] for row in first] == ["a", "b", "⏎"]
    assert [row[4] for row in first] == ["l", "l", "p"]
    assert [row[0] for row in second] == [1, 0]
    assert tree["first"] == 1


def test_a_tree_marks_the_way_to_the_result():
    columns = compare_data.tree(a_tree(), TOKENIZER.label)["columns"]
    assert [[row[6] for row in column] for column in columns] == [
        [False, True, False],
        [True, False],
    ]


def test_the_newest_part_of_a_tree_begins_without_parents():
    tree = compare_data.tree(a_tree(), TOKENIZER.label, last=1)
    assert [row[0] for row in tree["columns"][0]] == [-1, -1]
    assert tree["first"] == 2
    assert tree["columns"][0][0][6] is True


def test_all_results_are_shown_from_where_they_differ():
    same = (0, 1) * 40
    others = (Alternative((*same, 0), -1.0, -0.1), Alternative((*same, 1), -2.0, -math.inf))
    rows = compare_data.result_rows(a_trace(alternatives=others), TOKENIZER)
    assert rows[0]["text"].startswith("…")
    assert rows[0]["text"][:-1] == rows[1]["text"][:-1]
    assert len(rows[0]["text"]) < 40
    assert rows[1]["score"] is None


def test_drafts_are_counted():
    steps = (
        a_step(1, 0, Draft(0, -0.1, True), "draft"),
        a_step(2, 1, Draft(0, -0.1, False, (1,))),
        a_step(3, 1),
    )
    trace = Trace("model", (TOKENIZER.bos_token,), 0, steps)
    result = LaneResult(LaneSpec("x", "prompt_lookup"), (trace,), 1.0, 1, True)
    told = compare_data.saving(result)
    assert (told["tokens"], told["calls"], told["accepted"], told["looked_at"]) == (3, 1, 1, 2)
    assert told["rate"] == 0.5
    assert compare_data.saving(LaneResult(LaneSpec("y"), (trace,), 1.0, 1, True)) is None


def test_every_preset_is_summed_up_and_explained_in_a_line():
    for spec in PRESETS.values():
        for text in (compare_data.summary(spec), compare_data.explanation(spec)):
            assert text
            assert "\n" not in text
            assert len(text) < 160


def test_a_summary_tells_the_order_of_the_processors():
    spec = LaneSpec("x", processors=(Processor("top_p", 0.9), Processor("temperature", 1.5)))
    assert compare_data.summary(spec) == "sample → top_p 0.9 → temperature 1.5"


def some_figures():
    loop = figures([a_trace((0, 1) * 20)], tokenizer=TOKENIZER)
    varied = figures([a_trace((0, 1, 3, 4, 5, 6, 0, 3))], tokenizer=TOKENIZER)
    return loop, varied


def test_the_scatter_has_a_point_a_lane_and_one_of_human_text():
    loop, varied = some_figures()
    rows = compare_charts.scatter_rows(["loop"], [loop], varied, by_judge=False)
    assert [(row["lane"], row["kind"]) for row in rows] == [
        ("loop", "lane"),
        (compare_charts.HUMAN, "human"),
    ]
    assert rows[0]["repetition"] > rows[1]["repetition"] == 0
    assert compare_charts.scatter_rows(["loop"], [loop], None, by_judge=True) == []


def test_charts_name_their_fields_and_units():
    loop, varied = some_figures()
    rows = compare_charts.scatter_rows(["loop"], [loop], varied, by_judge=False)
    spec = compare_charts.scatter_chart(rows, ["loop"], "the model itself").to_dict()
    points = next(layer for layer in spec["layer"] if layer["mark"]["type"] == "point")
    assert points["encoding"]["x"]["field"] == "repetition"
    assert points["encoding"]["y"]["field"] == "perplexity"
    assert "log scale" in points["encoding"]["y"]["title"]
    assert points["encoding"]["y"]["scale"]["type"] == "log"
    lines = compare_charts.line_rows(["loop"], [a_trace((0, 1) * 20).steps])
    line = compare_charts.line_chart(lines, ["loop"]).to_dict()
    assert line["encoding"]["y"]["field"] == "bits"
    assert line["encoding"]["x"]["field"] == "token"


def test_labels_of_near_points_stand_on_different_sides():
    loop, _ = some_figures()
    rows = compare_charts.scatter_rows(["one", "two"], [loop, loop], None, by_judge=False)
    assert rows[0]["side"] != rows[1]["side"]


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_charts_render_with_any_label(kind):
    loop, varied = some_figures()
    label = "<b>'\\\"&"
    rows = compare_charts.scatter_rows([label], [loop], varied, by_judge=False)
    drawn = charts.render(compare_charts.scatter_chart(rows, [label], "x"), kind)
    assert drawn[:4] in (b"<svg", b"\x89PNG")
    assert b"<b>" not in drawn


def test_a_table_has_every_figure_and_a_formula_in_a_label_stays_text():
    loop, varied = some_figures()
    result = LaneResult(LaneSpec("x"), (a_trace((0, 1) * 20),), 2.0, 39, True)
    rows = compare_table.table_rows([result], ["=1+1"], [loop], varied)
    assert rows[0]["tokens_per_second"] == 20
    text = compare_table.to_csv(rows)
    head, first, human = text.splitlines()
    assert head.startswith("lane,mean_length,log_likelihood,perplexity")
    assert first.startswith("'=1+1,")
    assert human.startswith(compare_charts.HUMAN)


def test_a_column_of_which_nothing_is_known_is_left_out():
    loop, _ = some_figures()
    result = LaneResult(LaneSpec("x"), (a_trace(),), 2.0, 3, True)
    rows = compare_table.table_rows([result], ["x"], [loop], None)
    names = [column.name for column in compare_table.told_columns(rows)]
    assert "perplexity" in names
    assert not {"judge_perplexity", "accepted", "self_bleu"} & set(names)


def test_a_label_at_the_edge_stands_inside_the_chart():
    loop, varied = some_figures()
    rows = compare_charts.scatter_rows(
        ["a rather long name of a lane", "b"], [loop, varied], None, by_judge=False
    )
    assert rows[0]["side"] != "right"


def test_the_preselected_second_model_and_judge_share_the_tokens():
    cards = available("text")
    for model in cards:
        kin = relatives.kin_of(model, cards)
        assert model not in kin
        assert relatives.draft_of(kin, cards) in [*kin, ""]
        judge = relatives.judge_of(model, kin, cards)
        assert judge in [*kin, ""]
        assert "ngram" not in judge
    kin = relatives.kin_of("prose-bpe-transformer", cards)
    assert relatives.draft_of(kin, cards) == "prose-bpe-draft"
