"""Votes leave as CSV that no spreadsheet runs, and come back as they were or are refused."""

import csv
import io

import pytest

from playground.errors import DataError
from playground.votes import table
from playground.votes.table import from_csv, merged, to_csv
from tests.votes.makers import a_vote


def test_votes_come_back_as_they_were():
    votes = [
        a_vote(1, prompt='=HYPERLINK("x")', first_text="'quoted'", second_text='-1\r\n"a",b'),
        a_vote(2, modality="image", told="cat", at=5.25),
        a_vote(3, prompt="+1 ü 🐎\n\t", judge="cd" * 8),
    ]
    assert from_csv(to_csv(votes).encode()) == (votes, 0)
    assert from_csv(to_csv([]).encode()) == ([], 0)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_a_formula(start):
    vote = a_vote(prompt=start + "1", first_name=start + "x", second_text=start, told=start)
    for row in list(csv.reader(io.StringIO(to_csv([vote]), newline="")))[1:]:
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)


def test_a_line_that_is_said_twice_counts_once():
    votes = [a_vote(1), a_vote(1), a_vote(2)]
    assert from_csv(to_csv(votes).encode()) == ([votes[0], votes[2]], 1)
    assert len(merged([votes, [a_vote(2, prompt="other"), a_vote(3)]])) == 3


def test_what_is_no_table_of_votes_is_told(monkeypatch):
    good = to_csv([a_vote(1)])
    for data, told in (
        (b"", "no column"), (b"a,b\n1,2\n", "no column"), (b"\xff\xfe\x00", "UTF-8"),
        (good.replace(",text,", ",smell,").encode(), "Line 2 is no vote"),
        ((good + "1,2\r\n").encode(), "Line 3 has 2 cells"),
        (good.replace("the the the", "x" * 40_000).encode(), "no CSV"),
        (good.replace(a_vote(1).judge, "somebody").encode(), "judge must be"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=told):
            from_csv(data)
    monkeypatch.setattr(table, "MAX_VOTES", 1)
    with pytest.raises(DataError, match="more than 1 votes"):
        from_csv(to_csv([a_vote(1), a_vote(2)]).encode())
    monkeypatch.setattr(table, "MAX_BYTES", 10)
    with pytest.raises(DataError, match="at most"):
        from_csv(good.encode())
