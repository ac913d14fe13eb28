"""The Compare page with models of sound: lanes, classes, texts, continuations, links and files."""

import io
import json
import zipfile
from urllib.parse import parse_qsl

import pytest
import soundfile
from streamlit.testing.v1 import AppTest

from playground import registry
from playground.comparison.sounds import kept_part
from playground.decoding.presets import PICTURE_DEFAULT, SOUND_DEFAULT, SOUND_PRESETS
from playground.decoding.processors import Processor
from playground.decoding.spec import LaneSpec
from playground.ui import compare_actions, compare_state, report, report_sounds
from playground.ui.compare_table import to_csv
from tests.pages.test_compare_page import PAGE, labels, link, messages, run, session_of
from tests.sound_checkpoints import ALPHABET, TOKENIZER, examples, write_checkpoint

SHORT = 400  # samples: 0.05 s


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    write_checkpoint(root / "runs" / "told", n_class=3)
    write_checkpoint(root / "runs" / "untold")
    write_checkpoint(root / "runs" / "speaks", alphabet=ALPHABET)
    write_checkpoint(
        root / "runs" / "looks", "transformer", vocab_size=257, context_length=128,
        n_layer=1, n_head=2, n_embd=16,
    )  # fmt: skip
    return root


@pytest.fixture
def opened(root, monkeypatch):
    monkeypatch.setattr(registry, "ROOT", root)

    def opened(**query: str) -> AppTest:
        page = AppTest.from_file(PAGE, default_timeout=120)
        for key, value in ({"model": "told", "class": "any", "seconds": "0.05"} | query).items():
            page.query_params[key] = value
        page.run()
        assert not page.exception
        return page

    return opened


def tokens(page: AppTest) -> list[list[list[int]]]:
    return [[d.tokens for d in lane] for lane in session_of(page).outcome.drawn]


def test_a_model_of_sound_turns_the_page_into_one_for_sounds(opened):
    page = opened()
    assert labels(page) == list(SOUND_DEFAULT)
    assert page.title[0].value == "One model of sound, many ways to decode"
    assert page.selectbox(key="class").options == ["any", "kick", "snare", "bell"]
    keys = {w.key for w in [*page.text_area, *page.number_input, *page.toggle, *page.text_input]}
    assert not keys & {"prompt", "length", "slide", "say"}
    assert page.slider(key="seconds").value == 0.05
    assert set(page.selectbox(key="judge").options) >= {"none", "looks", "speaks", "untold"}
    assert not [name for name in page.selectbox(key="second").options if "kjv" in name]


def test_sounds_grow_and_their_figures_stand_beside_real_ones(opened):
    page = run(opened(judge="untold"))
    assert not page.error
    made = tokens(page)
    assert [len(lane) for lane in made] == [2, 2, 2, 1]
    assert {len(sound) for lane in made for sound in lane} == {SHORT}
    outcome = session_of(page).outcome
    for lane, result in zip(made, outcome.comparison.results(), strict=True):
        assert lane == [[step.token for step in trace.steps] for trace in result.traces]
    told = next(d.value for d in page.dataframe if "figure" in d.value)
    assert list(told["figure"])[:4] == ["bits/sample", "entropy", "log p", "bits/sample, judge"]
    assert "nearly silent" in list(told["figure"])
    assert outcome.human.samples == 3
    assert all(f.bits_per_sample > 0 and f.real_distance > 0 for f in outcome.figures)
    assert "2 sounds, 0.05 s" in messages(page)
    assert len(page.get("audio")) == 7 + 3  # of the lanes, and the real ones


def test_waveforms_grow_while_it_runs(opened):
    page = opened(seconds="2.0", lanes=link(LaneSpec("x")))
    page.button(key="run").click().run()
    session = session_of(page)
    assert session.pace == "run"
    assert 0 < len(session.outcome.drawn[0][0].tokens) < 2 * TOKENIZER.sample_rate
    assert not page.get("audio")
    page.button(key="stop").click().run()
    for _ in range(5):
        page.run()
    assert session.pace == "still"
    assert len(page.get("audio")) == 1 + 3


