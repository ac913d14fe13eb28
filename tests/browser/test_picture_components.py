"""The components that draw pictures, on a page of their own: a real server, a real browser."""

import ast
import time

import numpy as np
import pytest

from playground.ui.picture_components import pixels_of
from tests.browser.conftest import serving

pytestmark = pytest.mark.browser

# A picture of 6 rows and 8 columns that one pixel a step is added to, and everything beside it.
SCRIPT = """
import numpy as np
import streamlit as st
from playground.ui import picture_components as pc

H, W = 6, 8
ss = st.session_state
ss.setdefault("known", 20)
ss.setdefault("chosen", None)
ss.setdefault("start", None)

def told(key, name):
    ss.told = (name, dict(ss[key][name]))
    if name == "go":
        ss.chosen = ss.told[1]["pixel"]

def told_by(key, name):
    return lambda: told(key, name)

st.button("Step", on_click=lambda: ss.update(known=ss.known + 1))
st.button("Another start", on_click=lambda: ss.update(start=np.full((H, W, 1), 85, np.uint8)))
ss.runs = ss.get("runs", 0) + 1
st.code(repr((ss.known, ss.pop("told", None), ss.runs)))

grey = (np.arange(H * W) * 5).astype(np.uint8).reshape(H, W, 1)
rgb = np.stack([grey[..., 0], 255 - grey[..., 0], np.full((H, W), 40, np.uint8)], axis=2)
known = (np.arange(H * W) < ss.known).reshape(H, W)
partly = known.astype(np.uint8)
partly.flat[ss.known] = 2
bits = np.where(np.arange(H * W).reshape(H, W) % 2, 3.0, 0.0)
hostile = "<img src=x onerror=alert(1)>"
stages = ["model", "top_k=3"]
few = np.log([[0.1, 0.2, 0.3, 0.4], [1, 0.2 / 0.9, 0.3 / 0.9, 0.4 / 0.9]])
few[1, 0] = -np.inf
many = np.log(np.random.default_rng(0).dirichlet(np.ones(256), 2))
many[1, :128] = -np.inf

what = st.query_params["what"]
if what == "canvas":
    pc.picture_canvas("grey", pc.canvas_data(
        grey, known, scale=20, cursor=ss.known, chosen=ss.chosen, title=hostile,
        figures={"surprisal (bits)": bits + 0.25, "level": grey[..., 0]}), told_by("grey", "go"))
    pc.picture_canvas("color", pc.canvas_data(rgb, partly, scale=20), told_by("color", "go"))
    pc.picture_canvas("heat", pc.canvas_data(
        rgb, known, scale=20, field=np.eye(H, W, dtype=bool),
        overlay=pc.overlay(bits, "entropy", 3, title="entropy", low="0", high="3 bits")))
    pc.picture_canvas("wide", pc.canvas_data(
        np.zeros((2, 64, 1), np.uint8), np.ones((2, 64), bool), scale=20), told_by("wide", "go"))
elif what == "levels":
    pc.level_bars("few", pc.levels_data(
        stages, few, 2, pc.grey_swatches([0, 85, 170, 255]), 21,
        names=["brightness 0", "brightness 85", "brightness 170", hostile]),
        told_by("few", "take"))
    pc.level_bars("many", pc.levels_data(
        stages, many, 200, pc.grey_swatches(range(256)), 22), told_by("many", "take"))
    pc.level_bars("still", pc.levels_data(stages, few, 2, ["red"] * 4, None),
                  told_by("still", "take"))
elif what == "sheet":
    pc.picture_sheet("sheet", pc.sheet_data(
        [grey, grey, 255 - grey], [known, None, None], captions=["first", hostile, "third"],
        tips=["", "seed 2", ""], scale=10, chosen=1, kept=12, title="Completions"),
        told_by("sheet", "choose"))
    pc.picture_sheet("seen", pc.sheet_data([grey], scale=10))
else:
    pc.drawing_pad("pad", pc.pad_data(H, W, 1, levels=4, scale=20, start=ss.start),
                   told_by("pad", "use"))
    pc.drawing_pad("paint", pc.pad_data(H, W, 3, scale=20), told_by("paint", "use"))
"""
H, W = 6, 8
APP = '[data-testid="stApp"]'
PARTS = {  # page: its components, and what says that one is drawn
    "canvas": (("grey", "color", "heat", "wide"), "canvas[data-known]"),
    "levels": (("few", "many", "still"), ".charts[data-levels]"),
    "sheet": (("sheet", "seen"), ".grid[data-pictures]"),
    "pad": (("pad", "paint"), ".paper[data-undo]"),
}


