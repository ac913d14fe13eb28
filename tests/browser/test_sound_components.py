"""The components that draw sound, on a page of their own: a real server, a real browser."""

import ast
import time

import numpy as np
import pytest

from playground.tokenizers.audio import AudioTokenizer
from playground.ui.sound_data import tree_levels
from tests.browser.conftest import serving

pytestmark = pytest.mark.browser

# A tone that fades, 10 ms more a step, and everything that is told of it.
SCRIPT = """
import numpy as np
import streamlit as st
from playground.tokenizers.audio import AudioTokenizer
from playground.ui import picture_components as pc, sound_components as sc, sound_pictures as sp

RATE = 8000
ss = st.session_state
ss.setdefault("count", 4000)
ss.setdefault("cursor", 3000)
ss.setdefault("window", None)

def from_wave():
    ss.told = ("wave", ss["wave"]["go"])
    ss.cursor = sc.sample_of(ss["wave"]["go"], ss.count)

st.button("Step 10 ms", on_click=lambda: ss.update(count=ss.count + 80))
st.button("To the start", on_click=lambda: ss.update(cursor=100))
st.button("Show a part", on_click=lambda: ss.update(window=(1000, 1200)))
ss.runs = ss.get("runs", 0) + 1
report = st.empty()
tokenizer = AudioTokenizer(RATE)
t = np.arange(8000) / RATE
sound = 0.7 * np.exp(-3 * t) * np.sin(2 * np.pi * (200 + 1500 * t) * t)
levels = tokenizer.quantise(sound)[: ss.count]
hostile = "<img src=x onerror=alert(1)>"
random = np.random.default_rng(0)

what = st.query_params["what"]
got = None
if what == "wave":
    bits = np.where(np.arange(ss.count) < 800, np.nan, 4 + 3 * np.sin(np.arange(ss.count) / 200))
    weights = np.exp((np.arange(ss.cursor) - ss.cursor) / 40.0)
    sc.waveform(levels, sample_rate=RATE, cursor=ss.cursor, kept=800, window=ss.window,
                colours=bits, colours_title="surprisal", marks=weights, key="wave", title=hostile,
                dilation=[ss.cursor - 1 - 2**i for i in range(9)],
                facts=f"{ss.count} samples", on_go=from_wave)
    got = sc.waveform(bytes([128]) * 40, sample_rate=RATE, cursor=40, key="short")
    sc.waveform(b"", sample_rate=RATE, cursor=0, key="empty")
elif what == "heat":
    columns = 80
    centres = levels[1000 : 1000 + columns].astype(float)
    logits = -((np.arange(256) - centres[:, None]) / 9) ** 2
    logprobs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    got = sc.distribution_heat_map(
        logprobs, centres.astype(int).tolist(), sample_rate=RATE, first_index=1000, cursor=1079,
        key="heat", title=hostile, facts="the last 10 ms")
    sc.distribution_heat_map(logprobs[:1], [None], sample_rate=RATE, first_index=0, key="one")
    pc.level_bars("levels", pc.levels_data(
        ["model", "top_p=0.9"], logprobs[[5, 5]], 100, sp.amplitude_swatches(256), 7,
        names=[tokenizer.label(level) for level in range(256)], ticks=sp.amplitude_ticks(256)))
elif what == "tree":
    sc.dilation_tree([2**i for i in range(9)] * 2, 2, cursor=600, sample_rate=RATE, key="tree")
    sc.dilation_tree((1, 2, 4, 8), 2, cursor=3000, sample_rate=RATE, key="figure", title=hostile)
elif what == "cards":
    sc.spectrogram(sound.astype(np.float32), RATE, key="sound", title=hostile)
    sc.spectrogram(np.zeros(0, np.float32), RATE, key="nothing")
    with sc.player_grid():
        for i in range(4):
            clip = np.roll(sound, 900 * i)[: 4000 + 500 * i] * (1 - 0.2 * i)
            sc.player_card(clip.astype(np.float32), RATE, key=f"card{i}", kept=800,
                           title=f"continuation {i + 1}", figures=f"{2 + i} bits per sample")
report.code(repr((ss.count, ss.pop("told", got), ss.runs)))
"""
RATE = 8000
LEFT, RIGHT = 40, 10  # pixels beside a plot, see time_axis.js
APP = '[data-testid="stApp"]'
PARTS = {  # page: its components, and what says that one is drawn
    "wave": (("wave", "short", "empty"), "canvas[data-samples]"),
    "heat": (("heat", "one"), "canvas[data-columns]"),
    "tree": (("tree", "figure"), "svg[data-rows]"),
    "cards": (("sound", "card0_spectrogram", "card3_spectrogram"), ".host[data-ticks]"),
}


