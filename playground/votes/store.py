"""The votes in a SQLite database, which loses none that it has said it keeps.

`record` returns once the vote is on the disk: the journal is written ahead (WAL) and every commit
waits for the disk (synchronous=FULL). A process that is killed in the middle leaves a whole
database behind, at most without the vote that it had not yet acknowledged. The first vote of a
judge on a pair counts; another of the same judge on the same pair changes nothing, so a double
click, a page sent again and two tabs do no harm.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from playground.errors import ConfigError, DataError, PlaygroundError
from playground.votes.vote import ALL_CRITERIA, VERDICTS, Vote

PLACE = "PLAYGROUND_VOTES"  # environment variable: the file of the database
USUAL = "runs/votes/votes.sqlite3"  # below the root of the project, where it is not set
SCHEMA = 1  # PRAGMA user_version of the databases that are read and written
OURS = 0x41525650  # PRAGMA application_id: "ARVP"
WAIT_S = 10.0  # for another process that writes
MAX_VOTES = 50_000  # in one database: at most 250 MB
MAX_BYTES = 2**30  # of a database that is opened
HOUR, AN_HOUR = 3600.0, 240  # seconds, and the votes of one judge in them
ALL_AN_HOUR = 2400  # votes of all judges: a visitor can make up any number of them

_CHOICES = ", ".join(f"'{verdict}'" for verdict in VERDICTS)
_TABLE = f"""
CREATE TABLE votes (
    pair TEXT NOT NULL, judge TEXT NOT NULL, arena TEXT NOT NULL, number INTEGER NOT NULL,
    modality TEXT NOT NULL, first_name TEXT NOT NULL, second_name TEXT NOT NULL,
    first_spec TEXT NOT NULL, second_spec TEXT NOT NULL, first_text TEXT NOT NULL,
    second_text TEXT NOT NULL, prompt TEXT NOT NULL, told TEXT NOT NULL, at REAL NOT NULL,
    {", ".join(f"{name} TEXT CHECK ({name} IN ('', {_CHOICES}))" for name in ALL_CRITERIA)},
    UNIQUE (pair, judge)
)"""
_INDEX = "CREATE INDEX votes_of_a_judge ON votes (judge, at)", "CREATE INDEX by_time ON votes (at)"


class QuotaError(PlaygroundError):
    """More votes came than one visitor, or all of them, may give in a while."""


def place(environ: Mapping[str, str], root: Path) -> Path:
    """Return the file of the database that the environment names, else the usual one.

    Raises:
        ConfigError: it is named, and is a folder.
    """
    named = environ.get(PLACE, "").strip()
    path = Path(named).expanduser() if named else root / USUAL
    if path.is_dir():
        raise ConfigError(f"{PLACE} names the folder {path.name!r}; name a file in it.")
    return path


class Store:
    """The votes in one file; every call opens it anew, so threads and processes may share it.

    Raises (all calls):
        DataError: the file is damaged, of a later version, of another program, cannot be written,
            or the disk is full. What was acknowledged before is left as it is.
    """

    def __init__(self, path: Path):
        self.path = path
        self._made, self._lock = False, threading.Lock()

    def record(self, vote: Vote) -> bool:
        """Keep a vote and return once it is on the disk; False: it had been counted before.

        Raises:
            QuotaError: this judge, or all together, have given too many in the last hour, or the
                database is full.
        """
        row = vote.row()
        names = ", ".join(row)
        marks = ", ".join(f":{name}" for name in row)
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")  # so that two processes do not pass one quota
            known = "SELECT 1 FROM votes WHERE pair = ? AND judge = ?"
            if database.execute(known, (vote.pair, vote.judge)).fetchone():
                database.rollback()
                return False
            self._check_quota(database, vote.judge)
            database.execute(f"INSERT INTO votes ({names}) VALUES ({marks})", row)
            database.commit()  # raises unless it is on the disk
        return True

    def votes(self, modality: str | None = None) -> list[Vote]:
        """Return all votes in the order in which they came, or those on one modality."""
        where, values = ("WHERE modality = ?", (modality,)) if modality else ("", ())
        with self._open() as database:
            cursor = database.execute(f"SELECT * FROM votes {where} ORDER BY rowid", values)
            names = [column[0] for column in cursor.description]
            return [Vote.of_row(dict(zip(names, row, strict=True))) for row in cursor]

    def count(self) -> int:
        """Return how many votes there are."""
        with self._open() as database:
            return database.execute("SELECT count(*) FROM votes").fetchone()[0]

    def next_number(self, arena: str, judge: str) -> int:
        """Return the number of the first pair of an arena behind all that a judge has judged."""
        with self._open() as database:
            asked = "SELECT max(number) FROM votes WHERE arena = ? AND judge = ?"
            found = database.execute(asked, (arena, judge)).fetchone()[0]
        return 0 if found is None else int(found) + 1

    def check(self) -> None:
        """Read the whole database once.

        Raises:
            DataError: a page of it is damaged.
        """
        with self._open() as database:
            told = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if told != "ok":
            raise self._damaged(told)

    # -- inside ----------------------------------------------------------------------------------

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        database = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            is_there = self.path.exists()
            if is_there and self.path.stat().st_size > MAX_BYTES:
                raise DataError(
                    f"The votes in {self.path.name} take more than {MAX_BYTES >> 20} MB. Move the "
                    "file away, and a new one is begun."
                )
            database = sqlite3.connect(self.path, timeout=WAIT_S, isolation_level=None)
            database.execute("PRAGMA synchronous=FULL")
            with self._lock:
                if not (self._made and is_there):
                    self._prepare(database)
                    self._made = True
            yield database
        except sqlite3.DatabaseError as error:
            raise self._told(error) from error
        except OSError as error:
            raise DataError(
                f"The votes cannot be kept in {self.path.name}: {error.strerror or error}. Let "
                f"{PLACE} name a file that can be written."
            ) from error
        finally:
            if database is not None:
                database.close()

    def _prepare(self, database: sqlite3.Connection) -> None:
        """Make the table, or see that it is ours."""
        # Where a file system cannot share memory, as over a network, SQLite stays with its older
        # journal, which loses nothing either.
        version = database.execute("PRAGMA user_version").fetchone()[0]
        owner = database.execute("PRAGMA application_id").fetchone()[0]
        has_tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if has_tables and owner != OURS:
            raise DataError(
                f"{self.path.name} is the database of another program. Let {PLACE} name another "
                "file."
            )
        if version > SCHEMA:
            raise DataError(
                f"{self.path.name} has the schema {version}, and this version of the playground "
                f"knows up to {SCHEMA}. Update the playground, or let {PLACE} name another file."
            )
        database.execute("PRAGMA journal_mode=WAL")
        if has_tables:
            return
        database.execute("BEGIN IMMEDIATE")
        if not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in (_TABLE, *_INDEX):
                database.execute(statement)
            database.execute(f"PRAGMA application_id={OURS}")
            database.execute(f"PRAGMA user_version={SCHEMA}")
        database.commit()

    def _check_quota(self, database: sqlite3.Connection, judge: str) -> None:
        since = time.time() - HOUR
        asked = "SELECT count(*), count(CASE WHEN judge = ? THEN 1 END) FROM votes WHERE at > ?"
        everybody, own = database.execute(asked, (judge, since)).fetchone()
        if own >= AN_HOUR:
            raise QuotaError(
                f"You have given {own} votes in the last hour, and {AN_HOUR} are counted. This one "
                "was not kept; come back in a while."
            )
        if everybody >= ALL_AN_HOUR:
            raise QuotaError(
                f"{everybody} votes came in the last hour, and {ALL_AN_HOUR} are counted of all "
                "visitors. This one was not kept; come back in a while."
            )
        if database.execute("SELECT count(*) FROM votes").fetchone()[0] >= MAX_VOTES:
            raise QuotaError(
                f"{MAX_VOTES:,} votes are kept, and no more fit. Export them, and let {PLACE} name "
                "another file."
            )

    def _told(self, error: sqlite3.DatabaseError) -> DataError:
        """Return what a problem of the database means for whoever runs the playground."""
        if not isinstance(error, sqlite3.OperationalError):
            return self._damaged(str(error))
        text = str(error)
        if "locked" in text or "busy" in text:
            return DataError("Another process is writing votes just now. Vote again in a moment.")
        if "full" in text:
            return DataError("The disk is full: the vote was not kept. Make room, then vote again.")
        if "readonly" in text or "unable to open" in text:
            return DataError(
                f"The votes cannot be kept in {self.path.name} ({text}). Let {PLACE} name a file "
                "that can be written."
            )
        return self._damaged(text)

    def _damaged(self, text: str) -> DataError:
        return DataError(
            f"The votes in {self.path.name} cannot be read: the file is damaged ({text[:120]}). "
            "Move it away with the files beside it that begin with its name, and a new one is "
            "begun; the exported votes can be looked at as a CSV file."
        )
