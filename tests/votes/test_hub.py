"""Votes reach a data set of the Hub, what a killed process left too, and problems are told."""

import json

import pytest

from playground.errors import ConfigError
from playground.votes.hub import Publisher, publisher_of
from playground.votes.store import Store
from tests.hub.conftest import use
from tests.hub_server import serve
from tests.votes.makers import a_vote

REPO = "us/votes"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with serve() as server:
        use(monkeypatch, server, tmp_path / "cache")
        yield server


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "votes.sqlite3")


@pytest.fixture
def begin(store, hub):
    made = []

    def publisher(token: str = "hf_right") -> Publisher:
        found = Publisher(store, REPO, token, every_minutes=60, endpoint=hub.url)
        made.append(found)
        return found

    yield publisher
    for found in made:
        found.stop()


def sent(hub) -> list[int]:
    """Return the numbers of the votes in the data set, in the order of its files."""
    files = hub.repos["datasets", REPO].files
    lines = [line for name in sorted(files) for line in files[name].decode().splitlines()]
    return [json.loads(line)["number"] for line in lines]


def vote(store: Store, publisher: Publisher, number: int) -> None:
    store.record(a_vote(number))
    publisher.append(a_vote(number))


def test_votes_are_pushed_to_a_private_data_set_each_once(hub, store, begin):
    publisher = begin()
    vote(store, publisher, 1)
    vote(store, publisher, 2)
    assert publisher.state().at is None
    assert publisher.state().waiting == 2
    publisher.push()
    assert sent(hub) == [1, 2]
    assert hub.repos["datasets", REPO].private
    told = publisher.state()
    assert (told.waiting, told.problem) == (0, "")
    assert "0 votes wait" in told.says(told.at + 7200)
    assert "2 hours ago" in told.says(told.at + 7200)
    vote(store, publisher, 3)
    assert publisher.state().waiting == 1
    publisher.push()
    assert sent(hub) == [1, 2, 3]
    assert all(name.startswith("votes/votes-") for name in hub.repos["datasets", REPO].files)


def test_what_an_earlier_process_left_is_pushed_by_the_next(hub, store, begin):
    first = begin()
    vote(store, first, 1)
    store.record(a_vote(2))  # and it was killed before it wrote the line
    with open(first.file, "a") as file:
        file.write('{"pair": "cut o')
    begin().push()
    files = hub.repos["datasets", REPO].files
    assert len(files) == 2
    whole = [ln for data in files.values() for ln in data.decode().splitlines() if ln[-1] == "}"]
    assert sorted(json.loads(line)["number"] for line in whole) == [1, 2]


def test_a_hub_that_refuses_is_told_and_loses_nothing(hub, store, begin):
    publisher = begin(token="hf_wrong")
    vote(store, publisher, 1)
    publisher.push()
    told = publisher.state()
    assert told.at is None
    assert "401" in told.problem
    assert "hf_wrong" not in told.says(0)
    assert "never" in told.says(0)
    right = begin()
    hub.status["/commit/"] = (503, {})
    right.push()
    assert right.state().problem
    assert right.state().waiting == 1
    hub.status.clear()
    right.push()
    assert sent(hub) == [1]
    assert right.state().problem == ""


def test_pushing_is_off_unless_a_token_and_a_data_set_are_named(store):
    repo, token = "PLAYGROUND_VOTES_REPO", "HF_TOKEN"
    assert publisher_of(store, {}) is None
    assert publisher_of(store, {repo: REPO}) is None
    assert publisher_of(store, {token: "x"}) is None
    assert publisher_of(store, {repo: REPO, token: "x"}).repo == REPO
    with pytest.raises(ConfigError, match="owner/name"):
        publisher_of(store, {repo: "no name", token: "x"})
