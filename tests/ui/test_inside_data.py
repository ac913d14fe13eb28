"""Look inside, as data: what is drawn and what is handed out."""

import base64
import csv
import io
import json
import re

import numpy as np
import pytest

from playground.inspection.logit_lens import Lens
from playground.models.transformer import Transformer, TransformerConfig
from playground.tokenizers.text import CharTokenizer
from playground.ui import charts, inside_charts, inside_data, inside_memory
from playground.ui.inside_heads import newest

TOKENIZER = CharTokenizer("ab <\n=")
LABEL = TOKENIZER.label


def prefix_of(text: str) -> tuple[int, ...]:
    return (TOKENIZER.bos_token, *TOKENIZER.encode(text))


def lens() -> Lens:
    top = np.array([[2, 3], [1, 3], [1, 2]])
    rank = np.array([[5, 4], [3, 2], [1, 1]])
    probs = np.full((3, 2), 0.5)
    return Lens(3, top, probs, probs, probs, np.array([1, 2]), probs, rank)


def test_arcs_lead_to_the_largest_weights_and_the_start_does_not_hide_the_rest():
    weights = np.array([0.9, 0.0, 0.06, 0.04])
    data = inside_data.arcs_data(prefix_of("ab "), TOKENIZER, weights, title="t")
    assert data["arcs"] == [0, 2, 3]
    assert data["strongest"] == 0.06
    assert data["texts"] == ["start", "a", "b", " "]


def test_a_part_of_a_row_shows_its_largest_weight():
    row = np.zeros((1, 1, 500))
    row[0, 0, [3, 499]] = 1.0, 0.5
    parts = inside_data.bins_of(row)[0, 0]
    assert len(parts) == inside_data.BINS
    assert (parts[0], parts[-1], parts.sum()) == (1.0, 0.5, 1.5)
    assert inside_data.bins_of(row[..., :7]).shape == (1, 1, 7)


def test_bytes_are_the_shares_between_low_and_high():
    packed = inside_data.pack(np.array([-1.0, 0.0, 1.0, 9.0, np.nan]), -1, 1)
    assert list(base64.b64decode(packed)) == [0, 128, 255, 255, 0]


def test_the_grid_has_a_byte_for_every_part_and_a_tip_for_every_head():
    data = inside_data.grid_data(2, 3, np.arange(12), ["x"] * 6, chosen=(1, 2), title="t")
    assert len(base64.b64decode(data["values"])) == 12
    assert (data["width"], len(data["tips"])) == (2, 6)


@pytest.mark.parametrize("n", [1, 20, 200, 900])
def test_an_even_look_has_a_colour_at_every_length_and_a_tenth_of_it_none(n):
    weights = np.tril(np.ones((3, 3))) / n
    weights[2] = [1.0, 0.1 * weights[0, 0], 0.0]
    data = inside_data.matrix_data(weights, list("abc"), "t", n)
    levels = np.frombuffer(base64.b64decode(data["values"]), "u1").reshape(3, 3)
    assert levels[0, 0] >= 60
    assert levels[0, 1] == 0  # it comes later
    assert levels[2].tolist()[::2] == [255, 0]
    assert levels[2, 1] <= 12
    back = data["min"] ** (1 - levels[1, 1] / 255)  # as the tip reads it
    assert back == pytest.approx(1 / n, rel=0.025)
    assert data["low"] == f"{100 * data['min']:.6g} % or less"


def test_the_table_of_layers_tells_from_where_on_the_answer_stays():
    names = ["embedding", "layer 1", "layer 2"]
    data = inside_data.lens_data(lens(), names, LABEL, prefix_of("ab a"), 0)
    assert "from layer 1 on it stays" in data["facts"]
    assert data["columns"] == [LABEL(t) for t in prefix_of("ab a")[3:]]
    rows = inside_data.lens_rows(lens(), names, 1, LABEL)
    assert [row["rank"] for row in rows] == [4, 2, 1]


