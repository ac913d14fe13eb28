"""The Image page as a visitor meets it: a real server, a real browser, the shipped digits."""

import io
import re
import time

import numpy as np
import pytest
from PIL import Image

from playground.traces.trace import Trace

pytestmark = pytest.mark.browser

SIDE = 8  # pixels of a digit
DIGITS = "model=digits-transformer-raster"
CANVAS = ".st-key-canvas canvas"
LEVELS = ".st-key-levels canvas"


def image_page(v, query: str = DIGITS):
    v.page.goto(f"{v.server}/Image?{query}")
    v.ready()
    v.page.locator(CANVAS).wait_for()
    return v


def known(v) -> int:
    """Return how many pixels the canvas shows as decided before the cursor."""
    return int(v.page.locator(CANVAS).get_attribute("data-known"))


def wait_known(v, count: int) -> None:
    deadline = time.monotonic() + 30
    while (shown := known(v)) != count:
        assert time.monotonic() < deadline, f"{shown} pixels, wanted {count}"
        time.sleep(0.03)


def click_pixel(v, row: int, column: int) -> None:
    canvas = v.page.locator(CANVAS)
    cell = canvas.bounding_box()["width"] / SIDE
    canvas.click(position={"x": (column + 0.5) * cell, "y": (row + 0.5) * cell})


def take_level(v, level: int, levels: int) -> None:
    chart = v.page.locator(LEVELS).first
    box = chart.bounding_box()
    chart.click(position={"x": (level + 0.5) * box["width"] / levels, "y": box["height"] / 2})


def n_levels(v) -> int:
    return int(v.page.locator(".st-key-levels .charts").get_attribute("data-levels"))


def pixels(v) -> np.ndarray:
    """Return the brightness (8, 8) in the middle of every pixel of the canvas."""
    found = v.page.locator(CANVAS).evaluate(
        """(canvas, side) => {
          const pen = canvas.getContext("2d")
          const cell = canvas.width / side
          return Array.from({ length: side * side }, (_, i) => {
            const x = (i % side + 0.5) * cell, y = (Math.floor(i / side) + 0.5) * cell
            return [...pen.getImageData(x, y, 1, 1).data]
          })
        }""",
        SIDE,
    )
    return np.array(found).reshape(SIDE, SIDE, 4)


def download(v, name: str) -> bytes:
    with v.page.expect_download() as info:
        v.page.get_by_role("button", name=name).click()
    return info.value.path().read_bytes()


def open_downloads(v) -> None:
    v.page.get_by_text("Download the picture").click()
    v.page.get_by_role("button", name="Picture (PNG)").wait_for()


def test_the_canvas_grows_by_a_pixel_and_by_a_row(visitor):
    v = image_page(visitor())
    assert known(v) == 0
    assert (pixels(v)[:, :, 3] == 0).all()
    v.press("Step")
    wait_known(v, 1)
    v.page.keyboard.press("Control+ArrowRight")
    wait_known(v, 2)
    v.page.keyboard.press("Control+Shift+ArrowRight")
    wait_known(v, SIDE)
    assert (pixels(v)[0, :, 3] == 255).all()
    assert (pixels(v)[1:, :, 3] == 0).all()
    v.page.keyboard.press("Control+ArrowLeft")
    wait_known(v, SIDE - 1)
    assert 0 < pixels(v)[0, -1, 3] < 255  # it stays in the branch, faintly


def test_the_same_link_gives_the_same_picture_and_another_seed_another(visitor):
    drawn = []
    for seed in (11, 11, 12):
        v = image_page(visitor(), f"{DIGITS}&temperature=0.9&seed={seed}")
        v.press("Run to end")
        wait_known(v, SIDE * SIDE)
        v.wait_text("The picture is complete")
        drawn.append(pixels(v))
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[0] != drawn[2]).any()


