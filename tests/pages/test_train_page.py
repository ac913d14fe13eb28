"""The Train page: what it offers, starts, shows and refuses."""

import re
import time

import pytest
from streamlit.testing.v1 import AppTest

from playground import registry
from playground.running import trainings
from tests.helpers import ROOT

PAGE = str(ROOT / "pages" / "7_Train.py")
TEXT = (ROOT / "tests" / "data" / "king_james_tail.txt").read_bytes()
TINY = (
    "--n-layer 1 --n-head 2 --n-embd 16 --context-length 16 --batch-size 4 --threads 1 "
    "--precision float32 --warmup 5 --eval-every 20 --snapshots 4"
).split()


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A registry without models; what is still training at the end is stopped."""
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    monkeypatch.setattr(registry, "MODELS", ())
    yield tmp_path
    for training in trainings.trainings(tmp_path / "runs"):
        trainings.stop(training)


def opened(**query: str) -> AppTest:
    page = AppTest.from_file(PAGE, default_timeout=60)
    for key, value in query.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    return page


def shown(page: AppTest) -> str:
    parts = [*page.error, *page.info, *page.success, *page.warning, *page.markdown, *page.caption]
    return re.sub(r"\\(\W|_)", r"\1", " ".join(part.value for part in parts))


def settled(page: AppTest, folder) -> AppTest:
    deadline = time.monotonic() + 120
    while trainings.read(folder).state == "running":
        assert time.monotonic() < deadline, trainings.said(folder)
        time.sleep(0.2)
    page.run()
    assert not page.exception
    return page


def test_the_page_explains_itself_and_starts_what_was_chosen(house):
    page = opened(family="lstm", size="medium", corpus="a text of my own", minutes="0.5")
    assert "Choose a family" in shown(page)
    assert "about 851,684 parameters" in shown(page)
    assert "Upload a text to learn from" in shown(page)
    assert page.button(key="train_start").disabled
    page.file_uploader(key="train_text").upload("mine.txt", TEXT, "text/plain").run()
    page.number_input(key="set--clip").set_value(0.5).run()
    told = "python -m train.text --family lstm --n-layer 1 --n-embd 128 --n-hidden 384"
    [command] = [code.value for code in page.code]
    assert command.startswith(told)
    assert "--clip 0.5" in command
    assert command.endswith("--data mine.txt --out runs/my-lstm-text")
    page.button(key="train_start").click().run()
    assert not page.exception
    [training] = trainings.trainings(house / "runs")
    assert training.name == "my-lstm-text"
    assert page.selectbox(key="run").value == training.name
    assert [training.flag(f"--{name}") for name in ("n-hidden", "minutes", "clip")] == [
        "384", "0.5", "0.5",
    ]  # fmt: skip
    assert "The run my-lstm-text is training now" in shown(page)
    assert page.button(key="train_start").disabled
    page.button(key="train_stop").click().run()
    settled(page, training.folder)
    assert not page.button(key="train_start").disabled
    page.text_input(key="train_name_1").set_value("my-lstm-text").run()
    if not trainings.is_free(training.folder):
        assert "a run my-lstm-text already" in shown(page)


def test_another_visitor_is_asked_twice_before_a_training_is_stopped(house):
    training = trainings.start(house / "runs", "mine", [*TINY, "--steps", "1000000"], TEXT)
    page = opened()
    page.button(key="train_stop").click().run()
    assert "Somebody else started this" in shown(page)
    assert not trainings.is_stopping(training)
    page.button(key="train_stop").click().run()
    assert trainings.is_stopping(training)
    assert settled(page, training.folder)


def test_byte_pairs_and_what_a_family_lacks(house):
    page = opened(family="ngram", tokens="byte pairs", corpus="a text of my own")
    assert "The pieces are learned first" in shown(page)
    assert "--vocab-size 1024" in page.code[0].value
    assert not [w for w in page.number_input if w.key in ("minutes", "set--seed")]
    page.selectbox(key="family").set_value("transformer").run()
    assert "about 262,720 parameters" in shown(page)
    assert not [w for w in page.number_input if w.key == "set--least-true"]
    page.selectbox(key="set--scheduled-sampling").set_value("linear").run()
    assert page.number_input(key="set--least-true").value == 0.5
    page.number_input(key="set--context-length").set_value(1024).run()
    page.number_input(key="set--batch-size").set_value(256).run()
    assert "Lower the batch size" in shown(page)


def test_a_finished_run_is_drawn_and_found_by_every_picker(house):
    trainings.start(house / "runs", "mine", [*TINY, "--steps", "40"], TEXT)
    page = settled(opened(), house / "runs" / "mine")
    assert "on all of the held-out text" in shown(page)
    assert len(page.get("vega_lite_chart")) == 6
    assert any("--steps 40" in code.value for code in page.code)
    assert "after 40 steps" in shown(page)
    assert list(registry.available("text")) == ["mine"]
    slider = page.select_slider(key="train_at_mine_4")
    assert slider.value == 40
    slider.set_value(0).run()
    assert not page.exception
    damaged = sorted((house / "runs" / "mine" / "snapshots").iterdir())[-1] / "model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    page.text_input(key="train_prompt_mine").set_value("the").run()
    assert not page.error  # the others can still be asked
    page.select_slider(key="train_at_mine_4").set_value(40).run()
    assert "move the slider to another step" in shown(page)
    page.text_input(key="train_prompt_mine").set_value("§").run()
    assert not page.exception
    assert "§" in shown(page)


def test_the_message_of_the_process_is_shown(house):
    trainings.start(house / "runs", "mine", [*TINY, "--steps", "40"], b"a" * 5000)
    page = settled(opened(), house / "runs" / "mine")
    assert "holds 1 different characters" in shown(page)


def test_a_host_can_switch_it_off(house, monkeypatch):
    monkeypatch.setenv("PLAYGROUND_TRAINING", "off")
    page = opened()
    assert "PLAYGROUND_TRAINING=off" in shown(page)
    assert not page.button


def test_a_link_with_nonsense_is_told(house):
    page = opened(family="gan", schedule="stairs", minutes="-4")
    for name in ("gan", "stairs", "-4"):
        assert name in shown(page)
