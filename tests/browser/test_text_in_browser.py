"""The Text page as a visitor meets it: a real server, a real browser."""

import json
import re
import time

import pytest

from playground.traces.trace import Trace

pytestmark = pytest.mark.browser

NGRAM = "model=kjv-char-ngram"
TRANSFORMER = "model=kjv-char-transformer"
BYTE_PAIR = "model=prose-bpe-transformer"
PROMPT_TOKENS = len("In the beginning ")


def announced(visitor) -> str:
    facts = visitor.page.locator(".st-key-candidates .facts").inner_text()
    return re.search(r"(\S+) would be taken", facts)[1]


def test_step_takes_the_token_that_was_announced(visitor):
    v = visitor().open(NGRAM)
    before = v.wait_tokens(PROMPT_TOKENS)
    token = announced(v)
    v.press("Step")
    after = v.wait_tokens(PROMPT_TOKENS + 1)
    assert after[:-1] == before
    assert after[-1].replace(" ", "␣").replace("\n", "") == token


def test_keys_step_and_go_back(visitor):
    v = visitor().open(NGRAM)
    v.wait_tokens(PROMPT_TOKENS)
    v.page.keyboard.press("Control+ArrowRight")
    v.wait_tokens(PROMPT_TOKENS + 1)
    v.page.keyboard.press("Control+ArrowRight")
    v.wait_tokens(PROMPT_TOKENS + 2)
    v.page.keyboard.press("Control+ArrowLeft")
    v.wait_text(f"What can come at position {PROMPT_TOKENS + 2}")
    later = v.page.locator(".st-key-strip .token.later")
    later.first.wait_for()  # the strip is drawn after the text beside it
    assert later.count() == 1


def test_the_same_link_gives_the_same_tokens_and_another_seed_others(visitor):
    texts = []
    for seed in (11, 11, 12):
        v = visitor().open(f"{TRANSFORMER}&temperature=0.9&seed={seed}&length=40&prompt=And+he+")
        v.wait_tokens(7)
        v.press("Run to end")
        texts.append("".join(v.wait_tokens(47)))
    assert texts[0] == texts[1] != texts[2]


def test_settings_land_in_the_address_bar(visitor):
    v = visitor().open()
    v.page.get_by_role("radio", name="greedy").click()
    area = v.page.get_by_role("textbox", name="Prompt")
    area.fill("And the ")
    area.blur()
    v.wait_tokens(8)
    v.page.get_by_role("spinbutton", name="Seed").fill("5")
    v.page.keyboard.press("Enter")
    v.page.wait_for_url(re.compile(r"seed=5"))
    assert "strategy=greedy" in v.page.url
    assert "prompt=And+the" in v.page.url


def test_clicking_a_bar_takes_that_token_on_a_branch_of_its_own(visitor):
    v = visitor().open(NGRAM)
    v.press("Run to end")
    v.wait_tokens(PROMPT_TOKENS + 200)
    v.page.locator(".st-key-strip .token").nth(PROMPT_TOKENS + 5).click()
    v.wait_text(f"What can come at position {PROMPT_TOKENS + 6}")
    taken = v.tokens()[PROMPT_TOKENS + 5].replace(" ", "␣").replace("\n", "")
    rows = v.page.locator(".st-key-candidates .row")
    names = v.page.locator(".st-key-candidates .row .name").all_text_contents()[:12]
    other = next(i for i, name in enumerate(names) if name != taken)
    rows.nth(other).click()
    tokens = v.wait_tokens(PROMPT_TOKENS + 6)
    assert tokens[-1].replace(" ", "␣").replace("\n", "") == names[other]
    v.page.get_by_text("Branches:").click()
    v.wait_text("Rename this branch")
    box = v.page.get_by_role("combobox", name="Go on with another branch")
    box.scroll_into_view_if_needed()
    v.page.wait_for_timeout(1500)  # a list that is opened during a scroll or redraw closes again
    box.click()
    v.page.get_by_role("option", name="branch 1").click()
    v.wait_tokens(PROMPT_TOKENS + 200)


