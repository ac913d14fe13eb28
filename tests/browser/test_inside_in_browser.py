"""Look inside, as a visitor meets it: a real server, a real browser."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

TRANSFORMER = "model=kjv-char-transformer&seed=1"
TITLE = "Look inside:"


def look_inside(v, query: str, lens: str = ""):
    v.open(query)
    v.page.get_by_text(TITLE).click()
    v.page.locator(".st-key-lens").wait_for()
    if lens:
        v.page.get_by_role("radio", name=lens).click()
    return v.page


def test_a_head_that_is_clicked_is_enlarged_and_colours_the_text(visitor):
    v = visitor()
    page = look_inside(v, TRANSFORMER)
    heads = page.locator(".st-key-maps .grid button")
    heads.first.wait_for()
    assert heads.count() == 16
    heads.nth(6).click()
    v.wait_text("Where the last token looks: layer 2, head 3")
    page.get_by_role("radio", name="attention", exact=True).first.click()
    v.wait_text("attention of the token before the cursor, layer 2, head 3")


def test_arcs_lead_to_the_strongest_tokens_and_a_click_looks_from_there(visitor):
    v = visitor()
    page = look_inside(v, TRANSFORMER)
    sheet = page.locator(".st-key-read_attention .sheet")
    sheet.wait_for()
    assert sheet.locator(".token").count() == len("In the beginning ") + 1
    assert sheet.locator("path").count() == 10
    sheet.locator(".token").nth(6).hover()
    assert re.search(
        r"looked at with [\d.]+ %", page.locator(".st-key-read_attention .tip").inner_text()
    )
    sheet.locator(".token").nth(6).click()
    v.wait_text("What can come at position 7")
    expect(sheet.locator(".token")).to_have_count(7)


def test_the_grid_of_heads_is_read_with_the_keyboard(visitor):
    v = visitor()
    page = look_inside(v, TRANSFORMER)
    first = page.locator(".st-key-maps .grid button").first
    first.focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    assert "layer 2, head 3" in page.locator(".st-key-maps .tip").inner_text()
    page.keyboard.press("Enter")
    v.wait_text("Where the last token looks: layer 2, head 3")


def test_a_matrix_is_drawn_and_read_cell_by_cell(visitor):
    v = visitor()
    page = look_inside(v, TRANSFORMER)
    page.get_by_role("radio", name="matrix of a head").click()
    matrix = page.locator(".st-key-inside_matrix")
    matrix.locator("canvas").focus()
    page.keyboard.press("ArrowDown")
    tip = matrix.locator(".tip")
    expect(tip).to_have_text(re.compile(r"looks at .*: (about [\d.]+ %|0\.6 % or less)$"))
    page.keyboard.press("Home")
    page.keyboard.press("PageUp")
    expect(tip).to_have_text("start looks at start: about 100 %")
    page.keyboard.press("ArrowRight")
    expect(tip).to_have_text(re.compile("it comes later$"))
    expect(matrix.locator(".hint")).to_contain_text("Colours are logarithmic")


def test_layers_tell_what_they_find_likeliest(visitor):
    v = visitor()
    page = look_inside(v, TRANSFORMER, "Layer by layer")
    cells = page.locator(".st-key-inside_lens td")
    cells.first.wait_for()
    assert cells.count() == 5 * (len("In the beginning ") + 1)
    cells.first.hover()
    assert "layer 4, after start" in page.locator(".st-key-inside_lens .tip").inner_text()
    cells.nth(3).click()
    v.wait_text("How t, which followed, rises through the layers")


def test_heads_are_left_out_one_after_another_and_one_is_compared(visitor):
    v = visitor()
    page = look_inside(v, TRANSFORMER + "&prompt=" + "In+the+beginning+" * 16, "Heads left out")
    page.get_by_role("radio", name="256").click()
    page.get_by_role("button", name="Leave out each of the 16 heads in turn").click()
    page.get_by_role("button", name="Heads (CSV)").wait_for()
    page.locator(".st-key-inside_heads .grid button").nth(5).click()
    v.wait_text("The next token without layer 2, head 2")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_lens_fits_a_phone(visitor, scheme):
    v = visitor(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = look_inside(v, TRANSFORMER)
    radios = page.locator(".st-key-lens [role=radio]")
    for i in range(radios.count()):
        radios.nth(i).click()
        v.ready()
        page.wait_for_timeout(300)
        wide = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
        assert wide <= 390, radios.nth(i).inner_text()