@pytest.fixture(scope="module")
def own_server(tmp_path_factory):
    """Serve the script above; yield its address."""
    folder = tmp_path_factory.mktemp("sounds")
    script, log = folder / "script.py", folder / "log"
    script.write_text(SCRIPT, encoding="utf-8")
    with serving(script, log) as address:
        yield address


@pytest.fixture
def page_of(browser, own_server):
    """Return a function that opens the page of some components; errors on it fail the test."""
    contexts, errors = [], []

    def make(what, **options):
        options.setdefault("viewport", {"width": 1400, "height": 1000})
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: errors.append(error))
        page.on("console", lambda said: said.type == "error" and errors.append(said.text))
        page.goto(f"{own_server}/?what={what}")
        page.wait_for_selector(f'{APP}[data-test-script-state="notRunning"]')
        assert page.get_by_test_id("stException").count() == 0
        for key in PARTS[what][0]:  # all of them: what is above moves what is below
            page.locator(f".st-key-{key} {PARTS[what][1]}").first.wait_for()
        return page

    yield make
    for context in contexts:
        context.close()
    assert not errors


def wait_for(look, wanted):
    """Wait until `look()` is what is wanted, or fulfils it; return it."""
    deadline = time.monotonic() + 20
    is_wanted = wanted if callable(wanted) else lambda seen: seen == wanted
    while not is_wanted(seen := look()):
        assert time.monotonic() < deadline, f"{seen!r}, wanted {wanted!r}"
        time.sleep(0.03)
    return seen


def told(page):
    """Return what the script was told last."""
    return ast.literal_eval(page.get_by_test_id("stCode").inner_text())[1]


def canvas_of(page, key):
    return page.locator(f".st-key-{key} canvas")


def view_of(canvas):
    """Return the samples that are shown: from, behind the last."""
    return tuple(float(canvas.get_attribute(f"data-{end}")) for end in ("from", "to"))


def place(canvas, sample, height=60):
    """Return where on the screen the middle of a sample is."""
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    begin, end = view_of(canvas)
    wide = box["width"] - LEFT - RIGHT
    return box["x"] + LEFT + (sample + 0.5 - begin) / (end - begin) * wide, box["y"] + height


def zoom_in(page, key, times):
    for _ in range(times):
        page.locator(f".st-key-{key}").get_by_role("button", name="Zoom in").click()


COLORS = """canvas => {
  const { width, height } = canvas
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height)
  const seen = {}
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] < 255) continue
    const color = [...data.slice(i, i + 3)].join(" ")
    seen[color] = (seen[color] ?? 0) + 1
  }
  return seen
}"""
BLUE, SKY, GREY, VERMILION = "0 114 178", "86 180 233", "138 148 163", "213 94 0"


@pytest.mark.parametrize(("scheme", "ink"), [("light", BLUE), ("dark", SKY)])
def test_the_waveform_is_drawn_in_the_ink_of_the_theme_and_what_was_given_in_grey(
    page_of, scheme, ink
):
    page = page_of("wave", color_scheme=scheme)
    seen = canvas_of(page, "wave").evaluate(COLORS)
    assert seen[ink] > seen[GREY] > 1000  # 800 of 4000 samples were given, and louder
    assert seen[VERMILION] > 100  # the chosen sample
    assert page.locator(".st-key-wave .title").inner_text().startswith("<img")
    assert page.locator(".st-key-wave img").count() == 0
    legend = page.locator(".st-key-wave .legend").inner_text()
    for words in ("surprisal", "8 bits or more", "given by you", "gradient", "read by the model"):
        assert words in legend
    assert "given by you" not in page.locator(".st-key-short .legend").inner_text()
    label = canvas_of(page, "wave").get_attribute("aria-label")
    assert label.startswith("Waveform of 4000 samples, 500.0 ms; sample 3000 is chosen.")


def test_a_click_chooses_the_sample_below_it(page_of):
    page = page_of("wave")
    wave = canvas_of(page, "wave")
    page.mouse.click(*place(wave, 2000))
    _, event = wait_for(lambda: told(page), lambda seen: seen is not None)
    assert abs(event["sample"] - 2000) <= 4000 / 600  # a point of the screen is several samples
    zoom_in(page, "wave", 6)
    sample = int(sum(view_of(wave)) / 2) + 5
    page.mouse.click(*place(wave, sample))
    wait_for(lambda: told(page), ("wave", {"sample": sample}))


