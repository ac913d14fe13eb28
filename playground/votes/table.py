"""Votes as CSV and as lines of JSON, out and in."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import fields

from playground.errors import DataError
from playground.votes.store import MAX_VOTES
from playground.votes.vote import ALL_CRITERIA, Vote

COLUMNS = [f.name for f in fields(Vote) if f.name != "verdicts"] + list(ALL_CRITERIA)
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run such a cell as a formula
MAX_BYTES = 64 * 2**20  # of a file that is read
MAX_CELL = 2**15  # characters
MAX_LINE = 2**17  # characters of a line of JSON


def to_csv(votes: Iterable[Vote]) -> str:
    """Return one line a vote; a cell that could be a formula, or is quoted, begins with '."""
    out = io.StringIO()
    writer = csv.writer(out)  # lines end as RFC 4180 says, or "\r" would not be quoted
    writer.writerow(COLUMNS)
    for vote in votes:
        row = vote.row()
        writer.writerow([_guarded(row[name]) for name in COLUMNS])
    return out.getvalue()


def from_csv(data: bytes) -> tuple[list[Vote], int]:
    """Return the votes of a file that `to_csv` wrote, and how many lines were said again.

    Raises:
        DataError: it is too large, is no such table, or a line is not what it must be.
    """
    if len(data) > MAX_BYTES:
        raise DataError(
            f"The file has {len(data) >> 20} MB; at most {MAX_BYTES >> 20} MB are read. Export "
            "fewer votes."
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            "The file is no text in UTF-8. Choose a CSV file of votes from here."
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""))
    found: dict[tuple[str, str], Vote] = {}
    again = 0
    before = csv.field_size_limit(MAX_CELL)
    try:
        header = next(reader, [])
        if missing := [name for name in COLUMNS if name not in header]:
            raise DataError(
                f"The file has no column {', '.join(missing[:6])}. Choose a CSV file of votes "
                "that was downloaded here."
            )
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise DataError(
                    f"Line {reader.line_num} has {len(cells)} cells, and the first line names "
                    f"{len(header)}. Choose a whole file."
                )
            row = {n: _plain(c) for n, c in zip(header, cells, strict=True) if n in COLUMNS}
            try:
                vote = Vote.of_row(row)
            except DataError as error:
                raise DataError(f"Line {reader.line_num} is no vote: {error}") from error
            again += (vote.pair, vote.judge) in found
            found.setdefault((vote.pair, vote.judge), vote)
            if len(found) > MAX_VOTES:
                raise DataError(f"The file has more than {MAX_VOTES:,} votes. Take a part of it.")
    except csv.Error as error:
        raise DataError(
            f"Line {reader.line_num} is no CSV ({error}). Choose a CSV file of votes."
        ) from error
    finally:
        csv.field_size_limit(before)
    return list(found.values()), again


def to_line(vote: Vote) -> str:
    """Return a vote as one line of JSON, its end included."""
    return json.dumps(vote.row(), ensure_ascii=False) + "\n"


def marks_of_lines(lines: Iterable[str]) -> set[tuple[str, str]]:
    """Return the pair and the judge of every whole line; one that was cut off is left out."""
    found = set()
    for line in lines:
        try:
            row = json.loads(line[:MAX_LINE])
            found.add((row["pair"], row["judge"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return found


def merged(groups: Sequence[Sequence[Vote]]) -> list[Vote]:
    """Return the votes of several tables, each once."""
    return list({(v.pair, v.judge): v for votes in reversed(groups) for v in votes}.values())


def _guarded(cell: object) -> object:
    # What begins with ' of itself gets another, so that `_plain` knows which to take away.
    is_text = isinstance(cell, str)
    return f"'{cell}" if is_text and cell.startswith((*FORMULA, "'")) else cell


def _plain(cell: str) -> str:
    return cell[1:] if cell.startswith("'") else cell
