"""The database of votes keeps what it acknowledged, counts a vote once, and tells problems."""

import os
import sqlite3
import threading
from contextlib import contextmanager

import pytest

from playground.errors import ConfigError, DataError
from playground.votes import store as module
from playground.votes.kills import kill_while_voting
from playground.votes.store import QuotaError, Store, place
from tests.votes.makers import a_vote


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "deep" / "votes.sqlite3")


def test_a_vote_comes_back_as_it_was_given(store):
    vote = a_vote(3, prompt="Zwölf 🐎\n=1+1", verdicts={
        "fluency": "tie", "coherence": "both bad", "relevance": "second"})  # fmt: skip
    assert store.record(vote)
    assert Store(store.path).votes() == [vote]
    assert store.votes("image") == []


def test_a_vote_that_is_sent_twice_counts_once_and_the_first_one_holds(store):
    assert store.record(a_vote(1))
    changed = a_vote(1, verdicts=dict.fromkeys(("fluency", "coherence", "relevance"), "second"))
    assert not store.record(changed)
    assert store.record(a_vote(1, judge="cd" * 8))
    assert [v.verdicts["fluency"] for v in store.votes()] == ["first", "first"]


def test_many_tabs_that_send_the_same_votes_at_once_are_counted_once(store):
    counted = []

    def vote():
        own = Store(store.path)  # as another process has one
        counted.extend(n for n in range(10) if own.record(a_vote(n)))

    threads = [threading.Thread(target=vote) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counted) == list(range(10))
    assert store.count() == 10


def test_no_acknowledged_vote_is_lost_when_the_process_is_killed(tmp_path):
    told = kill_while_voting(tmp_path / "votes.sqlite3", kills=3, seed=1)
    assert told.acknowledged > 3
    assert told.lost == 0
    assert told.kept - told.acknowledged in range(4)  # written, and killed before it was said


def test_the_journal_is_written_ahead_and_every_commit_waits_for_the_disk(store):
    store.record(a_vote())
    with store._open() as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_where_no_journal_can_be_written_ahead_votes_are_kept_all_the_same(store, monkeypatch):
    store.record(a_vote(1))
    with sqlite3.connect(store.path) as database:
        database.execute("PRAGMA journal_mode=DELETE")
    database.close()
    assert store.record(a_vote(2))
    assert store.count() == 2


def test_a_judge_gives_so_many_votes_an_hour_and_no_more(store, monkeypatch):
    monkeypatch.setattr(module, "AN_HOUR", 2)
    store.record(a_vote(1, at=0.0))  # long ago
    store.record(a_vote(2))
    store.record(a_vote(3))
    with pytest.raises(QuotaError, match="2 votes in the last hour"):
        store.record(a_vote(4))
    assert not store.record(a_vote(3)), "what is known is told as known"
    assert store.record(a_vote(4, judge="cd" * 8))


def test_made_up_judges_are_held_to_a_number_together_and_the_database_is_bounded(
    store, monkeypatch
):
    monkeypatch.setattr(module, "ALL_AN_HOUR", 2)
    for i in range(2):
        store.record(a_vote(i, judge=f"{i:016x}"))
    with pytest.raises(QuotaError, match="of all visitors"):
        store.record(a_vote(9, judge=f"{9:016x}"))
    monkeypatch.setattr(module, "ALL_AN_HOUR", 100)
    monkeypatch.setattr(module, "MAX_VOTES", 2)
    with pytest.raises(QuotaError, match="no more fit"):
        store.record(a_vote(9))


def test_long_texts_are_cut_and_wrong_fields_refused():
    vote = a_vote(first_text="x" * 10**6, prompt="\0\ud800" + "y" * 10**4)
    assert len(vote.first_text) == 2000
    assert vote.prompt == "�?" + "y" * 498
    for wrong in (
        {"pair": "../../etc"}, {"judge": 3}, {"number": -1}, {"at": float("nan")},
        {"modality": "smell", "verdicts": {}}, {"first_name": " "}, {"told": None},
        {"verdicts": {"fluency": "first"}},
        {"verdicts": dict.fromkeys(("fluency", "coherence", "relevance"), "A")},
    ):  # fmt: skip
        with pytest.raises(DataError):
            a_vote(**wrong)


def test_the_next_pair_follows_all_that_a_judge_has_judged_there(store):
    arena, judge = a_vote().arena, a_vote().judge
    assert store.next_number(arena, judge) == 0
    store.record(a_vote(0))
    store.record(a_vote(4))
    store.record(a_vote(9, judge="cd" * 8))
    assert store.next_number(arena, judge) == 5
    assert store.next_number("0" * 32, judge) == 0


@pytest.mark.parametrize("size", [40, 4096, 5000])
def test_a_damaged_database_is_told(store, size):
    for number in range(30):
        store.record(a_vote(number))
    whole = store.path.read_bytes()
    store.path.write_bytes(whole[: size - 40] + os.urandom(40) + whole[size : size * 2])
    again = Store(store.path)
    with pytest.raises(DataError, match="damaged"):
        again.check()
    before = store.path.read_bytes()
    try:
        again.record(a_vote(99))
    except DataError as error:
        assert "Move it away" in str(error)  # noqa: PT017 (a page that is whole may take it)
        assert store.path.read_bytes() == before


def test_another_file_a_later_schema_and_another_program_are_told(tmp_path):
    text = tmp_path / "text.sqlite3"
    text.write_text("these are no votes, but a letter to my aunt" * 50)
    with pytest.raises(DataError, match="damaged"):
        Store(text).count()
    later = Store(tmp_path / "later.sqlite3")
    later.record(a_vote())
    with sqlite3.connect(later.path) as database:
        database.execute("PRAGMA user_version=9")
    database.close()
    with pytest.raises(DataError, match="schema 9"):
        Store(later.path).count()
    other = tmp_path / "other.sqlite3"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE recipes (name)")
    database.close()
    with pytest.raises(DataError, match="another program"):
        Store(other).record(a_vote())


def test_a_database_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be kept"):
        Store(tmp_path / "file" / "votes.sqlite3").record(a_vote())
    with pytest.raises(ConfigError, match="names the folder"):
        place({"PLAYGROUND_VOTES": str(tmp_path)}, tmp_path)
    assert place({}, tmp_path) == tmp_path / "runs" / "votes" / "votes.sqlite3"
    assert place({"PLAYGROUND_VOTES": "a/b.db"}, tmp_path).name == "b.db"


def test_a_full_disk_keeps_what_was_acknowledged(store, monkeypatch):
    """The database may not grow: what does not fit is told, what did is there."""
    store.record(a_vote(0))
    text = "".join(map(chr, range(65, 65 + 60))) * 33
    with store._open() as database:
        pages = database.execute("PRAGMA page_count").fetchone()[0]
    opened = store._open

    @contextmanager
    def small():
        with opened() as database:
            database.execute(f"PRAGMA max_page_count={pages + 3}")
            yield database

    monkeypatch.setattr(store, "_open", small)
    numbers = iter(range(1, 100))

    def go_on():
        for number in numbers:
            store.record(a_vote(number, first_text=text))

    with pytest.raises(DataError, match="disk is full"):
        go_on()
    assert [v.number for v in Store(store.path).votes()] == list(range(next(numbers) - 1))


def test_a_database_that_was_taken_away_is_begun_anew(store):
    store.record(a_vote(1))
    store.path.unlink()
    assert store.record(a_vote(2))
    assert store.count() == 1