def test_a_choice_is_returned_where_nobody_is_called(page_of):
    page = page_of("wave")
    short = canvas_of(page, "short")
    page.mouse.click(*place(short, 7))
    wait_for(lambda: told(page), 7)
    page.mouse.click(*place(short, 40))  # what comes next
    wait_for(lambda: told(page), 40)
    page.get_by_role("button", name="Step 10 ms").click()
    wait_for(lambda: told(page), None)  # once


def test_zoom_stays_where_it_is_over_reruns(page_of):
    page = page_of("wave")
    wave = canvas_of(page, "wave")
    assert view_of(wave) == (0, 4001)
    zoom_in(page, "wave", 3)
    begin, end = view_of(wave)
    assert end - begin == pytest.approx(4001 / 8)
    assert begin < 3000 < end  # around the chosen sample
    page.get_by_role("button", name="Step 10 ms").click()
    wait_for(lambda: wave.get_attribute("data-samples"), "4080")
    assert view_of(wave) == (begin, end)
    page.get_by_role("button", name="To the start").click()  # the choice comes into view
    wait_for(lambda: view_of(wave)[0], 0)
    assert view_of(wave)[1] == pytest.approx(end - begin)
    tools = page.locator(".st-key-wave")
    tools.get_by_role("button", name="All").click()
    assert view_of(wave) == (0, 4081)
    assert tools.get_by_role("button", name="Zoom out").is_disabled()
    tools.get_by_role("button", name="10 ms").click()
    assert np.diff(view_of(wave)) == pytest.approx(80)
    page.get_by_role("button", name="Show a part").click()
    wait_for(lambda: view_of(wave), (1000, 1200))


def test_a_view_of_the_end_follows_what_grows(page_of):
    page = page_of("wave")
    wave = canvas_of(page, "wave")
    wave.evaluate("canvas => { canvas.mark = 'the same' }")
    wave.focus()
    page.keyboard.press("End")
    for _ in range(3):
        page.keyboard.press("+")
    before = view_of(wave)
    assert before[1] == 4001
    page.get_by_role("button", name="Step 10 ms").click()
    wait_for(lambda: view_of(wave), (before[0] + 80, 4081))
    assert wave.evaluate("canvas => canvas.mark") == "the same"


def test_dragging_moves_the_view_and_chooses_nothing(page_of):
    page = page_of("wave")
    wave = canvas_of(page, "wave")
    zoom_in(page, "wave", 3)
    begin, end = view_of(wave)
    at = place(wave, 3000)
    page.mouse.move(*at)
    page.mouse.down()
    page.mouse.move(at[0] + 100, at[1], steps=4)
    page.mouse.up()
    moved = view_of(wave)
    each = (wave.bounding_box()["width"] - LEFT - RIGHT) / (end - begin)
    assert begin - moved[0] == pytest.approx(100 / each, abs=0.01)
    assert moved[1] - moved[0] == pytest.approx(end - begin)
    assert told(page) is None


def test_the_wheel_zooms_at_the_pointer_when_it_is_asked_to(page_of):
    page = page_of("wave", viewport={"width": 1400, "height": 500})
    wave = canvas_of(page, "wave")
    page.mouse.move(*place(wave, 1000))
    look = "main => main.scrollTop"
    scrolled = page.get_by_test_id("stMain").evaluate(look)
    page.mouse.wheel(0, 100)  # the page scrolls, the sound stays
    wait_for(lambda: page.get_by_test_id("stMain").evaluate(look), lambda at: at > scrolled)
    assert view_of(wave) == (0, 4001)
    page.keyboard.down("Control")
    page.mouse.move(*place(wave, 1000))
    for _ in range(5):
        page.mouse.wheel(0, -100)
    begin, end = wait_for(lambda: view_of(wave), lambda v: v[1] - v[0] < 4001 / 1.2**4.5)
    page.keyboard.up("Control")
    assert end - begin == pytest.approx(4001 / 1.2**5)
    assert (1000 - begin) / (end - begin) == pytest.approx(1000 / 4001, abs=0.01)
    wave.focus()  # then it need not be held down
    page.mouse.wheel(0, 100)
    wait_for(lambda: view_of(wave)[1] - view_of(wave)[0], lambda span: span > 4001 / 1.2**4.5)