def test_pointing_at_a_bar_tells_what_every_processor_made_of_it(visitor):
    v = visitor().open(f"{NGRAM}&top_k=3")
    row = v.page.locator(".st-key-candidates .row").nth(5)
    row.hover()
    tip = v.page.locator(".st-key-candidates .tip").inner_text()
    assert "model: " in tip
    assert "top_k=3: removed" in tip
    assert row.locator(".bar").last.get_attribute("class") == "bar removed"


def test_candidates_are_taken_with_the_keyboard_too(visitor):
    v = visitor().open(NGRAM)
    rows = v.page.locator(".st-key-candidates .row")
    name = rows.nth(1).locator(".name").inner_text()
    rows.first.focus()
    v.page.keyboard.press("ArrowDown")
    v.page.keyboard.press("Enter")
    tokens = v.wait_tokens(PROMPT_TOKENS + 1)
    assert tokens[-1].replace(" ", "␣").replace("\n", "") == name


def test_the_timeline_tells_its_numbers_and_leads_to_a_position(visitor):
    v = visitor().open(NGRAM)
    v.wait_tokens(PROMPT_TOKENS)
    canvas = v.page.locator(".st-key-timeline canvas")
    assert "17 tokens" in canvas.get_attribute("aria-label")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    place = {"x": 44 + (box["width"] - 50) * 5.5 / PROMPT_TOKENS, "y": 100}  # the sixth token
    canvas.hover(position=place)
    tip = v.page.locator(".st-key-timeline .tip").inner_text()
    assert "position 6" in tip
    assert "surprisal" in tip
    canvas.click(position=place)
    v.wait_text("What can come at position 6")


def test_the_details_follow_every_step_while_they_are_open(visitor):
    v = visitor().open(NGRAM)
    v.page.get_by_text("Branches:").click()
    v.wait_text("Rename this branch")
    v.press("Step")
    v.wait_tokens(PROMPT_TOKENS + 1)
    v.page.get_by_text("Download the trace and the charts").click()
    v.page.get_by_role("button", name="Trace (CSV)").wait_for()
    v.press("Step")
    v.wait_tokens(PROMPT_TOKENS + 2)
    with v.page.expect_download() as info:
        v.page.get_by_role("button", name="Trace (CSV)").click()
    assert len(info.value.path().read_text().splitlines()) == 3
    v.page.get_by_text("Download the trace and the charts").click()
    v.page.get_by_role("button", name="Trace (CSV)").wait_for(state="detached")
    v.press("Step")
    v.wait_tokens(PROMPT_TOKENS + 3)
    assert v.page.get_by_text("Rename this branch").count() == 1


def test_the_list_takes_a_token_without_a_mouse(visitor):
    v = visitor().open(NGRAM)
    box = v.page.get_by_role("combobox", name="Take another token")
    box.click()
    option = v.page.get_by_role("option").nth(3)
    name = option.inner_text().split()[0]
    option.click()
    tokens = v.wait_tokens(PROMPT_TOKENS + 1)
    assert tokens[-1].replace(" ", "␣").replace("\n", "") == name
    assert v.page.locator(".st-key-strip .token.user").count() == 1


def test_play_goes_on_until_pause(visitor):
    v = visitor().open(NGRAM)
    v.wait_tokens(PROMPT_TOKENS)
    v.press("Play")
    deadline = time.monotonic() + 30
    while len(v.tokens()) < PROMPT_TOKENS + 4:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    v.press("Pause")
    v.page.get_by_role("button", name="Play").wait_for()
    stopped = len(v.tokens())
    time.sleep(1.0)
    assert len(v.tokens()) == stopped


def test_hovering_tells_the_numbers(visitor):
    v = visitor().open(NGRAM)
    v.wait_tokens(PROMPT_TOKENS)
    v.page.locator(".st-key-strip .token").nth(4).hover()
    tip = v.page.locator(".st-key-strip .tip").inner_text()
    assert "surprisal" in tip
    assert "bits" in tip
    assert "rank" in tip
    assert "position 5" in tip