def test_a_click_on_a_pixel_shows_its_choice_and_a_click_on_a_level_takes_another(visitor):
    v = image_page(visitor(), f"{DIGITS}&seed=4")
    v.press("Run to end")
    wait_known(v, SIDE * SIDE)
    before = pixels(v)
    click_pixel(v, 3, 4)
    v.wait_text("What can come at row 4, column 5")
    wait_known(v, 3 * SIDE + 4)
    facts = v.page.locator(".st-key-levels .facts").inner_text()
    taken = int(re.search(r"level (\d+) was taken", facts)[1])
    count = n_levels(v)
    other = count - 1 if taken < count // 2 else 0
    take_level(v, other, count)
    v.wait_text("branch 2: 29 of 64 pixels")
    wait_known(v, 3 * SIDE + 5)
    shown = pixels(v)
    assert (shown[:3] == before[:3]).all()
    assert (shown[3, 4] != before[3, 4]).any()
    assert "kept=" in v.page.url
    again = image_page(visitor(), v.page.url.split("?")[1])
    wait_known(again, 3 * SIDE + 5)
    for page in (v, again):
        page.press("Run to end")
        wait_known(page, SIDE * SIDE)
        page.wait_text("The picture is complete")
    assert (pixels(v) == pixels(again)).all()
    v.page.get_by_text("Branches:").click()
    v.page.locator(".st-key-branch_sheet .picture").first.click()
    v.wait_text("branch 1 is complete")
    deadline = time.monotonic() + 30
    while (pixels(v) != before).any():
        assert time.monotonic() < deadline
    assert "kept=" not in v.page.url


def test_play_decides_a_row_at_a_time_and_pauses_at_once(visitor):
    v = image_page(visitor())
    v.press("Play")
    deadline = time.monotonic() + 30
    seen = set()
    while known(v) < 3 * SIDE:
        seen.add(known(v))
        assert time.monotonic() < deadline
    v.press("Pause")
    v.page.get_by_role("button", name="Play").wait_for()
    v.ready()
    stopped = known(v)  # at once, be it within a row
    assert {count % SIDE for count in seen} == {0}
    time.sleep(0.5)
    assert known(v) == stopped


def test_the_gif_is_animated_and_ends_with_the_picture(visitor):
    v = image_page(visitor(), f"{DIGITS}&seed=4")
    v.press("Run to end")
    wait_known(v, SIDE * SIDE)
    v.wait_text("The picture is complete")
    open_downloads(v)
    still = Image.open(io.BytesIO(download(v, "Picture (PNG)")))
    assert still.size == (8 * SIDE, 8 * SIDE)
    moving = Image.open(io.BytesIO(download(v, "How it was drawn (GIF)")))
    assert moving.format == "GIF"
    assert moving.n_frames > 8
    moving.seek(moving.n_frames - 1)
    last = np.asarray(moving.convert("L"))
    assert (last == np.asarray(still)).all()
    assert (last[4::8, 4::8] == pixels(v)[:, :, 0]).all()
    trace = Trace.from_json(download(v, "Trace (JSON)").decode())
    assert len(trace.steps) == SIDE * SIDE
    assert len(download(v, "Trace (CSV)").decode().splitlines()) == SIDE * SIDE + 1
    assert download(v, "Timeline (SVG)").startswith(b"<svg")


def test_where_it_looked_follows_the_pixel_in_the_chart(visitor):
    v = image_page(visitor(), f"{DIGITS}&overlay=attention&seed=2")
    v.press("Step a row")
    v.press("Step a row")
    wait_known(v, 2 * SIDE)
    v.wait_text("is not always what decides")
    first = pixels(v)
    assert first[:2, :, :3].max() > 0
    click_pixel(v, 0, 6)
    wait_known(v, 6)
    assert (pixels(v)[0, :6] != first[0, :6]).any()
    v.page.get_by_role("radio", name="gradient").click()
    v.wait_text("a small change of each pixel")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_fits_its_width_in_light_and_dark(visitor, scheme, width):
    v = visitor(color_scheme=scheme, viewport={"width": width, "height": 900})
    image_page(v, f"{DIGITS}&overlay=entropy&top_k=3&zoom=large")
    v.press("Step a row")
    wait_known(v, SIDE)
    assert v.page.evaluate("document.documentElement.scrollWidth") <= width
    box = v.page.locator(CANVAS).bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width


def test_a_hostile_link_is_shown_as_text_and_nothing_runs(visitor):
    v = visitor()
    image_page(v, f"{DIGITS}&kept=%3Cimg%20src=x%20onerror=alert(1)%3E&seed=nan")
    v.wait_text("which cannot be read")
    v.press("Step")
    wait_known(v, 1)
    assert v.dialogs == []
    foreign = [u for u in v.requests if not u.startswith((v.server, "data:", "blob:"))]
    assert foreign == []


def test_home_leads_to_the_page(visitor):
    v = visitor()
    v.page.goto(v.server)
    v.ready()
    v.page.get_by_role("link", name="Pictures, one pixel at a time").click()
    v.page.locator(CANVAS).wait_for()
