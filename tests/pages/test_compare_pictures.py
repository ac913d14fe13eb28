"""The Compare page with models of pictures: lanes, classes, completions, links and files."""

import json
from urllib.parse import parse_qsl

import pytest
from streamlit.testing.v1 import AppTest

from playground import registry
from playground.comparison.pictures import kept_part
from playground.decoding.presets import DEFAULT, PICTURE_DEFAULT, PICTURE_PRESETS
from playground.decoding.processors import Processor
from playground.decoding.spec import LaneSpec
from playground.ui import compare_actions, compare_state, report, report_pictures
from playground.ui.compare_table import to_csv
from tests.pages.test_compare_page import PAGE, labels, link, messages, run, session_of
from tests.picture_checkpoints import TOKENIZER, examples, write_checkpoint


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    write_checkpoint(root / "runs" / "told", n_class=4)
    write_checkpoint(root / "runs" / "untold", "pixelcnn")
    return root


@pytest.fixture
def opened(root, monkeypatch):
    monkeypatch.setattr(registry, "ROOT", root)

    def opened(**query: str) -> AppTest:
        page = AppTest.from_file(PAGE, default_timeout=120)
        for key, value in ({"model": "told", "class": "any"} | query).items():
            page.query_params[key] = value
        page.run()
        assert not page.exception
        return page

    return opened


def tokens(page: AppTest) -> list[list[list[int]]]:
    return [[d.tokens for d in lane] for lane in session_of(page).outcome.drawn]


def table(page: AppTest):
    return next(d.value for d in page.dataframe if "figure" in d.value)


def test_a_model_of_pictures_turns_the_page_into_one_for_pictures(opened):
    page = opened()
    assert labels(page) == list(PICTURE_DEFAULT)
    assert page.title[0].value == "One model of pictures, many ways to draw"
    assert page.selectbox(key="class").options == ["any", "cat", "dog", "bird", "fish"]
    keys = {w.key for w in [*page.text_area, *page.number_input, *page.toggle]}
    assert not keys & {"prompt", "length", "slide"}
    assert page.number_input(key="samples").value == 4
    assert page.selectbox(key="second").options == ["none", "untold"]
    assert page.selectbox(key="judge").options == ["none", "untold"]


def test_pictures_are_drawn_and_their_figures_stand_beside_real_ones(opened):
    page = run(opened(judge="untold"))
    assert not page.error
    drawn = tokens(page)
    assert [len(lane) for lane in drawn] == [4, 4, 4, 1]
    assert {len(picture) for lane in drawn for picture in lane} == {TOKENIZER.size}
    outcome = session_of(page).outcome
    for lane, result in zip(drawn, outcome.comparison.results(), strict=True):
        assert lane == [[step.token for step in trace.steps] for trace in result.traces]
    names = list(table(page)["figure"])
    assert names[:4] == ["bits/dim", "log p", "bits/dim, judge", "distance"]
    assert outcome.human.samples == 10
    assert all(f.bits_per_dim > 0 and f.judge_bits_per_dim > 0 for f in outcome.figures)
    assert all(f.histogram_distance is not None for f in outcome.figures)
    assert "4 pictures, whole" in messages(page)


def test_texts_and_pictures_keep_their_own_lanes(opened):
    page = run(opened())
    page.selectbox(key="add_lane").set_value("best of 4").run()
    page.selectbox(key="model").set_value("kjv-char-ngram").run()
    assert not page.exception
    assert labels(page) == list(DEFAULT)
    assert session_of(page).outcome is None
    assert page.text_area(key="prompt").value
    assert not run(page).error
    page.selectbox(key="model").set_value("untold").run()
    assert not page.exception
    assert labels(page) == [*PICTURE_DEFAULT, "best of 4"]
    assert "class" not in {box.key for box in page.selectbox}
    assert not run(page).error