@pytest.fixture(scope="module")
def own_server(tmp_path_factory):
    """Serve the script above; yield its address."""
    folder = tmp_path_factory.mktemp("pictures")
    script, log = folder / "script.py", folder / "log"
    script.write_text(SCRIPT, encoding="utf-8")
    with serving(script, log) as address:
        yield address


@pytest.fixture
def page_of(browser, own_server):
    """Return a function that opens the page of one component; errors on it fail the test."""
    contexts, errors = [], []

    def make(what, **options):
        options.setdefault("viewport", {"width": 1400, "height": 1000})
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: errors.append(error))
        page.goto(f"{own_server}/?what={what}")
        page.wait_for_selector(f'{APP}[data-test-script-state="notRunning"]')
        assert page.get_by_test_id("stException").count() == 0
        for key in PARTS[what][0]:  # all of them: what is above moves what is below
            page.locator(f".st-key-{key} {PARTS[what][1]}").wait_for()
        return page

    yield make
    for context in contexts:
        context.close()
    assert not errors


def wait_for(look, wanted):
    """Wait until `look()` is what is wanted; return it."""
    deadline = time.monotonic() + 20
    while (seen := look()) != wanted:
        assert time.monotonic() < deadline, f"{seen!r}, wanted {wanted!r}"
        time.sleep(0.03)
    return seen


def report(page):
    """Return how many pixels the script knows, what it was told last, and its runs."""
    return ast.literal_eval(page.get_by_test_id("stCode").inner_text())


def told(page):
    """Return what the script was told last: the name of the trigger and its value."""
    return report(page)[1]


def box_of(locator):
    locator.scroll_into_view_if_needed()
    return locator.bounding_box()


