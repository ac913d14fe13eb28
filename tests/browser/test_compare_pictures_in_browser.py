"""Lanes of pictures as a visitor meets them, with the shipped digits, which are drawn at once."""

import json
from urllib.parse import quote

import pytest

from playground.decoding.presets import PICTURE_PRESETS
from playground.decoding.spec import LaneSpec, specs_to_text
from playground.traces.trace import Trace
from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser

DIGITS = "model=digits-transformer-raster"
PICTURES = "[class*='st-key-sheet_'] button.picture"


def opened(v: Visitor, query: str = "") -> Visitor:
    v.page.goto(f"{v.server}/Compare?{DIGITS}&{query}")
    v.ready()
    v.page.locator(PICTURES).first.wait_for()
    return v


def ran(v: Visitor) -> Visitor:
    v.press("Run")
    v.page.get_by_role("heading", name="Figures").wait_for(timeout=120_000)
    v.ready()
    return v


def shown(v: Visitor) -> list[str]:
    """All pictures of all lanes, as they are on the screen."""
    return v.page.locator(f"{PICTURES} canvas").evaluate_all("all => all.map(c => c.toDataURL())")


def lanes(*specs: LaneSpec) -> str:
    return "lanes=" + quote(specs_to_text(list(specs)))


def test_lanes_are_sheets_and_the_same_link_draws_the_same(visitor):
    query = f"seed=5&{lanes(PICTURE_PRESETS['sample'], PICTURE_PRESETS['greedy'])}"
    first = opened(visitor(), query)
    empty = shown(first)
    assert len(empty) == 5
    drawn = shown(ran(first))
    assert len(set(drawn)) > 3
    assert not set(drawn) & set(empty)
    assert shown(ran(opened(visitor(), query))) == drawn


def test_a_clicked_picture_is_large_and_a_clicked_pixel_tells_what_else_could_have_come(visitor):
    v = ran(opened(visitor(), lanes(PICTURE_PRESETS["top-p 0.9"])))
    v.page.locator(PICTURES).nth(1).click()
    v.wait_text("top-p 0.9: picture 2")
    canvas = v.page.locator(".st-key-large canvas")
    box = canvas.bounding_box()
    canvas.click(position={"x": box["width"] * 4.5 / 8, "y": box["height"] * 2.5 / 8})
    v.wait_text("top-p 0.9: row 3, column 5")
    heads = v.page.locator(".st-key-picked .head").all_inner_texts()
    assert [head.replace("\n", "=") for head in heads] == ["model", "top_p=0.9"]
    assert "start" not in v.page.locator(".st-key-picked").inner_text()


def test_an_example_is_completed_and_everything_can_be_downloaded(visitor):
    v = ran(opened(visitor(), f"example=3&rows=5&{lanes(PICTURE_PRESETS['sample'])}"))
    v.page.locator(".st-key-kept_part canvas").first.wait_for()

    def download(name: str) -> bytes:
        with v.page.expect_download() as info:
            v.page.get_by_role("button", name=name).click()
        return info.value.path().read_bytes()

    page = download("Report (HTML)").decode()
    assert page.count('src="data:image/png;base64,') == 3  # the lane, its map, real ones
    assert "example=3" in page
    assert "rows=5" in page
    assert download("Contact sheet (PNG)").startswith(b"\x89PNG")
    assert len(download("Figures (CSV)").decode().splitlines()) == 3
    (lane,) = json.loads(download("Everything (JSON)"))["lanes"]
    trace = Trace.from_json(json.dumps(lane["traces"][0]))
    assert (len(trace.prompt), len(trace.steps)) == (1 + 5 * 8, 3 * 8)


def test_from_texts_to_pictures_and_back(visitor):
    v = opened(visitor())
    for model, sign in (("kjv-char-ngram", ".st-key-lanes_view .lane"), (DIGITS[6:], PICTURES)):
        box = v.page.get_by_role("combobox", name="Model", exact=True)
        box.click()
        box.fill(model)  # of a long list only what is in sight is drawn
        v.page.get_by_role("option", name=model, exact=True).click()
        v.page.locator(sign).first.wait_for()
        v.ready()
    ran(v)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_fits_its_width_in_light_and_dark(visitor, scheme, width):
    v = visitor(color_scheme=scheme, viewport={"width": width, "height": 900})
    ran(opened(v))
    v.page.locator(PICTURES).first.click()
    v.page.locator(".st-key-large canvas").wait_for()
    assert v.page.evaluate("document.documentElement.scrollWidth") <= width
    for sheet in v.page.locator("[class*='st-key-sheet_']").all():
        box = sheet.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
