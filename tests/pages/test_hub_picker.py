"""Models of the Hub on the Text page: found, looked at, fetched, chosen; the Hub is on loopback."""

import re
import time

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load, save
from streamlit.testing.v1 import AppTest

from playground.errors import ConfigError
from playground.hub.cache import cached
from playground.hub.plan import plan
from playground.ui import hub_download, hub_picker
from tests.helpers import ROOT
from tests.hub.conftest import use
from tests.hub_server import serve
from tests.tiny_models import tiny_folder

NAME = "somebody/tiny-llama"
SHIPPED = "kjv-char-ngram"


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> dict[str, bytes]:
    folder = tiny_folder("llama", tmp_path_factory.mktemp("made") / "llama")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def hub(tmp_path, monkeypatch, llama):
    """A Hub with a model that can be used, and nothing fetched from it yet."""
    with serve() as server:
        use(monkeypatch, server, tmp_path / "cache")
        server.add(NAME, llama, kind="models", card={"license": "mit"})
        hub_picker._cards_here.clear()
        yield server
    hub_picker._cards_here.clear()


def text_page(**query: str) -> AppTest:
    page = AppTest.from_file(
        str(ROOT / "pages" / "1_Text.py"), default_timeout=240
    )  # a kernel may be compiled
    for key, value in query.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    return page


def opened(**query: str) -> AppTest:
    page = text_page(model=SHIPPED, **query)
    page.session_state["hub_open"] = True
    return page.run()


def find(page: AppTest, text: str) -> None:
    page.text_input(key="hub_text").set_value(text)
    page.button(key="hub_find").click().run()
    assert not page.exception


def shown(page: AppTest) -> str:
    """All that the page says, as it is read: without the backslashes that keep Markdown out."""
    parts = [*page.error, *page.warning, *page.info, *page.markdown, *page.caption]
    return re.sub(r"\\(\W|_)", r"\1", " ".join(e.value for e in parts))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://huggingface.co/gpt2-owner/gpt2", "gpt2-owner/gpt2"),
        ("huggingface.co/a/b.c/tree/refs%2Fpr%2F3", "a/b.c@refs/pr/3"),
        ("https://hf.co/a/b/blob/main/config.json?raw=1", "a/b@main"),
        ("https://huggingface.co/datasets/a/b", "a/b"),
        ("https://elsewhere.test/a/b", "https://elsewhere.test/a/b"),
        ("a/b@c", "a/b@c"),
        ("small words", "small words"),
    ],
)
def test_the_address_of_a_page_names_its_model(text, address):
    assert hub_picker.without_site(text) == address


def arrived(page: AppTest) -> None:
    """Look again until nothing is on its way, as the page's own clock does."""
    deadline = time.monotonic() + 60
    while page.session_state["_hub"].download is not None:
        assert time.monotonic() < deadline
        page.run()
    assert not page.exception


def steps(page: AppTest, count: int = 1) -> None:
    before = len(page.session_state["_text"].stepper.branch.trace.steps)
    for _ in range(count):
        page.button(key="step").click().run()
        assert not page.exception
    assert len(page.session_state["_text"].stepper.branch.trace.steps) == before + count


def test_a_model_is_searched_checked_fetched_and_stepped(hub, monkeypatch):
    page = opened()
    find(page, "tiny")
    assert page.radio(key="hub_result").options == [NAME]
    assert page.button(key="hub_check").disabled
    page.radio(key="hub_result").set_value(NAME).run()
    page.button(key="hub_check").click().run()
    told = shown(page)
    for part in ("LlamaForCausalLM", "Licence: **mit**", hub.repos["models", NAME].commit[:12]):
        assert part in told
    assert cached() == []
    page.button(key="hub_fetch").click().run()
    arrived(page)
    pinned = f"hub:{NAME}@{hub.repos['models', NAME].commit}"
    assert page.selectbox(key="model").value == pinned
    steps(page, 2)
    assert page.session_state["_text"].stepper.branch.trace.model == pinned

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # another visitor, without a network
    asked = len(hub.asked)
    for link in (pinned, f"hub:{NAME}"):
        page = text_page(model=link)
        assert page.selectbox(key="model").value == pinned
        assert page.query_params["model"] == pinned
        steps(page)
    assert len(hub.asked) == asked