def test_a_large_vocabulary_is_read_at_fewer_positions():
    assert inside_data.lens_columns(4, 60) == inside_data.COLUMNS
    assert inside_data.LEAST_COLUMNS <= inside_data.lens_columns(30, 49_152) < inside_data.COLUMNS
    assert inside_data.lens_columns(80, 250_000) == inside_data.LEAST_COLUMNS


def test_only_a_transformer_has_an_embedding_to_read():
    model = Transformer(TransformerConfig(6, n_layer=2, n_head=1, n_embd=8))
    assert inside_data.layer_names(model, 3) == ["embedding", "layer 1", "layer 2"]
    assert inside_data.layer_names(model, 2) == ["layer 1", "layer 2"]


def test_what_was_taken_is_among_the_tokens_before_and_after():
    whole, without = np.log(np.array([[0.6, 0.3, 0.06, 0.04], [0.05, 0.05, 0.8, 0.1]]))
    data = inside_data.before_and_after(whole, without, LABEL, "layer 1, head 1", 3, shown=1)
    kinds = {row["name"]: row["cells"][0][1] for row in data["rows"]}
    assert kinds[LABEL(3)] == "taken"
    assert kinds[LABEL(2)] == "kept"


def test_a_table_runs_no_formula_in_a_spreadsheet():
    (_, row) = csv.reader(io.StringIO(inside_data.table_csv([{"token": "=1+1", "weight": 0.5}])))
    assert row == ["'=1+1", "0.5"]


def test_arrays_are_handed_out_as_numbers():
    assert json.loads(inside_data.plain_json({"w": np.eye(2)})) == {"w": [[1.0, 0.0], [0.0, 1.0]]}


@pytest.mark.parametrize(
    ("count", "told"), [(999, "999 bytes"), (1_500, "1.5 kB"), (4_190_000, "4.19 MB")]
)
def test_sizes_are_told_as_they_are_read(count, told):
    assert inside_memory.size(count) == told


def test_the_newest_tokens_still_begin_with_the_start():
    assert newest(tuple(range(10)), 4) == (0, 7, 8, 9)
    assert newest((0, 1), 4) == (0, 1)


def test_words_keep_the_space_before_them():
    chart = inside_charts.tokens_chart(["start", "ab", " cd", "e", " "], [0.1] * 5, [], "t")
    drawn = charts.render(chart, "svg").decode()
    x = {
        word: float(at)
        for at, word in re.findall(r"translate\(([\d.]+),[\d.]+\)[^>]*>(\w+)<", drawn)
    }
    letter = (x["e"] - x["ab"]) / 5  # "ab cd"
    assert x["cd"] - x["ab"] == pytest.approx(3 * letter, abs=0.1)


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_every_chart_is_drawn(kind):
    rows = [{"tokens": 1, "bytes": 5, "now": False}, {"tokens": 9, "bytes": 45, "now": True}]
    names = ["embedding", "layer 1", "layer 2"]
    table = inside_data.lens_data(lens(), names, LABEL, prefix_of("ab a"), 0)
    unit = np.sin(np.arange(30.0))
    tracked = inside_charts.tracker_rows(unit, unit > 0, ["a"] * 30, 0, 20)
    drawn = [
        inside_charts.tokens_chart(["start", "<b>", "⏎\n"], [0.5, 0.2, 0.3], [0, 2], "t"),
        inside_charts.matrix_chart(np.eye(3), ["a'", "b", "\\"], "t", 3),
        inside_charts.heads_chart(np.array([[0.1, np.nan], [0.3, 0.0]]), "t", "KL (bits)"),
        inside_charts.lens_chart(table),
        inside_charts.rank_chart(inside_data.lens_rows(lens(), names, 1, LABEL)),
        inside_charts.units_chart(np.linspace(-1, 1, 12).reshape(3, 4), list("ab'c"), "t"),
        inside_charts.memory_chart(rows),
        inside_charts.tracker_chart(tracked, "x > 0"),
    ]
    begins = b"<svg" if kind == "svg" else b"\x89PNG"
    for chart in drawn:
        assert charts.render(chart, kind).startswith(begins)
