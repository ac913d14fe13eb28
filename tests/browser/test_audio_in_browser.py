"""The Audio page as a visitor meets it: a real server, a real browser, a small model of sound."""

import io
import re
import time

import numpy as np
import pytest
import soundfile

from playground.traces.trace import Trace
from tests.browser.conftest import Visitor, serving
from tests.browser.test_sound_components import place
from tests.helpers import ROOT
from tests.sound_checkpoints import TOKENIZER, write_checkpoint

pytestmark = pytest.mark.browser

SCRIPT = """
import runpy
from pathlib import Path
from playground import registry

registry.ROOT, registry.MODELS = Path({house!r}), ()
runpy.run_path({page!r}, run_name="__main__")
"""
WAVE, LEVELS = ".st-key-waveform canvas", ".st-key-levels canvas"
QUARTER = "seconds=0.25"  # the shortest: 2,000 samples


@pytest.fixture(scope="module")
def audio_server(tmp_path_factory):
    """Serve the page beside a model of three classes; yield its address."""
    folder = tmp_path_factory.mktemp("audio")
    write_checkpoint(folder / "runs" / "drums", n_class=3)
    script = folder / "script.py"
    page = str(ROOT / "pages" / "3_Audio.py")
    script.write_text(SCRIPT.format(house=str(folder), page=page), encoding="utf-8")
    with serving(script, folder / "log") as address:
        yield address


@pytest.fixture
def visit(browser, audio_server):
    """Return a function that opens the page; contexts end with the test."""
    contexts = []

    def make(query: str = QUARTER, **options) -> Visitor:
        options.setdefault("viewport", {"width": 1400, "height": 1000})
        context = browser.new_context(accept_downloads=True, **options)
        contexts.append(context)
        v = Visitor(context, audio_server)
        v.page.goto(f"{audio_server}/?{query}")
        v.ready()
        return v

    yield make
    for context in contexts:
        context.close()


def made(v) -> int:
    """Return how many samples the waveform shows; none before it is drawn."""
    return int(v.page.locator(WAVE).get_attribute("data-samples") or -1)


def wait_made(v, is_wanted) -> int:
    wanted = is_wanted if callable(is_wanted) else lambda count: count == is_wanted
    deadline = time.monotonic() + 60
    while not wanted(count := made(v)):
        assert time.monotonic() < deadline, f"{count} samples"
        time.sleep(0.03)
    return count


def run_to_end(v) -> None:
    v.press("Run to end")
    wait_made(v, 2000)
    v.wait_text("The sound is complete")


def download(v, name: str) -> bytes:
    with v.page.expect_download() as info:
        v.page.get_by_role("button", name=name).click()
    return info.value.path().read_bytes()


def heard(v) -> np.ndarray:
    """Return the samples that the player has, as the browser gets them."""
    address = v.page.locator("[data-testid=stAudio]").first.get_attribute("src")
    answer = v.page.request.get(address if "://" in address else f"{v.server}{address}")
    return soundfile.read(io.BytesIO(answer.body()))[0]


def test_the_waveform_grows_and_can_be_heard(visit):
    v = visit()
    wait_made(v, 0)
    v.press("Step")
    wait_made(v, 1)
    v.page.keyboard.press("Control+Shift+ArrowRight")
    wait_made(v, 81)
    v.page.keyboard.press("Control+ArrowLeft")
    v.wait_text("What can come at sample 80")
    assert made(v) == 81  # it stays in the branch
    assert len(heard(v)) == 81
    run_to_end(v)
    assert len(heard(v)) == 2000


def test_it_grows_while_it_plays_and_pauses_at_once(visit):
    v = visit("seconds=4")
    v.press("Play")
    first = wait_made(v, lambda count: count > 0)
    wait_made(v, lambda count: count > first)
    v.press("Pause")
    v.page.get_by_role("button", name="Play").wait_for()
    v.ready()
    stopped = made(v)
    v.page.locator("[data-testid=stAudio]").first.wait_for()
    assert len(heard(v)) == stopped
    time.sleep(0.5)
    assert made(v) == stopped


