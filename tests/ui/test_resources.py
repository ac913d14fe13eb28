"""Models that all sessions share: read once, let go by their bytes."""

import gc
import threading
import weakref

import pytest

from playground.errors import CheckpointError, ConfigError
from playground.registry import available
from playground.ui import resources
from playground.ui.resources import load_model
from playground.ui.shelf import Shelf


class Thing:
    """A value that can be seen to be gone."""


def shelf(budget: int = 100, free: int = 10**6, most: int = 10) -> Shelf:
    return Shelf(lambda: budget, lambda: free, most)


def put(held: Shelf, key: str, size: int) -> Thing:
    return held.get(key, lambda: size, lambda: (Thing(), size))


def test_the_least_recently_used_is_let_go_by_its_bytes():
    held = shelf(100)
    for key, size in (("a", 40), ("b", 40), ("c", 10)):
        put(held, key, size)
    a = put(held, "a", 40)  # used again
    put(held, "d", 50)
    assert held.keys() == ["c", "a", "d"]
    assert put(held, "a", 40) is a
    put(held, "huge", 500)  # stands alone
    assert held.keys() == ["huge"]


def test_memory_that_others_take_counts_too():
    held = Shelf(lambda: 100, lambda: 30, 10)
    put(held, "a", 20)
    put(held, "b", 20)
    assert held.keys() == ["a", "b"]
    put(held, "c", 40)  # fits the budget, not what is free
    assert held.keys() == ["c"]


def test_nobody_loses_a_model_to_one_that_cannot_fit():
    held = Shelf(lambda: 100, lambda: 30, 10)
    for key in "ab":
        put(held, key, 20)

    def fail():
        raise CheckpointError("too large")

    with pytest.raises(CheckpointError):
        held.get("huge", lambda: 71, fail)
    assert held.keys() == ["a", "b"]


def test_what_is_being_made_counts_as_here():
    held = shelf(100)
    put(held, "a", 40)
    begun, go_on = threading.Event(), threading.Event()

    def slowly():
        begun.set()
        assert go_on.wait(10)
        return Thing(), 60

    other = threading.Thread(target=held.get, args=("slow", lambda: 60, slowly))
    other.start()
    assert begun.wait(10)
    put(held, "c", 30)  # 60 more are on their way
    assert held.keys() == ["c"]
    go_on.set()
    other.join()
    assert held.keys() == ["c", "slow"]


def test_many_small_ones_are_counted():
    held = shelf(most=3)
    for key in "abcd":
        put(held, key, 1)
    assert held.keys() == ["b", "c", "d"]


def test_what_a_session_holds_outlives_the_shelf_and_is_then_gone():
    held = shelf(100)
    a = put(held, "a", 60)
    a.itself = a  # as layers with hooks do
    gc.collect()
    gc.freeze()
    seen = weakref.ref(a)
    put(held, "b", 60)
    assert held.keys() == ["b"]
    assert seen() is a
    del a
    put(held, "c", 60)
    assert seen() is None


def test_fifty_visitors_load_it_once():
    held, made, got = shelf(), [], []
    start = threading.Barrier(50)

    def make():
        made.append(1)
        return Thing(), 5

    def visit():
        start.wait()
        got.append(held.get("a", lambda: 5, make))

    threads = [threading.Thread(target=visit) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len(set(map(id, got))) == 1


def test_what_cannot_be_made_is_not_kept():
    held = shelf()

    def fail():
        raise CheckpointError("damaged")

    for _ in range(2):
        with pytest.raises(CheckpointError):
            held.get("a", lambda: 5, fail)
    assert held.keys() == []
    assert put(held, "a", 5)


def test_a_model_is_read_once_and_again_after_a_training(tmp_path):
    import os
    import shutil
    from dataclasses import replace

    card = next(iter(available("image").values()))
    folder = tmp_path / card.name
    shutil.copytree(card.folder, folder)
    card = replace(card, folder=folder, name="a-test-model")
    first = load_model(card)
    assert load_model(card) is first
    os.utime(folder / "model.safetensors", (2e9, 2e9))
    second = load_model(card)
    assert second is not first
    kept = [key for key in resources.MODELS.keys() if key[0] == card.name]
    assert len(kept) == 1
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError):
        load_model(card)
    assert first.model is not None


def test_the_budget_is_half_of_the_memory_unless_it_is_set(monkeypatch):
    from playground.hub import memory

    monkeypatch.delenv(resources.BUDGET, raising=False)
    assert resources.budget() == pytest.approx(memory.total() / 2, rel=1e-6)
    monkeypatch.setenv(resources.BUDGET, "1.5")
    assert resources.budget() == 3 * 2**29
    for text in ("-1", "nan", "much"):
        monkeypatch.setenv(resources.BUDGET, text)
        with pytest.raises(ConfigError, match="must be a number of GB above 0"):
            resources.budget()


def test_models_of_the_hub_are_shared_and_let_go_like_ours(tmp_path, monkeypatch):
    from huggingface_hub import constants

    from playground.hub import memory
    from playground.registry import hub_card
    from tests.tiny_models import tiny_folder

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    for name in ("one", "two"):
        commit = ("1" if name == "one" else "2") * 40
        tiny_folder("llama", tmp_path / f"models--me--{name}" / "snapshots" / commit)
    first, second = (hub_card(f"me/{n}@{c * 40}") for n, c in (("one", "1"), ("two", "2")))
    loaded = load_model(first)
    assert load_model(first) is loaded
    assert loaded.parameters == 43_744
    assert loaded.tokenizer.encode("the cat")
    monkeypatch.setenv(resources.BUDGET, "0.0003")  # room for one
    load_model(second)
    assert [key[0] for key in resources.MODELS.keys() if key[0].startswith("hub:me/")] == [
        second.name
    ]
    monkeypatch.setattr(memory, "available", lambda device="cpu": 1000)
    with pytest.raises(CheckpointError, match=r"The model me/one takes 0.18 MB of memory"):
        load_model(first)
    assert loaded.model.forward  # a session that holds it goes on
