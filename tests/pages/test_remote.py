"""A model on a server, on the pages: listed, stepped, and what happens when the server is gone."""

import pytest
from streamlit.testing.v1 import AppTest

from playground import registry
from playground.decoding.lane import Lane
from playground.models import remote_name
from playground.tokenizers.remote import REST
from tests.helpers import ROOT
from tests.pages.test_text_page import messages, stepper_of, text_page
from tests.remote_server import Llama, free_port

NAME = "remote:SmolLM2-135M-Instruct.Q4_1.gguf"
COMPARE = str(ROOT / "pages" / "4_Compare.py")


@pytest.fixture(scope="module")
def llama():
    server = Llama(free_port())
    server.start()
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def _configured(llama, monkeypatch):
    monkeypatch.setenv("PLAYGROUND_REMOTE_URL", llama.url)
    monkeypatch.setattr(remote_name, "_names", {})


def captions(page: AppTest) -> str:
    return " ".join(c.value for c in page.caption).replace("\\", "")


def test_the_text_page_steps_takes_and_goes_back():
    page = text_page(model=NAME, prompt="The capital of France is", strategy="greedy")
    assert "the 200 likeliest tokens" in captions(page)
    assert "Attention" in captions(page)
    page.button(key="step").click().run()
    stepper = stepper_of(page)
    assert stepper.tokenizer.decode(stepper.tokens[-1:]) == " Paris"
    assert stepper.branch.trace.steps[0].stages == ("model", "listed")
    shown = stepper.look(Lane())
    token = next(c.token for c in shown.candidates if c.token != stepper.model.rest_token)
    page.selectbox(key="other").set_value(f"{shown.position}:{token}").run()
    assert stepper.tokens[-1] == token
    assert any(REST in name for name in page.selectbox(key="other").options)
    page.button(key="back").click().run()
    assert not page.exception
    assert not page.error
    assert "compression_open" not in {e.proto.id for e in page.expander}


def test_links_with_what_a_server_cannot_do_say_why():
    page = text_page(model=NAME, regex="a+")
    assert "does not list" in messages(page)


def test_a_server_that_dies_leaves_a_page_that_works(llama):
    page = text_page(model=NAME, prompt="Once upon a time", strategy="greedy")
    page.button(key="step").click().run()
    llama.kill()
    for _ in range(2):
        page.button(key="step").click().run()
    assert not page.exception
    assert "The model server" in messages(page)
    before = stepper_of(page).tokens
    page.selectbox(key="model").select("kjv-char-ngram").run()
    page.button(key="step").click().run()
    assert not page.exception
    assert not page.error
    page.selectbox(key="model").select(NAME).run()
    assert not page.error  # all that was asked is still known
    for _ in range(3):
        page.button(key="step").click().run()
    assert "The model server" in messages(page)
    assert stepper_of(page).tokens == before
    llama.start()
    page.button(key="step").click().run()
    assert not page.exception
    assert not page.error
    assert len(stepper_of(page).tokens) == len(before) + 1


def test_a_server_that_was_never_there_is_told(monkeypatch):
    monkeypatch.setenv("PLAYGROUND_REMOTE_URL", f"http://127.0.0.1:{free_port()}")
    page = text_page(model="remote")
    assert "cannot be reached" in messages(page)
    monkeypatch.setenv("PLAYGROUND_REMOTE_URL", "ftp://example.com")
    page = text_page(model="remote")
    assert "PLAYGROUND_REMOTE_URL" in captions(page)
    monkeypatch.delenv("PLAYGROUND_REMOTE_URL")
    assert not any(name.startswith("remote") for name in registry.available("text"))


def test_lanes_of_the_compare_page_grow_on_the_server():
    page = AppTest.from_file(COMPARE, default_timeout=60)
    for key, value in {"model": NAME, "prompt": "The capital of France is", "length": "6"}.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    assert "Computed on a server" in captions(page)
    page.button(key="run").click().run()
    for _ in range(20):
        if page.session_state["_compare"].pace != "run":
            break
        page.run()
    assert not page.exception
    session = page.session_state["_compare"]
    assert not session.problem
    results = session.outcome.comparison.results()
    assert all(len(trace.steps) == 6 for result in results for trace in result.traces)
    assert session.outcome.comparison.tokenizer.decode(results[0].traces[0].tokens).startswith(
        "The capital of France is Paris"
    )