def test_markup_in_prompt_and_output_is_text(visitor):
    hostile = "<img src=x onerror=alert(1)> <script>alert(2)</script> ![x](http://e.test/y) $x^2$"
    v = visitor().open(BYTE_PAIR)
    area = v.page.get_by_role("textbox", name="Prompt")
    area.fill(hostile)
    area.blur()
    v.page.wait_for_url(re.compile("prompt="))
    v.press("Step")
    v.ready()
    assert "".join(v.tokens()).startswith(hostile)
    assert v.page.locator("img[src='x']").count() == 0
    v.page.get_by_text("Branches:").click()
    v.ready()
    assert not v.dialogs
    assert not [url for url in v.requests if "e.test" in url]


def test_right_to_left_and_invisible_characters_do_not_break_the_page(visitor):
    v = visitor().open(BYTE_PAIR)
    area = v.page.get_by_role("textbox", name="Prompt")
    area.fill("שלום \u202e abc \u200b\u0000 مرحبا")
    area.blur()
    v.page.wait_for_url(re.compile("prompt="))
    v.press("Step")
    v.ready()
    assert "".join(v.tokens())


def test_a_full_context_is_told_and_slides_on_request(visitor):
    v = visitor().open(f"{TRANSFORMER}&length=600")
    v.press("Run to end")
    v.wait_text("The context is full")
    v.page.get_by_text("Slide the window", exact=True).first.click()
    v.page.get_by_text("The context is full").wait_for(state="detached")
    v.press("Run to end")
    v.wait_tokens(PROMPT_TOKENS + 600)
    assert v.page.locator(".st-key-strip .token.outside").count() > 100


def test_two_visitors_do_not_disturb_each_other(visitor):
    first, second = visitor().open(f"{TRANSFORMER}&seed=1"), visitor().open(f"{TRANSFORMER}&seed=2")
    for _ in range(3):
        count = len(first.tokens())
        first.press("Step")
        first.wait_tokens(count + 1)
        second.press("Step")
        second.wait_tokens(count + 1)
    alone = visitor().open(f"{TRANSFORMER}&seed=1&length=3")
    alone.press("Run to end")
    assert alone.wait_tokens(PROMPT_TOKENS + 3) == first.tokens()


def test_the_trace_and_the_charts_can_be_downloaded(visitor):
    v = visitor().open(f"{NGRAM}&length=12")
    v.press("Run to end")
    tokens = v.wait_tokens(PROMPT_TOKENS + 12)
    v.page.get_by_text("Download the trace and the charts").click()

    def download(name: str) -> bytes:
        with v.page.expect_download() as info:
            v.page.get_by_role("button", name=name).click()
        return info.value.path().read_bytes()

    data = download("Trace (JSON)").decode()
    trace = Trace.from_json(data)
    labels = json.loads(data)["labels"]
    shown = "".join(tokens).replace(" ", "␣").replace("⏎\n", "⏎")
    assert "".join(labels[str(t)] for t in trace.tokens[1:]) == shown
    assert len(download("Trace (CSV)").decode().splitlines()) == 13
    for chart in ("Candidates", "Timeline"):
        assert download(f"{chart} (PNG)").startswith(b"\x89PNG")
        assert download(f"{chart} (SVG)").startswith(b"<svg")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_fits_its_width_in_light_and_dark(visitor, scheme, width):
    v = visitor(color_scheme=scheme, viewport={"width": width, "height": 900}).open(NGRAM)
    v.wait_tokens(PROMPT_TOKENS)
    v.press("Step")
    v.wait_tokens(PROMPT_TOKENS + 1)
    wide = v.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width
    token = v.page.locator(".st-key-strip .token").first
    colors = token.evaluate(
        "e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]"
        ".map(c => c.match(/[\\d.]+/g).slice(0, 3).map(Number))"
    )
    light = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in colors]
    assert abs(light[0] - light[1]) > 100  # the first letter of a text is its most surprising


def test_nothing_is_fetched_from_anywhere_else(visitor):
    v = visitor().open(TRANSFORMER)
    v.press("Step")
    v.wait_tokens(PROMPT_TOKENS + 1)
    foreign = [u for u in v.requests if not u.startswith((v.server, "data:", "blob:"))]
    assert foreign == []


def test_a_cold_deep_link_and_home_lead_to_the_page(visitor):
    v = visitor()
    v.page.goto(v.server)
    v.ready()
    v.page.get_by_role("link", name="Text, one token at a time").click()
    v.wait_tokens(PROMPT_TOKENS)
