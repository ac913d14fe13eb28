"""A model of the Hub as a visitor meets it: a real server, a real browser, a Hub on loopback."""

import pytest

from tests.browser.conftest import Visitor, serving
from tests.hub_server import serve
from tests.tiny_models import tiny_folder

pytestmark = pytest.mark.browser

NAME = "somebody/tiny-llama"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tiny_folder("llama", tmp_path_factory.mktemp("made") / "llama")
    with serve() as server:
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        server.add(NAME, files, kind="models", card={"license": "mit"})
        yield server


@pytest.fixture(scope="module")
def address(hub, tmp_path_factory):
    """Serve the app to a Hub of our own, with an empty cache."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_HUB_OFFLINE", "0")
        environment.setenv("HF_HUB_DISABLE_XET", "1")
        environment.setenv("HF_ENDPOINT", hub.url)
        environment.setenv("HF_HOME", str(tmp_path_factory.mktemp("hub")))
        with serving("app.py", tmp_path_factory.mktemp("server") / "log") as served:
            yield served


@pytest.fixture
def guest(browser, address):
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    visitor = Visitor(context, address)
    visitor.page.set_default_timeout(120_000)  # the first model of a kind may be compiled
    yield visitor
    context.close()


def find(guest: Visitor, text: str) -> None:
    box = guest.page.get_by_role("textbox", name="Search, or write")
    box.fill(text)
    box.press("Enter")


def test_search_check_download_with_progress_step_and_links(hub, guest):
    hub.slow["model.safetensors"] = (4096, 0.05)
    guest.open("model=kjv-char-ngram")
    guest.page.get_by_text("Another model from the Hub").click()
    find(guest, "tiny")
    guest.page.locator(".st-key-hub_result").get_by_text(NAME).click()
    guest.press("Check")
    guest.wait_text("LlamaForCausalLM")
    guest.press("Download")
    guest.wait_text("MB/s")
    hub.slow.clear()
    guest.wait_text("LlamaForCausalLM of the Hub")
    guest.ready()
    pinned = f"hub%3Asomebody%2Ftiny-llama%40{hub.repos['models', NAME].commit}"
    assert f"model={pinned}" in guest.page.url
    before = len(guest.tokens())
    guest.press("Step")
    guest.wait_tokens(before + 1)

    guest.page.goto(guest.page.url)  # the link, as it is shared
    guest.ready()
    guest.wait_text("LlamaForCausalLM of the Hub")
    guest.wait_tokens(before)

    guest.open(f"model=hub:{NAME}&chat=true&user=hello")  # and one that pins no commit
    guest.page.wait_for_url(f"**model={pinned}**")
    guest.page.locator(".st-key-strip .token", has_text="<|assistant|>").wait_for()


def test_what_is_no_model_is_explained_and_the_page_goes_on(hub, guest):
    hub.add("somebody/pictures", {"data.csv": b"1"})
    guest.open("model=kjv-char-ngram")
    guest.page.get_by_text("Another model from the Hub").click()
    find(guest, "somebody/pictures")
    guest.wait_text("is a data set on the Hub")
    before = len(guest.tokens())
    guest.press("Step")
    guest.wait_tokens(before + 1)


def test_pieces_tell_of_themselves_under_the_mouse_and_the_keys(guest):
    guest.open("model=prose-bpe-transformer&do=How+it+is+cut&cut_text=the+caf%C3%A9")
    pieces = guest.page.locator(".st-key-pieces_0 .piece")
    pieces.first.wait_for()
    assert pieces.first.locator(".text").inner_text() == "⟨start⟩"
    tip = guest.page.locator(".st-key-pieces_0 .tip")
    guest.page.locator(".st-key-pieces_0 .piece.part").first.hover()
    assert "which has no token of its own" in tip.inner_text()
    guest.page.locator(".st-key-pieces_0 .pieces").focus()
    guest.page.keyboard.press("ArrowLeft")
    assert tip.inner_text() != ""


def test_nothing_of_a_text_is_markup(guest):
    text = "%3Cimg+src%3Dx+onerror%3Dalert(1)%3E+**b**"
    guest.open(f"model=prose-bpe-transformer&do=How+it+is+cut&cut_text={text}")
    guest.page.locator(".st-key-pieces_0 .piece").first.wait_for()
    assert guest.dialogs == []
    assert guest.page.locator(".st-key-pieces_0 img").count() == 0
