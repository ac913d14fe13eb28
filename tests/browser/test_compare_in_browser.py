"""The Compare page as a visitor meets it: a real server, a real browser."""

import json
import time
from urllib.parse import quote

import pytest

from playground.decoding.presets import PRESETS
from playground.decoding.spec import LaneSpec, specs_to_text
from playground.traces.trace import Trace

pytestmark = pytest.mark.browser

TRANSFORMER = "model=kjv-char-transformer&judge=none"
TOKEN = ".st-key-lanes_view .token"


def link(*specs: LaneSpec) -> str:
    return "lanes=" + quote(specs_to_text(list(specs)))


def opened(v, query: str = ""):
    v.page.goto(f"{v.server}/Compare?{query}")
    v.ready()
    v.page.locator(".st-key-lanes_view .lane").first.wait_for()
    return v


def texts(v) -> list[str]:
    """What every lane shows, without the prompt."""
    lanes = v.page.locator(".st-key-lanes_view .lane")
    return [
        "".join(lanes.nth(i).locator(".token").all_text_contents()) for i in range(lanes.count())
    ]


def settled(v) -> list[str]:
    """What every lane shows once the redraw that was under way at Stop has come."""
    shown, deadline = texts(v), time.monotonic() + 10
    while True:
        time.sleep(0.5)
        before, shown = shown, texts(v)
        if shown == before:
            return shown
        assert time.monotonic() < deadline, "the texts go on growing after Stop"


def ran(v):
    """Press Run and wait for the figures."""
    v.press("Run")
    v.page.locator(TOKEN).first.wait_for()
    v.page.get_by_role("heading", name="Figures").wait_for(timeout=120_000)
    return v


def test_three_lanes_run_and_stop_keeps_what_is_there(visitor):
    lanes = link(PRESETS["pure sampling"], PRESETS["top-k 20"], PRESETS["beam search"])
    v = opened(visitor(), f"{TRANSFORMER}&length=2000&slide=true&{lanes}")
    v.press("Run")
    v.page.locator(TOKEN).first.wait_for()
    v.press("Stop")
    v.page.get_by_role("button", name="Run").wait_for()
    kept = settled(v)
    assert len(kept) == 3
    assert all(kept)
    time.sleep(1.0)
    assert texts(v) == kept
    v.ready()


def test_eight_lanes_of_200_tokens_can_be_stopped(visitor):
    names = ("pure sampling", "temperature 0.7", "top-k 20", "nucleus 0.9", "min-p 0.1",
             "typical 0.9", "mirostat", "repetition penalty")  # fmt: skip
    v = opened(visitor(), f"{TRANSFORMER}&length=200&{link(*(PRESETS[n] for n in names))}")
    v.press("Run")
    v.page.locator(TOKEN).first.wait_for()
    v.press("Stop")
    v.page.get_by_role("button", name="Run").wait_for()
    kept = settled(v)
    assert len(kept) == 8
    assert all(kept)
    v.page.get_by_role("heading", name="Figures").wait_for()
    v.press("Run")
    v.page.get_by_role("button", name="Stop").wait_for()
    v.page.get_by_role("heading", name="Figures").wait_for(timeout=120_000)
    assert [len(text.replace("⏎", "")) for text in texts(v)] == [200] * 8


def test_clicking_a_token_shows_its_candidates(visitor):
    v = ran(opened(visitor(), f"{TRANSFORMER}&length=20&{link(PRESETS['nucleus 0.9'])}"))
    token = v.page.locator(TOKEN).nth(4)
    shown = token.inner_text().replace(" ", "␣").replace("\n", "")
    token.click()
    v.wait_text("nucleus 0.9: token 5")
    rows = v.page.locator(".st-key-picked .row")
    assert rows.count() > 5
    assert f"{shown} was chosen by sample" in v.page.locator(".st-key-picked .facts").inner_text()
    heads = v.page.locator(".st-key-picked .head").all_inner_texts()
    assert [head.replace("\n", "=") for head in heads] == ["model", "top_p=0.9"]


def test_keys_read_a_lane_and_choose_a_token(visitor):
    v = ran(opened(visitor(), f"{TRANSFORMER}&length=12&{link(PRESETS['greedy'])}"))
    v.page.locator(".st-key-lanes_view .strip").first.focus()
    for _ in range(3):
        v.page.keyboard.press("ArrowRight")
    assert "token 3" in v.page.locator(".st-key-lanes_view .tip").inner_text()
    v.page.keyboard.press("Enter")
    v.wait_text("greedy: token 3")