def test_near_enough_every_sample_is_a_dot(page_of):
    page = page_of("wave")
    wave = canvas_of(page, "wave")
    page.get_by_role("button", name="Show a part").click()
    wait_for(lambda: view_of(wave), (1000, 1200))
    zoom_in(page, "wave", 3)
    tip = page.locator(".st-key-wave .tip")
    sample = int(view_of(wave)[0]) + 4
    page.mouse.move(*place(wave, sample))
    lines = wait_for(lambda: tip.inner_text().split("\n"), lambda seen: len(seen) > 2)
    t = sample / RATE
    amplitude = 0.7 * np.exp(-3 * t) * np.sin(2 * np.pi * (200 + 1500 * t) * t)
    level = AudioTokenizer(RATE).encode(np.array([amplitude]))[0]
    assert lines[0] == f"sample {sample:,}, {1000 * t:g} ms"
    assert lines[1].startswith(f"level {level}, amplitude ")
    assert lines[2].startswith("surprisal ")


def test_samples_are_read_and_chosen_by_keys(page_of):
    page = page_of("wave")
    wave = canvas_of(page, "wave")
    wave.focus()
    for key in ("ArrowLeft", "PageUp", "ArrowRight"):  # from the chosen one, 3000
        page.keyboard.press(key)
    spoken = page.locator(".st-key-wave .spoken")
    assert spoken.inner_text().startswith("sample 2,920, 365 ms")
    page.keyboard.press("Enter")
    wait_for(lambda: told(page), ("wave", {"sample": 2920}))


def test_soft_sounds_can_be_magnified(page_of):
    page = page_of("wave")
    wave = canvas_of(page, "wave")
    before = wave.evaluate(COLORS)[BLUE]
    page.locator(".st-key-wave").get_by_role("button", name="magnify").click()
    assert wave.evaluate(COLORS)[BLUE] > 1.5 * before
    assert page.locator(".st-key-wave .louder").inner_text() == "±0.25"


def test_two_fingers_zoom_and_one_chooses(page_of):
    page = page_of("wave", viewport={"width": 390, "height": 844}, has_touch=True)
    wave = canvas_of(page, "wave")
    x, y = place(wave, 2000)
    finger = page.context.new_cdp_session(page)

    def touch(kind, *xs):
        points = [{"x": at, "y": y, "id": i} for i, at in enumerate(xs)]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", x - 20, x + 20)
    touch("touchMove", x - 40, x + 40)
    touch("touchEnd")
    begin, end = view_of(wave)
    assert end - begin == pytest.approx(4001 / 2, rel=0.02)
    assert told(page) is None
    page.touchscreen.tap(*place(wave, 2500))
    _, event = wait_for(lambda: told(page), lambda seen: seen is not None)
    assert abs(event["sample"] - 2500) <= 2000 / 250


def test_a_column_of_the_heat_map_chooses_its_sample(page_of):
    page = page_of("heat")
    heat = canvas_of(page, "heat")
    heat.scroll_into_view_if_needed()
    box = heat.bounding_box()
    x = box["x"] + LEFT + 30.5 * (box["width"] - LEFT - RIGHT) / 80
    page.mouse.click(x, box["y"] + 100)
    wait_for(lambda: told(page), 1030)
    tip = page.locator(".st-key-heat .tip")
    lines = wait_for(lambda: tip.inner_text().split("\n"), lambda seen: len(seen) == 3)
    assert lines[0] == "sample 1,030, 128.75 ms"
    t = 1030 / RATE
    amplitude = 0.7 * np.exp(-3 * t) * np.sin(2 * np.pi * (200 + 1500 * t) * t)
    level = AudioTokenizer(RATE).encode(np.array([amplitude]))[0]
    assert lines[2].startswith(f"taken: level {level}, amplitude ")
    assert lines[2].endswith("about 6.2 %")
    heat.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    wait_for(lambda: told(page), 1001)
    assert page.locator(".st-key-heat img").count() == 0


PIXEL = """(canvas, [x, y]) => {
  const dense = canvas.width / canvas.clientWidth
  return [...canvas.getContext("2d").getImageData(x * dense, y * dense, 1, 1).data].slice(0, 3)
}"""


@pytest.mark.parametrize(("scheme", "ground"), [("light", [255] * 3), ("dark", [16, 21, 28])])
def test_what_is_unlikely_has_the_colour_of_the_ground(page_of, scheme, ground):
    heat = canvas_of(page_of("heat", color_scheme=scheme), "one")
    wide = heat.bounding_box()["width"]
    assert heat.evaluate(PIXEL, [wide / 2, 256]) == ground  # a loud negative level
    level = AudioTokenizer(RATE).encode(np.array([0.7 * np.exp(-0.375) * np.sin(0.775 * np.pi)]))[0]
    strong = heat.evaluate(PIXEL, [wide / 2, 6 + 255.5 - level])
    assert max(abs(a - b) for a, b in zip(strong, ground, strict=True)) > 80


