"""The database of votes: what kills lose of it, and how long a vote takes to be kept."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.decode import Options
from bench.measure import Row, compare, seconds_of
from playground.votes import store as votes
from playground.votes.kills import a_vote, kill_while_voting
from playground.votes.store import Store

KILLS, FEW_KILLS = 20, 2
VOTES = 20  # in one timing


def votes_task(options: Options) -> Iterator[Row]:
    """Kill a process that votes at random moments, then time one vote beside SQLite's defaults."""
    with tempfile.TemporaryDirectory() as place:
        kills = FEW_KILLS if options.is_quick else KILLS
        told = kill_while_voting(Path(place) / "killed.sqlite3", kills)
        of = f"of {told.acknowledged:,} acknowledged"
        row = f"votes lost in {told.kills} kills, {of}"
        yield Row("votes", row, "votes", told.lost, "none may be", 0, 1.0 if not told.lost else 0.0,
                  0.0, told.kills, "1/1", "cpu")  # fmt: skip
        yield _one_vote(Path(place), 2 if options.is_quick else 9)


def _one_vote(place: Path, rounds: int) -> Row:
    store, numbers = Store(place / "votes.sqlite3"), iter(range(10**9))
    before = votes.AN_HOUR, votes.ALL_AN_HOUR
    votes.AN_HOUR = votes.ALL_AN_HOUR = 10**9  # a quota would end the timing
    plain = sqlite3.connect(place / "plain.sqlite3", isolation_level=None)
    plain.execute("CREATE TABLE votes (pair TEXT PRIMARY KEY, rest TEXT)")

    def ours() -> float:
        def keep() -> None:
            for _ in range(VOTES):
                store.record(a_vote(next(numbers)))

        return seconds_of(keep, "cpu") / VOTES * 1000

    def theirs() -> float:
        def keep() -> None:
            for _ in range(VOTES):
                vote = a_vote(next(numbers))
                values = (vote.pair, str(vote.row()))
                plain.execute("INSERT INTO votes VALUES (?, ?)", values)

        return seconds_of(keep, "cpu") / VOTES * 1000

    try:
        found = compare(ours, theirs, (1,), rounds, less_is_better=True)
    finally:
        votes.AN_HOUR, votes.ALL_AN_HOUR = before
        plain.close()
    peer = "one open connection, SQLite's defaults"
    return Row("votes", "one vote until it is acknowledged", "ms", peer=peer, device="cpu", **found)