def middle(locator, pixel, width=W, height=H):
    """Return where on the screen a pixel of a canvas has its middle."""
    box = box_of(locator)
    x = box["x"] + (pixel % width + 0.5) * box["width"] / width
    return x, box["y"] + (pixel // width + 0.5) * box["height"] / height


COLOR = """(canvas, [x, y]) => [...canvas.getContext("2d").getImageData(
    Math.floor(x * canvas.width), Math.floor(y * canvas.height), 1, 1).data]"""


def color_of(locator, pixel, at=(0.5, 0.5), width=W, height=H):
    """Return red, green, blue and alpha of a canvas somewhere in a pixel."""
    x, y = (pixel % width + at[0]) / width, (pixel // width + at[1]) / height
    return locator.evaluate(COLOR, [x, y])


def canvas_of(page, key):
    return page.locator(f".st-key-{key} canvas")


def test_decided_pixels_have_their_values_and_undecided_ones_none(page_of):
    page = page_of("canvas")
    grey, color = canvas_of(page, "grey"), canvas_of(page, "color")
    assert color_of(grey, 19) == [95, 95, 95, 255]
    assert color_of(color, 19) == [95, 160, 40, 255]
    assert color_of(grey, 21)[3] == 0  # the hatch behind it shows
    assert color_of(color, 20, at=(0.2, 0.2)) == [100, 155, 40, 255]  # some colours known: half
    assert color_of(color, 20, at=(0.8, 0.8))[3] == 0
    sharp = {tuple(color_of(grey, 12, at=(a, 0.5))) for a in (0.05, 0.5, 0.95)}
    assert sharp == {(60, 60, 60, 255)}  # nothing is smoothed into its neighbour


def test_a_step_changes_the_picture_in_place(page_of):
    page = page_of("canvas")
    grey = canvas_of(page, "grey")
    grey.evaluate("canvas => { canvas.mark = 'the same' }")
    assert grey.get_attribute("data-known") == "20"
    assert color_of(grey, 20)[3] == 0
    page.get_by_role("button", name="Step").click()
    wait_for(lambda: grey.get_attribute("data-known"), "21")
    assert color_of(grey, 20) == [100, 100, 100, 255]
    assert grey.evaluate("canvas => canvas.mark") == "the same"


@pytest.mark.parametrize("dense", [1, 2])
def test_a_click_tells_the_pixel_and_rings_it(page_of, dense):
    page = page_of("canvas", device_scale_factor=dense)
    grey = canvas_of(page, "grey")
    assert grey.evaluate("canvas => canvas.width") == 8 * 20 * dense
    page.mouse.click(*middle(grey, 11))
    wait_for(lambda: told(page), ("go", {"pixel": 11}))
    page.locator(".st-key-grey").get_by_text("in the chart").wait_for()
    page.mouse.click(*middle(grey, 47))
    wait_for(lambda: told(page), ("go", {"pixel": 47}))


def test_pointing_tells_place_value_and_figures(page_of):
    page = page_of("canvas")
    tip = page.locator(".st-key-grey .tip")
    page.mouse.move(*middle(canvas_of(page, "grey"), 9))
    says = ["row 2, column 2", "brightness 45", "surprisal (bits) 3.25", "level 45"]
    wait_for(lambda: tip.inner_text().split("\n"), says)
    page.mouse.move(*middle(canvas_of(page, "grey"), 40))
    wait_for(lambda: tip.inner_text().split("\n")[:2], ["row 6, column 1", "not decided yet"])
    page.mouse.move(*middle(canvas_of(page, "color"), 19))
    colors = page.locator(".st-key-color .tip")
    wait_for(lambda: colors.inner_text().split("\n")[1:], ["red 95, green 160, blue 40"])
    assert not tip.is_visible()


def test_a_picture_is_read_and_chosen_by_keys(page_of):
    page = page_of("canvas")
    grey = canvas_of(page, "grey")
    grey.focus()
    for key in ("ArrowUp", "ArrowLeft", "Home", "ArrowLeft"):  # from the cursor, 20
        page.keyboard.press(key)
    assert page.locator(".st-key-grey .spoken").inner_text().startswith("row 2, column 1")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    wait_for(lambda: told(page), ("go", {"pixel": 9}))
    label = grey.get_attribute("aria-label")
    assert label.startswith("A picture of 8 by 6 pixels, 20 of 48 decided.")


def test_a_heat_map_glows_over_a_picture_that_stays_visible(page_of):
    heat = canvas_of(page_of("canvas"), "heat")

    def light(pixel):
        r, g, b, _ = color_of(heat, pixel)
        return 0.299 * r + 0.587 * g + 0.114 * b

    assert light(15) > 150 > 100 > light(16)  # strongest beside clear
    clear = [color_of(heat, pixel)[:3] for pixel in (2, 12, 16)]
    assert all(r == g == b for r, g, b in clear)  # the colour belongs to the map
    assert len({tuple(c) for c in clear}) == 3  # and the picture is still seen
    assert color_of(heat, 22)[3] == 0


def test_words_from_outside_stay_words(page_of):
    page = page_of("canvas")
    assert page.locator(".st-key-grey .title").inner_text().startswith("<img")
    assert page.locator(".st-key-grey img").count() == 0
    page = page_of("sheet")
    assert page.locator(".st-key-sheet .caption").nth(1).inner_text().startswith("<img")
    assert page.locator(".st-key-sheet img").count() == 0


def test_on_a_phone_a_picture_shrinks_to_the_column_and_is_still_hit(page_of):
    page = page_of("canvas", viewport={"width": 390, "height": 844}, has_touch=True)
    wide = canvas_of(page, "wide")
    box = box_of(wide)
    assert 200 < box["width"] <= 390 - 2 * box["x"]
    assert box["height"] == pytest.approx(box["width"] / 32)
    page.touchscreen.tap(*middle(wide, 64 + 50, 64, 2))
    wait_for(lambda: told(page), ("go", {"pixel": 114}))
    assert not page.locator(".st-key-wide .tip").is_visible()


@pytest.mark.parametrize(
    ("what", "part"), [("canvas", ".st-key-heat canvas"), ("sheet", ".st-key-seen .picture")]
)
def test_what_nobody_listens_to_runs_nothing(page_of, what, part):
    page = page_of(what)
    runs = report(page)[2]
    page.locator(part).click(force=True)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Step").click()
    wait_for(lambda: report(page), (21, None, runs + 1))


def column(page, key, stage, level, count, height=0.1):
    """Return a place in the column of a level, as a share of the chart's height from above."""
    box = box_of(page.locator(f".st-key-{key} .stage canvas").nth(stage))
    return box["x"] + (level + 0.5) * box["width"] / count, box["y"] + height * box["height"]


@pytest.mark.parametrize(("key", "count", "level"), [("few", 4, 0), ("many", 256, 200)])
def test_the_whole_column_of_a_level_takes_it(page_of, key, count, level):
    page = page_of("levels")
    position = {"few": 21, "many": 22}[key]
    page.mouse.click(*column(page, key, 1, level, count, 0.05))
    wait_for(lambda: told(page), ("take", {"sid": f"{position}:{level}"}))
    page.mouse.click(*column(page, key, 0, level + 1, count, 0.95))
    wait_for(lambda: told(page), ("take", {"sid": f"{position}:{level + 1}"}))


def test_pointing_at_a_level_tells_its_probability_at_each_stage(page_of):
    page = page_of("levels")
    tip = page.locator(".st-key-few .tip")
    page.mouse.move(*column(page, "few", 0, 2, 4))
    says = ["level 2   brightness 170   the choice", "model: 30.0000 %", "top_k=3: 33.3333 %"]
    wait_for(lambda: tip.inner_text().split("\n"), says)
    page.mouse.move(*column(page, "few", 1, 0, 4))
    says = ["level 0   brightness 0", "model: 10.0000 %", "top_k=3: removed"]
    wait_for(lambda: tip.inner_text().split("\n"), says)


def test_a_removed_level_keeps_no_full_bar_and_the_choice_is_marked(page_of):
    page = page_of("levels")
    model, top_k = (page.locator(".st-key-few .stage canvas").nth(i) for i in (0, 1))
    foot = 132 / model.evaluate("canvas => canvas.clientHeight")  # just above the axis
    blue, vermilion = [0, 114, 178, 255], [213, 94, 0, 255]
    assert model.evaluate(COLOR, [0.125, foot]) == blue
    assert model.evaluate(COLOR, [0.625, foot]) == vermilion
    assert top_k.evaluate(COLOR, [0.375, foot]) == blue
    hollow = top_k.evaluate(COLOR, [0.125, foot])
    assert 0 < hollow[3] < 60


def test_levels_are_walked_and_taken_by_keys(page_of):
    page = page_of("levels")
    charts = page.locator(".st-key-many .charts[data-levels]")
    charts.focus()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowRight"):  # from the choice, 200
        page.keyboard.press(key)
    assert page.locator(".st-key-many .spoken").inner_text().startswith("level 199")
    page.keyboard.press("Enter")
    wait_for(lambda: told(page), ("take", {"sid": "22:199"}))


def test_where_nothing_is_decided_nothing_can_be_taken(page_of):
    page = page_of("levels")
    page.mouse.click(*column(page, "still", 0, 1, 4))
    page.mouse.click(*column(page, "few", 0, 1, 4))  # the next word the server hears
    wait_for(lambda: told(page), ("take", {"sid": "21:1"}))


def test_few_levels_stand_two_beside_each_other_on_a_phone_and_many_do_not(page_of):
    page = page_of("levels", viewport={"width": 390, "height": 844})

    def tops(key):
        canvases = page.locator(f".st-key-{key} .stage canvas")
        return [canvases.nth(i).bounding_box()["y"] for i in (0, 1)]

    assert tops("few")[0] == tops("few")[1]
    assert tops("many")[0] < tops("many")[1]


def test_a_picture_of_the_sheet_is_chosen_by_click_and_by_keys(page_of):
    page = page_of("sheet")
    pictures = page.locator(".st-key-sheet .picture")
    pressed = pictures.evaluate_all("all => all.map(b => b.getAttribute('aria-pressed'))")
    assert pressed == ["false", "true", "false"]
    pictures.nth(2).click()
    wait_for(lambda: told(page), ("choose", {"index": 2}))
    pictures.nth(1).focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    wait_for(lambda: told(page), ("choose", {"index": 0}))
    pictures.nth(1).hover()
    wait_for(lambda: page.locator(".st-key-sheet .tip").inner_text(), "seed 2")


def test_pictures_of_a_sheet_grow_and_outline_what_was_given(page_of):
    page = page_of("sheet")
    first, second, third = (canvas_of(page, "sheet").nth(i) for i in range(3))
    assert color_of(first, 22)[3] == 0
    assert color_of(second, 22) == [110, 110, 110, 255]
    assert color_of(third, 22) == [145, 145, 145, 255]
    assert color_of(second, 18, at=(0.5, 0.04))[:3] not in ([90] * 3, [50] * 3)  # below the 11th
    assert color_of(second, 20, at=(0.5, 0.04))[:3] == [100] * 3  # above it nothing was given
    for _ in range(3):
        page.get_by_role("button", name="Step").click()
    wait_for(lambda: color_of(first, 22), [110, 110, 110, 255])


def drawing(page, key, colors=1):
    """Send the drawing and return what the server makes of it."""
    page.locator(f".st-key-{key}").get_by_role("button", name="Use this drawing").click()
    page.wait_for_function("() => document.body.innerText.includes(\"('use'\")")
    name, event = told(page)
    assert name == "use"
    return pixels_of(event, H, W, colors)


def choose(page, key, name):
    page.locator(f".st-key-{key}").get_by_role("radio", name=name, exact=True).check()


def drag(page, paper, start, end):
    page.mouse.move(*middle(paper, start))
    page.mouse.down()
    page.mouse.move(*middle(paper, end))
    page.mouse.up()


def test_a_stroke_is_drawn_without_gaps_and_outlives_reruns(page_of):
    page = page_of("pad")
    paper = canvas_of(page, "pad")
    choose(page, "pad", "Brush of 1 by 1 pixels")
    choose(page, "pad", "Brightness 170")
    drag(page, paper, 8, 15)
    for known in (21, 22):
        page.get_by_role("button", name="Step").click()
        page.get_by_test_id("stCode").get_by_text(str(known)).wait_for()
    wanted = np.zeros((H, W, 1), np.uint8)
    wanted[1] = 170
    assert np.array_equal(drawing(page, "pad"), wanted)
    assert paper.get_attribute("data-undo") == "1"


def test_another_start_begins_anew(page_of):
    page = page_of("pad")
    paper = canvas_of(page, "pad")
    page.mouse.click(*middle(paper, 20))
    wait_for(lambda: paper.get_attribute("data-undo"), "1")
    page.get_by_role("button", name="Another start").click()
    wait_for(lambda: paper.get_attribute("data-undo"), "0")
    assert (drawing(page, "pad") == 85).all()


def test_fill_undo_and_clear(page_of):
    page = page_of("pad")
    paper = canvas_of(page, "pad")
    choose(page, "pad", "Brush of 1 by 1 pixels")
    drag(page, paper, 16, 23)  # a white wall across the third row
    choose(page, "pad", "Fill an area")
    choose(page, "pad", "Brightness 85")
    page.mouse.click(*middle(paper, 40))
    rows = drawing(page, "pad")[:, 0, 0].tolist()
    assert rows == [0, 0, 255, 85, 85, 85]
    pad = page.locator(".st-key-pad")
    pad.get_by_role("button", name="Clear").click()
    assert color_of(paper, 20)[:3] == [0, 0, 0]
    paper.focus()
    page.keyboard.press("Control+z")  # what Clear took
    assert color_of(paper, 27)[:3] == [85, 85, 85]
    pad.get_by_role("button", name="Undo").click()
    pad.get_by_role("button", name="Undo").click()
    assert paper.get_attribute("data-undo") == "0"
    assert pad.get_by_role("button", name="Undo").is_disabled()
    assert color_of(paper, 20)[:3] == [0, 0, 0]


def test_thirty_changes_can_be_undone(page_of):
    page = page_of("pad")
    paper = canvas_of(page, "pad")
    for pixel in range(32):
        page.mouse.click(*middle(paper, pixel))
    assert paper.get_attribute("data-undo") == "30"


def test_a_picture_is_painted_by_keys_alone(page_of):
    page = page_of("pad")
    paper = canvas_of(page, "paint")
    page.locator(".st-key-paint").get_by_role("radio", name="Colour #000000").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")  # to red
    paper.focus()
    page.keyboard.press("ArrowUp")  # from the middle, row 4 column 5
    page.keyboard.press("Space")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.locator(".st-key-paint").get_by_role("button", name="Use this drawing").focus()
    page.keyboard.press("Enter")
    wait_for(lambda: (told(page) or [None])[0], "use")
    pixels = pixels_of(told(page)[1], H, W, 3)
    red = [tuple(at) for at in np.argwhere((pixels == [0xD7, 0x26, 0x1E]).all(axis=2)).tolist()]
    assert red == [(2, 3), (2, 4)]
    assert (pixels == 255).all(axis=2).sum() == H * W - 2


def test_a_colour_of_ones_own(page_of):
    page = page_of("pad")
    paper = canvas_of(page, "paint")
    page.locator(".st-key-paint").get_by_label("a colour of your own").fill("#123456")
    page.mouse.click(*middle(paper, 0))
    assert drawing(page, "paint", 3)[0, 0].tolist() == [0x12, 0x34, 0x56]


def test_a_finger_draws_and_does_not_scroll_the_page(page_of):
    page = page_of("pad", viewport={"width": 390, "height": 844}, has_touch=True)
    paper = canvas_of(page, "pad")
    choose(page, "pad", "Brush of 1 by 1 pixels")
    finger = page.context.new_cdp_session(page)
    places = [middle(paper, pixel) for pixel in (3, 19, 43)]  # straight down the fourth column
    before = paper.bounding_box()

    def touch(kind, points):
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", [{"x": places[0][0], "y": places[0][1]}])
    for x, y in places[1:]:
        touch("touchMove", [{"x": x, "y": y}])
    touch("touchEnd", [])
    assert paper.bounding_box() == before
    wanted = np.zeros((H, W, 1), np.uint8)
    wanted[:, 3] = 255
    assert np.array_equal(drawing(page, "pad"), wanted)