def test_a_class_is_for_all_lanes_or_for_one(opened):
    lanes = link(
        LaneSpec("all"), LaneSpec("own", condition="bird"), LaneSpec("any", condition="any")
    )
    page = run(opened(lanes=lanes, **{"class": "dog"}))
    comparison = session_of(page).outcome.comparison
    assert [comparison.label_of(spec) for spec in comparison.specs] == [1, 2, None]
    assert len({tuple(lane[0]) for lane in tokens(page)}) == 3
    assert session_of(page).outcome.human.samples == 3
    assert "sample → class bird" in messages(page)


def test_the_class_of_a_lane_is_chosen_in_its_dialog(opened):
    page = opened(lanes=link(LaneSpec("x")))
    session = session_of(page)
    entry = session.entries[0]
    compare_actions.open_editor(session, entry.number)
    page.run()
    assert page.selectbox(key=f"lane.{entry.number}.class").options[:3] == [
        "as the page", "any", "cat",
    ]  # fmt: skip
    page.selectbox(key=f"lane.{entry.number}.class").set_value("fish").run()
    assert entry.spec.condition == "fish"
    strategies = page.selectbox(key=f"lane.{entry.number}.strategy").options
    assert "beam search" in strategies
    assert "contrastive search" not in strategies
    offered = page.selectbox(key=f"lane.{entry.number}.add").options
    assert not [o for o in offered if "regex" in o or "bad_words" in o]
    page.selectbox(key=f"lane.{entry.number}.combination").set_value("guided").run()
    keys = {w.key for w in [*page.text_area, *page.number_input]}
    assert f"lane.{entry.number}.combination.guided.guidance_scale" in keys
    assert not [key for key in keys if "negative_prompt" in key]
    page.button(key="lane.done").click().run()
    assert not run(page).error


def test_every_preset_can_be_added_and_run(opened):
    page = opened()
    added = [name for name in PICTURE_PRESETS if name not in PICTURE_DEFAULT]
    for first in range(0, len(added), 4):
        page.button(key="reset_lanes").click().run() if first else None
        for name in added[first : first + 4]:
            page.selectbox(key="add_lane").set_value(name).run()
        page = run(page)
        assert not page.error
    assert [e.spec.label for e in session_of(page).entries][4:] == added[first:]


def test_guidance_gets_a_class_where_none_is_told(opened):
    page = opened()
    page.selectbox(key="add_lane").set_value("guidance 2").run()
    assert session_of(page).entries[-1].spec.condition == "cat"
    page = opened(**{"class": "dog"})
    page.selectbox(key="add_lane").set_value("guidance 2").run()
    assert session_of(page).entries[-1].spec.condition == ""


def test_lanes_complete_an_example(opened):
    page = run(opened(example="4", rows="2", lanes=link(LaneSpec("x", samples=2))))
    kept = kept_part(TOKENIZER, examples()[3], 2)
    comparison = session_of(page).outcome.comparison
    assert comparison.prompt == (TOKENIZER.bos_token, *kept)
    assert {len(picture) for picture in tokens(page)[0]} == {TOKENIZER.size - len(kept)}
    page.slider(key="rows").set_value(5).run()
    assert "Settings have changed" in messages(page)
    assert len(run(page) and tokens(page)[0][0]) == 7


def test_the_link_of_the_report_makes_the_same_pictures(opened):
    lanes = (PICTURE_PRESETS["sample"], PICTURE_PRESETS["guidance 2"].but(condition=2))
    query = {"lanes": link(*lanes), "seed": "7", "example": "2", "rows": "3", "class": "dog"}
    first = run(opened(**query))
    outcome = session_of(first).outcome
    written = compare_state.address(outcome.settings, outcome.specs)
    again = dict(parse_qsl(written.split("?")[1]))
    assert again.items() >= (query | {"model": "told"}).items()
    second = run(opened(**again))
    assert tokens(second) == tokens(first)
    assert session_of(second).outcome.settings == outcome.settings


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"class": "horse"}, "names the class “horse”"),
        ({"example": "99"}, "names the example “99”"),
        ({"example": "2", "rows": "6"}, "sets rows to “6”"),
        ({"judge": "kjv-char-ngram"}, "names the judge"),
    ],
)
def test_a_link_that_names_nothing_says_so_and_the_page_runs(opened, query, says):
    page = opened(lanes=link(LaneSpec("x")), **query)
    assert says in messages(page)
    assert not run(page).error


