"""Kept results: read back as they were written, refused with a next step where they are damaged."""

import csv
import io
import json

import pytest

from playground.errors import DataError
from playground.experiments import results
from playground.experiments.results import Result, load_result

ROWS = (
    {"what": "loss", "bits": 2.5, "curve": [{"step": 1, "bits": 3.0}]},
    {"what": "step", "ms": 0.25},
    {"what": "loss", "bits": 2.0, "curve": []},
)


def made(rows=ROWS) -> Result:
    return Result("lengths", "python -m train.experiment lengths", "a text, told", "here", 60, 3,
                  False, rows)  # fmt: skip


def test_json_is_what_is_read_again(tmp_path):
    (tmp_path / "lengths.json").write_text(made().to_json(), encoding="utf-8")
    assert load_result("lengths", tmp_path) == made()


def test_rows_are_chosen_by_their_values():
    assert [row["bits"] for row in made().where(what="loss")] == [2.5, 2.0]
    assert made().where(what="loss", bits=2.0) == [ROWS[2]]
    assert made().values("what") == ["loss", "step"]
    assert made().values("ms") == [0.25]


def test_the_table_has_a_column_for_every_name_and_lists_as_json():
    rows = list(csv.DictReader(io.StringIO(made().to_csv())))
    assert list(rows[0]) == ["what", "bits", "curve", "ms"]
    assert json.loads(rows[0]["curve"]) == ROWS[0]["curve"]
    assert (rows[1]["bits"], rows[1]["ms"]) == ("", "0.25")
    assert len(rows) == 3


def test_a_missing_result_says_how_to_make_it(tmp_path):
    with pytest.raises(DataError, match=r"not been made here.*python -m train\.experiment scaling"):
        load_result("scaling", tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": 3}', '{"rows": [], "what": 1}', "\xff"])
def test_a_damaged_result_says_how_to_make_it_again(text, tmp_path):
    (tmp_path / "helps.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"helps\.json cannot be read.*train\.experiment helps"):
        load_result("helps", tmp_path)


def test_a_result_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "helps.json").write_text(made().to_json())
    monkeypatch.setattr(results, "MAX_BYTES", 100)
    with pytest.raises(DataError, match="larger than"):
        load_result("helps", tmp_path)
