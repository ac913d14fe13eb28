"""Whether votes outlive a process that is killed: one that votes, and one that kills it.

    python -m playground.votes.kills FILE FIRST

records votes numbered from FIRST and says the pair of each on a line once it was acknowledged.
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from playground.votes import store
from playground.votes.store import Store
from playground.votes.vote import CRITERIA, Vote, digest

LONGEST_S = 0.5  # from the first vote that was acknowledged to the kill
APART = 10**6  # numbers between two processes


@dataclass(frozen=True)
class Told:
    """What was seen of so many kills."""

    kills: int
    acknowledged: int
    kept: int  # in the database afterwards
    lost: int  # acknowledged and not in the database
    seconds: float  # that processes voted for


def a_vote(number: int) -> Vote:
    """Return the vote of that number."""
    return Vote(
        digest("pair", number), "ab" * 8, digest("arena"), number, "text", "one", "other",
        '{"strategy": "greedy"}', '{"strategy": "sample"}',
        dict.fromkeys(CRITERIA["text"], "first"), f"text {number} " * 20, "another text " * 20,
    )  # fmt: skip


def kill_while_voting(path: Path, kills: int, seed: int = 0) -> Told:
    """Let processes vote into `path` and kill each (SIGKILL) at a random moment; count the lost.

    After every kill the database must be whole.

    Raises:
        DataError: it is damaged.
    """
    moments = random.Random(seed)
    acknowledged: list[str] = []
    seconds, lost = 0.0, set()
    for number in range(kills):
        pause = moments.uniform(0, LONGEST_S)
        acknowledged += _until_killed(path, number * APART, pause)
        seconds += pause
        kept = Store(path)
        kept.check()
        lost |= set(acknowledged) - {vote.pair for vote in kept.votes()}
    return Told(kills, len(acknowledged), Store(path).count(), len(lost), seconds)


def _until_killed(path: Path, first: int, pause: float) -> list[str]:
    """Return what one process acknowledged before it was killed."""
    command = [sys.executable, "-m", "playground.votes.kills", str(path), str(first)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        said = [process.stdout.readline()]
        timer = threading.Timer(pause, process.kill)
        timer.start()
        said += process.stdout.readlines()
        timer.join()
    # a line without its end was being written when the process was killed
    return [line.strip() for line in said if line.endswith("\n")]


def main(path: str, first: int) -> None:
    store.AN_HOUR = store.ALL_AN_HOUR = store.MAX_VOTES = 10**9
    votes = Store(Path(path))
    for number in range(first, first + APART):
        if votes.record(vote := a_vote(number)):
            sys.stdout.write(f"{vote.pair}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
