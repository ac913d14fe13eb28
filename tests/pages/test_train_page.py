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
    page.button(key="train_start").click().run()
    assert "Upload a text to learn from" in shown(page)
    page.file_uploader(key="train_text").upload("mine.txt", TEXT, "text/plain").run()
    page.button(key="train_start").click().run()
    assert not page.exception
    [training] = trainings.trainings(house / "runs")
    assert training.name == "my-lstm-text"
    assert page.selectbox(key="run").value == training.name
    assert training.flag("--n-hidden") == "384"
    assert training.flag("--minutes") == "0.5"
    page.text_input(key="train_name").set_value("another").run()
    page.button(key="train_start").click().run()
    assert "The run my-lstm-text is training now" in shown(page)
    page.button(key="train_stop").click().run()
    settled(page, training.folder)


def test_a_finished_run_is_drawn_and_found_by_every_picker(house):
    trainings.start(house / "runs", "mine", [*TINY, "--steps", "40"], TEXT)
    page = settled(opened(), house / "runs" / "mine")
    assert "bits per character" in shown(page)
    assert len(page.get("vega_lite_chart")) == 6
    assert any("--steps 40" in code.value for code in page.code)
    assert "after 40 steps" in shown(page)
    assert list(registry.available("text")) == ["mine"]
    slider = page.select_slider(key="train_at_mine_4")
    assert slider.value == 40
    slider.set_value(0).run()
    assert not page.exception
    page.text_input(key="train_prompt").set_value("§").run()
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
