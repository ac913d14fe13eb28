"""Lanes of sounds as a visitor meets them, with the shipped instruments."""

import io
import zipfile
from urllib.parse import quote

import pytest
import soundfile

from playground.decoding.presets import SOUND_PRESETS
from playground.decoding.spec import specs_to_text
from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser

LANES = quote(specs_to_text([SOUND_PRESETS["sample"], SOUND_PRESETS["greedy"]]))
QUERY = f"model=instruments-wavenet&class=Snare&seconds=0.1&seed=5&lanes={LANES}"


def ran(v: Visitor) -> Visitor:
    v.page.set_default_timeout(120_000)  # the first visitor has the model compiled
    v.page.goto(f"{v.server}/Compare?{QUERY}")
    v.ready()
    v.press("Run")
    v.page.get_by_role("heading", name="Figures").wait_for()
    v.ready()
    return v


def test_lanes_are_players_and_the_sounds_can_be_looked_into_and_taken_along(visitor):
    v = ran(visitor())
    lanes = v.page.locator("[class*='st-key-sound_'] audio")
    assert lanes.count() == 3
    v.page.wait_for_function(
        "all => all.every(a => Math.abs(a.duration - 0.1) < 0.02)",
        arg=lanes.element_handles(),
    )
    pictures = v.page.locator("[class*='st-key-sound_'] .picture")
    assert pictures.evaluate_all("all => all.every(p => p.naturalWidth > 5)")
    v.press("Look inside")
    v.wait_text("sample: sound 1")
    canvas = v.page.locator(".st-key-inside_sound canvas")
    box = canvas.bounding_box()
    canvas.click(position={"x": box["width"] / 2, "y": box["height"] / 3})
    v.ready()
    told = v.page.locator(".st-key-picked .title").inner_text()
    number = int(told.removeprefix("sample: sample ").split(" at ")[0])
    assert 300 < number < 500  # of 800
    assert "⟨start⟩" not in v.page.locator(".st-key-picked").inner_text()
    with v.page.expect_download() as info:
        v.page.get_by_role("button", name="Sounds (ZIP of WAV)").click()
    with zipfile.ZipFile(io.BytesIO(info.value.path().read_bytes())) as archive:
        assert archive.namelist() == ["1-sample-1.wav", "1-sample-2.wav", "2-greedy-1.wav"]
        samples, rate = soundfile.read(io.BytesIO(archive.read("2-greedy-1.wav")))
    assert (len(samples), rate) == (800, 8000)
    with v.page.expect_download() as info:
        v.page.get_by_role("button", name="Report (HTML)").click()
    report = v.page.context.new_page()
    report.set_content(info.value.path().read_text())
    report.wait_for_function(
        "[...document.querySelectorAll('audio')].slice(0, 3)"
        ".every(a => Math.abs(a.duration - 0.1) < 0.02)"
    )


@pytest.mark.parametrize(("scheme", "width"), [("light", 1400), ("dark", 390)])
def test_the_page_fits_its_width_in_light_and_dark(visitor, scheme, width):
    v = ran(visitor(color_scheme=scheme, viewport={"width": width, "height": 900}))
    v.press("Look inside")
    v.page.locator(".st-key-inside_sound canvas").wait_for()
    assert v.page.evaluate("document.documentElement.scrollWidth") <= width
    for lane in v.page.locator("[class*='st-key-lane_']").all():
        box = lane.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