def test_levels_of_a_sound_say_amplitudes(page_of):
    page = page_of("heat")
    stage = page.locator(".st-key-levels .stage canvas").first
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    page.mouse.move(box["x"] + 200.5 * box["width"] / 256, box["y"] + 60)
    tip = page.locator(".st-key-levels .tip")
    says = f"level 200   {AudioTokenizer(RATE).label(200)}"
    wait_for(lambda: tip.inner_text().split("\n")[0], says)


def nodes(page, key):
    """Return how many nodes each row of a tree has, the output first."""
    found = page.locator(f".st-key-{key} path[data-nodes]").evaluate_all(
        "all => all.map(p => [p.dataset.row, p.dataset.nodes].map(Number))"
    )
    rows = {}
    for row, count in found:
        rows[row] = rows.get(row, 0) + count
    return [rows[row] for row in sorted(rows)]


def test_the_tree_draws_every_node_and_fewer_layers_when_asked(page_of):
    page = page_of("tree")
    dilations = [2**i for i in range(9)] * 2
    assert nodes(page, "tree") == [len(row) for row in tree_levels(dilations)]
    assert nodes(page, "figure") == [1, 2, 4, 8, 16]
    faint = page.locator(".st-key-tree path.before.input").get_attribute("data-nodes")
    assert faint == str(1023 - 600)
    slider = page.locator(".st-key-tree_layers").get_by_role("slider")
    slider.focus()
    for _ in range(14):
        page.keyboard.press("ArrowLeft")
    wait_for(lambda: nodes(page, "tree"), [1, 2, 4, 8, 16])
    page.get_by_text("The 4 layers drawn reach over 481 samples, 60.1 ms.").wait_for()
    page.locator(".st-key-tree_end").get_by_role("radio", name="next to the input").click()
    page.get_by_text("The 4 layers drawn reach over 16 samples, 2.0 ms.").wait_for()
    assert page.locator(".st-key-figure img").count() == 0


def test_pointing_at_the_tree_tells_the_sample(page_of):
    page = page_of("tree")
    figure = page.locator(".st-key-figure svg")
    figure.scroll_into_view_if_needed()
    box = figure.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 16, box["y"] + box["height"] - 40)
    tip = page.locator(".st-key-figure .tip")
    wait_for(lambda: tip.inner_text().split("\n"), ["1 sample, 0.125 ms before", "sample 2,999"])


def test_a_spectrogram_has_axes_and_words(page_of):
    page = page_of("cards")
    picture = page.locator(".st-key-sound .picture")
    assert picture.get_attribute("alt") == "Mel spectrogram of 1.00 s of sound, 0 to 4000 Hz."
    assert picture.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [126, 64]
    hertz = page.locator(".st-key-sound .hertz span").all_text_contents()
    assert hertz == ["0 Hz", "250 Hz", "500 Hz", "1 kHz", "2 kHz", "4 kHz"]
    assert page.locator(".st-key-sound .unit").inner_text() == "time (s)"
    assert page.locator(".st-key-sound .title").inner_text().startswith("<img")
    assert page.locator(".st-key-nothing .picture").is_visible()


@pytest.mark.parametrize(("width", "columns"), [(1400, 4), (390, 2)])
def test_cards_stand_beside_each_other_two_on_a_phone(page_of, width, columns):
    page = page_of("cards", viewport={"width": width, "height": 844})
    cards = [page.locator(f".st-key-card{i}") for i in range(4)]
    tops = [card.bounding_box()["y"] for card in cards]
    assert tops.count(tops[0]) == columns
    assert page.get_by_test_id("stAudio").count() == 4
    for card in cards:
        box = card.bounding_box()
        assert box["x"] + box["width"] <= width
        assert card.locator(".wave").is_visible()
    scrolls = page.evaluate("document.documentElement.scrollWidth")
    assert scrolls <= width


@pytest.mark.parametrize("what", ["wave", "heat", "tree"])
def test_on_a_phone_everything_fits_the_column(page_of, what):
    page = page_of(what, viewport={"width": 390, "height": 844})
    for key in PARTS[what][0]:
        drawn = page.locator(f".st-key-{key} {PARTS[what][1]}").first
        box = drawn.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