def test_the_tree_of_beams_is_drawn_with_what_was_given_up(visitor):
    v = ran(opened(visitor(), f"{TRANSFORMER}&length=40&{link(PRESETS['beam search'])}"))
    tree = v.page.locator(".st-key-tree svg[role='img']")
    assert tree.locator(".box.best").count() == 40
    assert tree.locator(".box.live").count() >= 39 * 5
    assert tree.locator(".box.pruned").count() > 39
    assert tree.locator(".box.finished").count() >= 5
    tree.locator(".box.best").last.hover()
    tip = v.page.locator(".st-key-tree .tip").inner_text()
    assert "sum of log p" in tip
    assert "length-penalised" in tip
    v.wait_text("All results, the best first")


def test_accepted_and_rejected_drafts_look_different(visitor):
    v = ran(opened(visitor(), f"{TRANSFORMER}&length=60&{link(PRESETS['prompt lookup'])}"))
    assert v.page.locator(f"{TOKEN}.draft").count() > 0
    assert v.page.locator(".st-key-lanes_view s.ghost").count() > 0
    v.wait_text("Calls saved")


def test_the_same_link_gives_the_same_texts(visitor):
    first = opened(visitor(), "length=30&seed=7&judge=none")
    first.page.get_by_role("combobox", name="Add a lane").click()
    first.page.get_by_role("option", name="mirostat").click()
    first.page.wait_for_url("**lanes=**")
    ran(first)
    second = ran(opened(visitor(), first.page.url.split("?")[1]))
    assert texts(first) == texts(second)
    assert len(texts(first)) == 5


def test_a_lane_is_changed_in_its_dialog(visitor):
    v = opened(visitor(), TRANSFORMER)
    v.page.get_by_role("button", name="Change the lane greedy").click()
    dialog = v.page.get_by_role("dialog")
    name = dialog.get_by_role("textbox", name="Name")
    name.fill("<img src=x onerror=alert(1)>")
    name.press("Enter")
    dialog.get_by_role("button", name="Duplicate").wait_for()
    v.ready()
    dialog.get_by_role("button", name="Done").click()
    dialog.wait_for(state="detached")
    v.wait_text("<img src=x onerror=alert(1)>")
    assert "lanes=" in v.page.url
    assert v.page.locator("img[src='x']").count() == 0
    assert not v.dialogs


def test_everything_can_be_downloaded(visitor):
    v = ran(opened(visitor(), f"{TRANSFORMER}&length=16&prompt=And+he+"))

    def download(name: str) -> bytes:
        with v.page.expect_download() as info:
            v.page.get_by_role("button", name=name).click()
        return info.value.path().read_bytes()

    page = download("Report (HTML)").decode()
    assert page.startswith("<!DOCTYPE html>")
    assert page.count("<svg") == 2
    assert "prompt=And+he+" in page
    assert len(download("Figures (CSV)").decode().splitlines()) >= 5
    data = download("Everything (JSON)").decode()
    trace = json.loads(data)["lanes"][1]["traces"][0]
    assert len(Trace.from_json(json.dumps(trace)).steps) == 16
    for chart in ("Perplexity", "Surprisal"):
        assert download(f"{chart} (PNG)").startswith(b"\x89PNG")
        assert download(f"{chart} (SVG)").startswith(b"<svg")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_fits_its_width_in_light_and_dark(visitor, scheme, width):
    v = visitor(color_scheme=scheme, viewport={"width": width, "height": 900})
    ran(opened(v, f"{TRANSFORMER}&length=20"))
    v.page.locator(TOKEN).nth(2).click()
    v.page.locator(".st-key-picked .row").first.wait_for()
    assert v.page.evaluate("document.documentElement.scrollWidth") <= width
    colors = v.page.locator(TOKEN).nth(6).evaluate(
        "e => [getComputedStyle(e).color, getComputedStyle(e.closest('.host')).backgroundColor]"
        ".map(c => c.match(/[\\d.]+/g).slice(0, 3).map(Number))"
    )  # fmt: skip
    light = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in colors]
    assert abs(light[0] - light[1]) > 100


def test_home_leads_here_and_nothing_is_fetched_from_elsewhere(visitor):
    v = visitor()
    v.page.goto(v.server)
    v.ready()
    v.page.get_by_role("link", name="Many ways to decode").click()
    v.page.locator(".st-key-lanes_view .lane").first.wait_for()
    ran(v)
    foreign = [u for u in v.requests if not u.startswith((v.server, "data:", "blob:"))]
    assert foreign == []
