"""Completion and likelihood as a visitor meets them: a real server, a real browser."""

import io
import time

import numpy as np
import pytest
from PIL import Image

from tests.helpers import shipped_folders

pytestmark = pytest.mark.browser

MODEL = "fashion-gated-pixelcnn"
PATIENCE = 60_000  # milliseconds, on a machine that does other things beside


def open_section(visitor, doing: str, query: str = "", **options):
    """Open a section of the Image page as a new visitor."""
    assert MODEL in [folder.name for folder in shipped_folders("image")]
    made = visitor(**options)
    made.page.set_default_timeout(PATIENCE)
    made.page.goto(f"{made.server}/Image?model={MODEL}&do={doing}&{query}")
    made.ready()
    return made


def complete(page) -> None:
    page.locator(".st-key-completion_start button").click()
    page.locator(".st-key-completion_png").wait_for()


def captions(page) -> list[str]:
    return page.locator(".st-key-completion_sheet .caption").all_text_contents()


def no_wider_than_the_screen(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


STOP_WHEN_HALF_MADE = """() => {
  window.counted = []
  new MutationObserver(() => {
    const made = document.body.innerText.match(/(\\d+) of 784 values/)
    if (!made || window.counted.at(-1) === Number(made[1])) return
    window.counted.push(Number(made[1]))
    if (window.counted.length !== 3) return
    document.querySelector(".st-key-completion_stop button").click()
  }).observe(document.body, { childList: true, subtree: true, characterData: true })
}"""


def test_completions_grow_live_can_be_stopped_and_looked_at(visitor):
    page = open_section(visitor, "Complete", "completion_count=16&completion_rows=0").page
    page.evaluate(STOP_WHEN_HALF_MADE)
    page.locator(".st-key-completion_start button").click()
    page.wait_for_function("window.counted.length >= 3")
    page.locator(".st-key-completion_png").wait_for()
    made = page.evaluate("window.counted")
    assert made == sorted(made)
    assert made[-1] < 784
    time.sleep(1)
    assert page.evaluate("window.counted") == made
    assert len(captions(page)) == 16
    page.get_by_text("Completion 1, closely").wait_for()
    page.locator(".st-key-completion_sheet button.picture").nth(2).click()
    page.get_by_text("Completion 3, closely").wait_for()
    assert page.get_by_test_id("stException").count() == 0


def test_the_same_link_gives_the_same_completions_and_other_noise_others(visitor):
    query = "completion_count=2&completion_rows=14&picture_example=8+%C2%B7+Sneaker&seed=3"
    found = []
    for _ in range(2):
        page = open_section(visitor, "Complete", query).page
        complete(page)
        found.append(captions(page))
    assert found[0] == found[1]
    page.get_by_role("button", name="Other noise").click()
    page.wait_for_url("**completion_noise=1**")
    deadline = time.monotonic() + PATIENCE / 1000
    while captions(page) == found[0]:
        assert time.monotonic() < deadline, "other noise has drawn the same"
        time.sleep(0.05)
    page.locator(".st-key-completion_png").wait_for()
    assert captions(page) != found[0]


def test_a_contact_sheet_is_downloaded_as_png(visitor):
    page = open_section(visitor, "Complete", "completion_count=3&completion_rows=25").page
    complete(page)
    with page.expect_download() as download:
        page.locator(".st-key-completion_png button").click()
    with Image.open(download.value.path()) as image:
        assert image.format == "PNG"
        assert image.size == (4 * (4 * 29 + 1), 4 * 30)


def test_a_drawing_is_judged_and_then_completed(visitor):
    page = open_section(visitor, "How+likely%3F").page
    page.get_by_text("Draw one").click()
    paper = page.locator(".st-key-picture_pad canvas.paper")
    box = paper.bounding_box()
    page.mouse.move(box["x"] + 90, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 90, box["y"] + 200, steps=8)
    page.mouse.up()
    page.get_by_role("button", name="Use this drawing").click()
    page.get_by_text("Your drawing, told no class").wait_for()
    assert "bits" in page.get_by_test_id("stMetric").first.inner_text()
    page.get_by_text("Complete", exact=True).first.click()
    page.locator(".st-key-completion_given").wait_for()
    assert page.locator(".st-key-picture_pad canvas.paper").is_visible()
    assert page.get_by_test_id("stException").count() == 0


def test_an_upload_is_inverted_and_a_bad_one_is_told(visitor, tmp_path):
    page = open_section(visitor, "How+likely%3F", "picture_source=Upload+one").page
    bad = tmp_path / "text.png"
    bad.write_text("a text that is named .png")
    page.locator("input[type=file]").set_input_files(str(bad))
    page.get_by_text("not a picture, whatever its name says").wait_for()
    drawn = np.full((80, 80), 255, np.uint8)
    drawn[20:60, 30:50] = 0
    file = io.BytesIO()
    Image.fromarray(drawn).save(file, "PNG")
    page.locator("input[type=file]").set_input_files(
        {"name": "mine.png", "mimeType": "image/png", "buffer": file.getvalue()}
    )
    page.get_by_text("Light and dark were swapped").wait_for()
    page.get_by_text("Where it surprises").wait_for()
    assert page.get_by_test_id("stException").count() == 0


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 390)])
def test_likelihood_shows_map_classes_and_remarks_on_any_screen(visitor, scheme, width):
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}}
    page = open_section(
        visitor, "How+likely%3F", "picture_example=2+%C2%B7+Trouser", **options
    ).page
    page.get_by_text("told “Trouser”, which it is").wait_for()
    bars = page.get_by_test_id("stVegaLiteChart").first.locator("g.mark-rect path")
    bars.first.wait_for()
    assert bars.count() == 10
    assert "As a classifier the model says Trouser" in page.locator("body").inner_text()
    assert no_wider_than_the_screen(page)
    canvas = page.locator(".st-key-likelihood_map canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tip = page.locator(".st-key-likelihood_map .tip")
    tip.wait_for()
    assert "surprisal (bits)" in tip.inner_text()


def test_an_example_that_is_clicked_is_taken_and_stands_in_the_link(visitor):
    page = open_section(visitor, "How+likely%3F").page
    page.locator(".st-key-picture_examples button.picture").nth(7).click()
    page.wait_for_url("**picture_example=8**")
    page.get_by_text("told “Sneaker”, which it is").wait_for()