def test_pictures_and_sounds_keep_their_own_lanes(opened, root, tmp_path):
    page = run(opened())
    page.selectbox(key="add_lane").set_value("best of 4").run()
    page.selectbox(key="model").set_value("untold").run()
    assert not page.exception
    assert labels(page) == [*SOUND_DEFAULT, "best of 4"]
    assert "class" not in {box.key for box in page.selectbox}
    assert not run(page).error
    assert set(SOUND_DEFAULT) != set(PICTURE_DEFAULT)


def test_a_model_that_speaks_is_told_a_text_and_each_lane_may_have_its_own(opened):
    lanes = link(
        LaneSpec("all"), LaneSpec("own", condition="two"), LaneSpec("any", condition="any")
    )
    page = run(opened(model="speaks", say="One  two", lanes=lanes))
    comparison = session_of(page).outcome.comparison
    assert [comparison.label_of(spec) for spec in comparison.specs] == ["one two", "two", None]
    assert len({tuple(lane[0]) for lane in tokens(page)}) == 3
    session = session_of(page)
    compare_actions.open_editor(session, session.entries[1].number)
    page.run()
    box = page.text_input(key=f"lane.{session.entries[1].number}.class")
    assert box.value == "two"
    box.set_value("three").run()
    assert session.entries[1].spec.condition == "three"
    page.button(key="lane.done").click().run()
    assert not run(page).error


@pytest.mark.parametrize("text", ["na\u00efve 4", "x" * 61])
def test_a_text_that_cannot_be_spoken_is_refused(opened, text):
    page = opened(model="speaks")
    page.text_input(key="say").set_value(text).run()
    assert not page.exception
    assert page.error or page.text_input(key="say").value != text


def test_no_text_stays_no_text_in_the_link(opened):
    page = run(opened(model="speaks", lanes=link(LaneSpec("x"))))
    outcome = session_of(page).outcome
    assert outcome.comparison.label is None
    again = dict(parse_qsl(compare_state.address(outcome.settings, outcome.specs).split("?")[1]))
    assert tokens(run(opened(**again))) == tokens(page)


def test_every_preset_can_be_added_and_run(opened):
    page = opened(**{"class": "bell"})
    added = [name for name in SOUND_PRESETS if name not in SOUND_DEFAULT]
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
    assert session_of(page).entries[-1].spec.condition == "kick"


def test_lanes_continue_an_example(opened):
    page = run(opened(example="2", keep="0.05", lanes=link(LaneSpec("x", samples=2))))
    kept = kept_part(TOKENIZER, examples()[1], 0.05)
    assert len(kept) == SHORT
    comparison = session_of(page).outcome.comparison
    assert comparison.prompt[0] == TOKENIZER.bos_token
    assert sum(a != b for a, b in zip(comparison.prompt[1:], kept, strict=True)) < 5  # 16 bits
    assert {len(sound) for sound in tokens(page)[0]} == {SHORT}
    page.slider(key="keep").set_value(0.1).run()
    assert "Settings have changed" in messages(page)


def test_a_short_context_slides_without_being_told(opened):
    page = run(opened(model="looks", lanes=link(LaneSpec("x"))))
    assert not page.error
    assert len(tokens(page)[0][0]) == SHORT


def test_the_link_of_the_report_makes_the_same_sounds(opened):
    lanes = (SOUND_PRESETS["sample"], SOUND_PRESETS["guidance 2"].but(condition=2))
    query = {"lanes": link(*lanes), "seed": "7", "example": "1", "keep": "0.05", "class": "snare",
             "seconds": "0.1"}  # fmt: skip
    first = run(opened(**query))
    outcome = session_of(first).outcome
    again = dict(parse_qsl(compare_state.address(outcome.settings, outcome.specs).split("?")[1]))
    assert again.items() >= (query | {"model": "told"}).items()
    second = run(opened(**again))
    assert tokens(second) == tokens(first)
    assert session_of(second).outcome.settings == outcome.settings


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"class": "horn"}, "names the class “horn”"),
        ({"example": "99"}, "names the example “99”"),
        ({"seconds": "60"}, "sets seconds to “60”"),
        ({"example": "2", "keep": "x"}, "sets keep to “x”"),
    ],
)
def test_a_link_that_names_nothing_says_so_and_the_page_runs(opened, query, says):
    page = opened(lanes=link(LaneSpec("x")), **query)
    assert says in messages(page)
    if "seconds" not in query:
        assert not run(page).error