@pytest.mark.parametrize(
    ("lane", "says"),
    [
        (LaneSpec("x", condition="horse"), "no class 'horse'"),
        (LaneSpec("x", processors=(Processor("regex", "a"),)), "regex is not for pictures"),
        (LaneSpec("x", "prompt_lookup"), "prompt_lookup is not for pictures"),
        (PICTURE_PRESETS["guidance 2"], "Guidance leads towards a class"),
        (LaneSpec("x", model="kjv-char-ngram"), "tokenizer"),
    ],
)
def test_a_lane_that_cannot_be_drawn_is_refused_before_work(opened, lane, says):
    page = opened(lanes=link(lane))
    page.button(key="run").click().run()
    assert not page.exception
    assert says in messages(page)
    assert session_of(page).outcome is None


def test_more_values_than_are_kept_are_refused(opened, monkeypatch):
    monkeypatch.setattr(compare_actions, "MAX_PICTURE_TOKENS", 100)
    page = opened()
    page.button(key="run").click().run()
    assert "at most 100 are made in one run" in messages(page)


def test_a_chosen_picture_is_large_and_its_pixels_tell_what_else_could_have_come(opened):
    page = run(opened(lanes=link(PICTURE_PRESETS["top-p 0.9"], PICTURE_PRESETS["beam search"])))
    session = session_of(page)
    for entry in session.entries:
        page.session_state[f"sheet_{entry.number}"] = {"choose": {"index": 0}}
        session.picked = (entry.number, 0, 10)
        page.run()
        assert not page.exception
        assert "Click a picture" not in messages(page)
    for picked in (
        (99, 0, 0),
        (session.entries[0].number, 7, 0),
        (session.entries[0].number, 0, 999),
    ):
        session.picked = picked
        page.run()
        assert not page.exception


def test_everything_can_be_taken_along(opened):
    page = run(opened(lanes=link(PICTURE_PRESETS["sample"], LaneSpec("<b>", "greedy"))))
    files = {button.label for button in page.get("download_button")}
    assert {"Report (HTML)", "Contact sheet (PNG)", "Figures (CSV)"} <= files
    outcome = session_of(page).outcome
    rows = outcome.telling[1].rows
    head, *lines = to_csv(rows).splitlines()
    assert head.startswith("lane,bits_per_dim,log_likelihood")
    assert [line.split(",")[0] for line in lines] == ["sample", "<b>", "real pictures"]
    story = report.Story(
        settings=outcome.settings, labels=["sample", "<b>"],
        results=outcome.comparison.results(), rows=rows, tokenizer=TOKENIZER, prompt="",
        real=outcome.real,
    )  # fmt: skip
    html = report.to_html(story)
    assert html.count('src="data:image/png;base64,') == 4  # two lanes, one map, real ones
    assert "img-src data:" in html
    assert "<b>" not in html
    assert "Where the pictures of a lane differ" in html
    assert report_pictures.sheet_of(story).startswith(b"\x89PNG")
    data = json.loads(report.to_json(story))
    assert len(data["lanes"][0]["traces"][0]["steps"]) == TOKENIZER.size
    assert data["lanes"][0]["figures"]["pairwise_distance"] > 0


def test_a_first_comparison_draws_a_class(root, monkeypatch):
    monkeypatch.setattr(registry, "ROOT", root)
    page = AppTest.from_file(PAGE, default_timeout=120)
    page.query_params["model"] = "told"
    page.run()
    first = page.selectbox(key="class").options[1]
    assert page.selectbox(key="class").value == first
    assert session_of(run(page)).outcome.settings.condition == first