def test_a_link_to_what_is_not_here_offers_it_and_fetches_nothing(hub):
    page = text_page(model=f"hub:{NAME}")
    assert "which is not here yet" in shown(page)
    assert "LlamaForCausalLM" in shown(page)
    steps(page)  # with the default model
    assert cached() == []
    page.button(key="hub_fetch").click().run()
    arrived(page)
    assert page.selectbox(key="model").value.startswith(f"hub:{NAME}@")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("somebody/pickles", "only safetensors are read"),
        ("somebody/pictures", "is a data set on the Hub"),
        ("somebody/wordless", "no tokenizer.json"),
        ("no/such", "There is no model no/such"),
        (f"{NAME}@v9", "has no revision 'v9'"),
        ("![x](http://e.test/y)", "Nothing was found for “![x](http://e.test/y)”"),
        ("../../etc/passwd", "Nothing was found"),
        ("", "LlamaForCausalLM"),  # an empty search lists what is most downloaded
    ],
)
def test_what_cannot_be_used_is_explained_and_the_page_goes_on(hub, llama, text, says):
    config, tokenizer = llama["config.json"], llama["tokenizer.json"]
    files = {"config.json": config, "tokenizer.json": tokenizer, "pytorch_model.bin": b"\x80"}
    hub.add("somebody/pickles", files, kind="models")
    hub.add("somebody/pictures", {"data.csv": b"1"})
    files = {"config.json": config, "model.safetensors": llama["model.safetensors"]}
    hub.add("somebody/wordless", files, kind="models")
    page = opened()
    find(page, text)
    if not text:
        assert NAME in page.radio(key="hub_result").options
        return
    assert says in shown(page)
    assert "](http" not in " ".join(e.value for e in page.info).replace("\\", "\0")
    assert page.selectbox(key="model").value == SHIPPED
    steps(page)


def test_a_download_can_be_stopped_and_goes_on(hub):
    hub.slow["model.safetensors"] = (4096, 0.02)
    page = opened()
    find(page, NAME)
    page.button(key="hub_fetch").click().run()
    download = page.session_state["_hub"].download
    assert download.is_going
    page.button(key="hub_stop").click().run()
    download.wait(20)
    assert not download.is_going
    assert not download.is_complete
    assert cached() == []
    assert page.session_state["_hub"].problem == ""  # it is what was asked for
    hub.slow.clear()
    page.button(key="hub_fetch").click().run()
    arrived(page)
    assert page.selectbox(key="model").value.startswith(f"hub:{NAME}@")


def test_a_model_that_does_not_load_leaves_the_former_one(hub, llama):
    tensors = load(llama["model.safetensors"])
    tensors["model.norm.weight"] = torch.full_like(tensors["model.norm.weight"], torch.nan)
    broken = llama | {"model.safetensors": save(tensors, {"format": "pt"})}
    hub.add("somebody/broken", broken, kind="models")
    page = opened()
    find(page, "somebody/broken")
    page.button(key="hub_fetch").click().run()
    arrived(page)
    assert "NaN" in shown(page)
    assert page.selectbox(key="model").value == SHIPPED
    steps(page)
    page.selectbox(key="model").set_value("kjv-char-lstm").run()
    assert "NaN" not in shown(page)  # another model is another matter


def test_one_download_serves_all_sessions_and_the_last_that_leaves_stops_it(hub, llama):
    hub.slow["model.safetensors"] = (2048, 0.05)
    wanted = plan(NAME)
    first, second = hub_download.start(wanted), hub_download.start(wanted)
    assert first is second
    tokenizer = llama["tokenizer.json"] + b"\n"
    hub.add(NAME, llama | {"tokenizer.json": tokenizer}, kind="models")
    with pytest.raises(ConfigError, match="Another revision"):
        hub_download.start(plan(NAME))
    hub_download.leave(first)
    assert not first.was_stopped
    hub_download.leave(second)
    first.wait(20)
    assert not first.is_going
    assert not first.is_complete


def test_only_so_many_models_are_fetched_at_once(hub, llama):
    hub.slow["model.safetensors"] = (2048, 0.05)
    going = []
    for number in range(hub_download.MAX_AT_ONCE):
        hub.add(f"somebody/copy-{number}", llama, kind="models")
        going.append(hub_download.start(plan(f"somebody/copy-{number}")))
    with pytest.raises(ConfigError, match="At most 2 models are fetched at once"):
        hub_download.start(plan(NAME))
    for download in going:
        hub_download.leave(download)
    for download in going:
        download.wait(20)
    again = hub_download.start(plan(NAME))
    hub_download.leave(again)
    again.wait(20)


def test_a_public_page_can_switch_it_off(hub, monkeypatch):
    monkeypatch.setenv(hub_picker.SWITCH, "off")
    page = text_page(model=f"hub:{NAME}")
    assert "nothing is fetched on this server" in shown(page)
    assert not any("Hub" in part.label for part in page.expander)
    steps(page)
    assert hub.asked == []


def test_a_chat_model_answers_through_its_template(hub):
    page = text_page(model=f"hub:{NAME}")
    page.button(key="hub_fetch").click().run()
    arrived(page)
    page.toggle(key="chat").set_value(True).run()
    page.text_area(key="user").set_value("<|eos|>hi").run()
    assert not page.exception
    stepper = page.session_state["_text"].stepper
    tokenizer = stepper.tokenizer
    labels = [tokenizer.label(t) for t in stepper.tokens]
    assert labels.count("<|user|>") == labels.count("<|assistant|>") == 1
    assert "<|eos|>" not in labels  # what the visitor writes spells no special token
    assert any("<|user|><|eos|>hi<|assistant|>" in part.value for part in page.code)
    steps(page)