@pytest.mark.parametrize(
    ("lane", "says"),
    [
        (LaneSpec("x", condition="horn"), "no class 'horn'"),
        (LaneSpec("x", processors=(Processor("regex", "a"),)), "regex is not for sounds"),
        (LaneSpec("x", "prompt_lookup"), "prompt_lookup is not for sounds"),
        (SOUND_PRESETS["guidance 2"], "Guidance leads towards a class"),
    ],
)
def test_a_lane_that_cannot_sound_is_refused_before_work(opened, lane, says):
    page = opened(lanes=link(lane))
    page.button(key="run").click().run()
    assert not page.exception
    assert says in messages(page)
    assert session_of(page).outcome is None


def test_more_samples_than_are_kept_are_refused(opened):
    page = opened(seconds="2.0", lanes=link(*[LaneSpec(f"x{i}", samples=2) for i in range(5)]))
    page.button(key="run").click().run()
    assert "at most 130,000 are made in one run" in messages(page)


def test_inside_a_sound_its_samples_tell_what_else_could_have_come(opened):
    page = run(
        opened(
            example="1",
            keep="0.05",
            lanes=link(SOUND_PRESETS["top-p 0.95"], SOUND_PRESETS["beam search"]),
        )
    )
    session = session_of(page)
    for entry in session.entries:
        page.button(key=f"look_{entry.number}_0").click().run()
        assert not page.exception
        number, sample, index = session.picked
        bits = session.drawn(entry)[0].bits
        assert (number, sample) == (entry.number, 0)
        assert bits[index] == max(bits)
        assert "Look inside a sound" not in messages(page)
    first = session.entries[0].number
    page.session_state["inside_sound"] = {"go": {"sample": 3}}
    compare_actions.from_waveform(session)
    for picked in (session.picked, (first, 0, SHORT - 1), (first, 0, -1), (99, 0, 0),
                   (first, 7, 0), (first, 0, 10**6)):  # fmt: skip
        session.picked = picked
        page.run()
        assert not page.exception


def test_everything_can_be_taken_along(opened):
    page = run(opened(lanes=link(SOUND_PRESETS["sample"], LaneSpec("<b>", "greedy"))))
    files = {button.label for button in page.get("download_button")}
    assert {"Report (HTML)", "Sounds (ZIP of WAV)", "Figures (CSV)"} <= files
    outcome = session_of(page).outcome
    rows = outcome.telling[1].rows
    head, *lines = to_csv(rows).splitlines()
    assert head.startswith("lane,bits_per_sample,entropy,log_likelihood")
    assert [line.split(",")[0] for line in lines] == ["sample", "<b>", "real sounds"]
    story = report.Story(
        settings=outcome.settings, labels=["sample", "<b>"],
        results=outcome.comparison.results(), rows=rows, tokenizer=TOKENIZER, prompt="",
        real=outcome.real,
    )  # fmt: skip
    html = report.to_html(story)
    assert html.count('<audio controls src="data:audio/flac;base64,') == 3 + 3
    assert "media-src data:" in html
    assert "<b>" not in html
    with zipfile.ZipFile(io.BytesIO(report_sounds.archive(story))) as archive:
        assert archive.namelist() == ["1-sample-1.wav", "1-sample-2.wav", "2-b-1.wav"]
        samples, rate = soundfile.read(io.BytesIO(archive.read("1-sample-2.wav")))
    assert rate == TOKENIZER.sample_rate
    assert TOKENIZER.encode(samples) == tokens(page)[0][1]
    data = json.loads(report.to_json(story))
    assert len(data["lanes"][0]["traces"][0]["steps"]) == SHORT
    assert data["lanes"][0]["figures"]["spectral_distance"] > 0