def test_another_level_leaves_a_branch_and_the_link_gives_the_same_sound(visit):
    v = visit(f"{QUARTER}&seed=4&class=bell")
    v.press("Step 10 ms")
    wait_made(v, 80)
    v.page.mouse.click(*place(v.page.locator(WAVE), 40))
    v.wait_text("What can come at sample 40")
    facts = v.page.locator(".st-key-levels .facts").inner_text()
    taken = int(re.search(r"level (\d+) ", facts)[1])
    chart = v.page.locator(LEVELS).first
    box = chart.bounding_box()
    other = 250 if taken < 128 else 5
    chart.click(position={"x": (other + 0.5) * box["width"] / 256, "y": box["height"] / 2})
    wait_made(v, 41)
    v.wait_text("branch 2: 41 samples")
    v.press("Step 10 ms")
    wait_made(v, 121)
    v.page.wait_for_url(re.compile("samples=121"))
    v.ready()
    sound = heard(v)
    assert "forced=" in v.page.url
    again = visit(v.page.url.split("?")[1])
    wait_made(again, 121)
    again.wait_text("What can come at sample 121")
    again.page.locator("[data-testid=stAudio]").first.wait_for()
    assert (heard(again) == sound).all()
    other_seed = visit(v.page.url.split("?")[1].replace("seed=4", "seed=5"))
    wait_made(other_seed, 121)
    other_seed.wait_text("What can come at sample 121")
    other_seed.page.locator("[data-testid=stAudio]").first.wait_for()
    assert (heard(other_seed) != sound).any()


def test_what_is_downloaded_is_what_is_heard(visit):
    v = visit(f"{QUARTER}&seed=2")
    v.press("Step 10 ms")
    wait_made(v, 80)
    v.page.get_by_text("Download the sound").click()
    wav, rate = soundfile.read(io.BytesIO(download(v, "Sound (WAV)")))
    flac, _ = soundfile.read(io.BytesIO(download(v, "Sound (FLAC)")))
    assert rate == TOKENIZER.sample_rate
    assert (wav == flac).all()
    assert (wav == heard(v)).all()
    trace = Trace.from_json(download(v, "Trace (JSON)").decode())
    assert np.abs(TOKENIZER.decode(trace.tokens[1:]) - wav).max() < 1e-4


def test_the_past_is_shown_as_a_heat_map_and_a_tree(visit):
    v = visit(f"{QUARTER}&fed_by=gradient")
    v.press("Step 10 ms")
    wait_made(v, 80)
    v.wait_text("would change log p of the level")
    v.page.get_by_text("Distributions over the last").click()
    heat = v.page.locator(".st-key-heat canvas")
    heat.wait_for()
    v.page.wait_for_selector('.st-key-heat canvas[data-columns="81"]')
    v.page.get_by_text("the tree of dilations").click()
    v.page.locator(".st-key-tree svg[data-rows]").wait_for()
    v.page.get_by_text("Receptive field of all 4 layers").first.wait_for()


def test_greedy_and_sampling_sound_side_by_side(visit):
    v = visit(f"{QUARTER}&do=Why+greedy+is+silent")
    v.press("Let them sound")
    v.wait_text("Likely is not typical")
    assert v.page.locator("[data-testid=stAudio]").count() == 3
    v.page.locator(".st-key-greedy_levels canvas").first.wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_fits_its_width_in_light_and_dark(visit, scheme, width):
    for query in (QUARTER, f"{QUARTER}&do=How+likely?"):
        v = visit(query, color_scheme=scheme, viewport={"width": width, "height": 900})
        v.page.locator("canvas[data-samples]").first.wait_for()
        assert v.page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_hostile_link_is_shown_as_text_and_nothing_runs(visit):
    v = visit(f"{QUARTER}&forced=%3Cimg%20src=x%20onerror=alert(1)%3E&seed=nan&samples=1e9")
    v.wait_text("which cannot be read")
    v.ready()  # or the click meets a button that is about to be drawn anew
    v.page.locator(".st-key-step button:visible").click()
    wait_made(v, 1)
    assert v.dialogs == []
    foreign = [u for u in v.requests if not u.startswith((v.server, "data:", "blob:"))]
    assert foreign == []
