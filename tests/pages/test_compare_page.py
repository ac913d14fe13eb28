"""The Compare page runs without an exception, and its lanes do what link and widgets say."""

import json
import re
from urllib.parse import parse_qsl

import pytest
from streamlit.testing.v1 import AppTest

from playground.decoding.presets import DEFAULT, PRESETS
from playground.decoding.processors import Processor
from playground.decoding.spec import LaneSpec, specs_to_text
from playground.ui import compare_actions, compare_state
from tests.helpers import ROOT

PAGE = str(ROOT / "pages" / "4_Compare.py")
NGRAM = {"model": "kjv-char-ngram", "judge": "none", "length": "12"}


def compare_page(**query: str) -> AppTest:
    page = AppTest.from_file(PAGE, default_timeout=120)
    for key, value in (NGRAM | query).items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    return page


def link(*specs: LaneSpec) -> str:
    return specs_to_text(list(specs))


def session_of(page: AppTest):
    return page.session_state["_compare"]


def labels(page: AppTest) -> list[str]:
    return [entry.spec.label for entry in session_of(page).entries]


def run(page: AppTest) -> AppTest:
    """Press Run and let the ticks of the fragment pass."""
    page.button(key="run").click().run()
    for _ in range(200):
        assert not page.exception
        if session_of(page).pace == "still":
            return page
        page.run()
    raise AssertionError("the run does not end")


def texts(page: AppTest) -> list[list[str]]:
    return [["".join(d.texts) for d in lane] for lane in session_of(page).outcome.drawn]


def messages(page: AppTest) -> str:
    """All messages as they are read: without the backslashes that keep Markdown out."""
    shown = " ".join(e.value for e in [*page.error, *page.warning, *page.info, *page.caption])
    return re.sub(r"\\(\W|_)", r"\1", shown)


def test_the_first_visit_offers_a_comparison_and_one_button():
    page = AppTest.from_file(PAGE, default_timeout=120).run()
    assert not page.exception
    assert labels(page) == list(DEFAULT)
    assert "Press **Run**" in messages(page)
    assert page.button(key="run").label == "Run"


def test_run_writes_the_texts_and_their_figures():
    page = run(compare_page())
    outcome = session_of(page).outcome
    assert [len(lane[0].texts) for lane in outcome.drawn] == [12] * len(DEFAULT)
    for lane, result in zip(outcome.drawn, outcome.comparison.results(), strict=True):
        assert lane[0].tokens == [step.token for step in result.traces[0].steps]
    assert all(figures.perplexity > 1 for figures in outcome.figures)
    assert outcome.human is not None
    table = next(d.value for d in page.dataframe if "figure" in d.value)
    assert list(table["figure"])[:3] == ["tokens", "log p", "perplexity"]
    assert "Ran on **CPU**" in messages(page)
    assert not page.error


def test_a_judge_and_a_second_model_share_the_tokens():
    lanes = link(PRESETS["speculative"], PRESETS["contrastive decoding"])
    page = compare_page(
        model="kjv-char-transformer", judge="kjv-char-lstm", length="4", lanes=lanes
    )
    offered = page.selectbox(key="second").options
    assert "kjv-char-ngram" in offered
    assert not [name for name in offered if name.startswith("prose")]
    page = run(page)
    assert not page.error
    assert all(figures.judge_perplexity > 1 for figures in session_of(page).outcome.figures)


def test_the_link_sets_lanes_prompt_and_seed_and_gives_the_same_texts():
    specs = (
        LaneSpec("warm", processors=(Processor("top_p", 0.8), Processor("temperature", 1.4))),
        LaneSpec("beams", "beam_search", {"num_beams": 3}),
        LaneSpec("three", samples=3),
    )
    query = {"lanes": link(*specs), "prompt": "And he ", "seed": "11"}
    first, second = run(compare_page(**query)), run(compare_page(**query))
    assert labels(first) == ["warm", "beams", "three"]
    assert [entry.spec for entry in session_of(first).entries] == list(specs)
    assert texts(first) == texts(second)
    assert len(set(texts(first)[2])) == 3
    other = run(compare_page(**query | {"seed": "12"}))
    assert texts(other) != texts(first)


@pytest.mark.parametrize(
    ("lanes", "says"),
    [
        ("garbage", "no JSON"),
        ("[]", "a list of 1 to 8"),
        ("[1]", "must be a dictionary"),
        (json.dumps([{"label": "x", "strategy": "sample"}] * 9), "a list of 1 to 8"),
        ('[{"label":"x","strategy":"beam_search","settings":{"num_beams":10000}}]', "10000"),
        ('[{"label":"x","strategy":"<b>guess</b>"}]', "<b>guess</b>"),
        ('[{"label":"x","processors":[["top_p",{"top_p":7}]]}]', "top_p must be"),
        ('[{"label":"x","strategy":"diverse_beam_search","settings":'
         '{"num_beams":5,"num_beam_groups":2}}]', "must divide num_beams"),
        ('[{"label":"x","strategy":"beam_search","settings":{"num_beams":5},"processors":'
         '[["top_k",{"top_k":2}]]}]', "top_k=2 leaves fewer"),
        ('[{"label":"x","samples":"many"}]', "samples"),
        ("[" * 5000, "no JSON"),
    ],
)  # fmt: skip
def test_lanes_of_a_link_that_cannot_be_used_are_explained(lanes, says):
    page = compare_page(lanes=lanes)
    assert says in messages(page)
    assert "The usual lanes are shown instead" in messages(page)
    assert labels(page) == list(DEFAULT)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"model": "gpt-9"}, "names the model “gpt-9”"),
        ({"judge": "nobody"}, "names the judge"),
        ({"device": "tpu"}, "names the device"),
        ({"second": "prose-bpe-transformer"}, "names the second"),
        ({"seed": "soon"}, "sets seed"),
        ({"length": "1000000"}, "sets length"),
    ],
)
def test_a_link_that_names_nothing_says_so_and_the_page_runs(query, says):
    page = compare_page(**query)
    assert says in messages(page)
    page.number_input(key="length").set_value(3).run()
    assert not run(page).error


@pytest.mark.parametrize(
    ("lane", "says"),
    [
        (LaneSpec("x", processors=(Processor("regex", "("),)), "The lane 'x' cannot run: regex"),
        (LaneSpec("x", "constrained_beam_search", {"num_beams": 3}), "word"),
        (LaneSpec("x", "constrained_beam_search", {"num_beams": 3}, words="\u05e9"), "never seen"),
        (LaneSpec("x", combination="ensemble", second="prose-bpe-transformer"), "tokenizer"),
        (LaneSpec("x", second="nobody", combination="ensemble"), "nobody"),
        (LaneSpec("x", combination="ensemble", combination_settings={"x": 1}), "no such setting"),
    ],
)  # fmt: skip
def test_a_lane_that_cannot_run_is_refused_before_work_and_texts_are_kept(lane, says):
    page = run(compare_page())
    before = texts(page)
    session_of(page).replace_all([lane])
    page.button(key="run").click().run()
    assert not page.exception
    assert says in messages(page)
    assert session_of(page).pace == "still"
    assert texts(page) == before


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("caf\u00e9", "U+00E9"),
        ("<script>alert(1)</script>", "has never seen"),
        ("x" * 100_000, "100,000 characters"),
    ],
)
def test_prompts_that_cannot_be_read_are_explained(prompt, says):
    page = compare_page()
    page.text_area(key="prompt").set_value(prompt).run()
    if "run" in [button.key for button in page.button]:
        page.button(key="run").click().run()
    assert not page.exception
    assert says in messages(page)
    page.text_area(key="prompt").set_value("").run()
    assert not run(page).error
    assert len(texts(page)[0][0]) >= 12


def test_a_full_context_keeps_what_was_written():
    page = run(compare_page(model="kjv-char-transformer", prompt="And it came to pass. " * 24,
                            lanes=link(LaneSpec("greedy", "greedy")), length="40"))  # fmt: skip
    assert "context" in messages(page)
    assert len(session_of(page).outcome.drawn[0][0].tokens) > 1
    page.toggle(key="slide").set_value(True).run()
    assert not run(page).error
    assert len(session_of(page).outcome.drawn[0][0].tokens) == 40


def test_more_tokens_than_are_kept_are_refused():
    page = compare_page(length="2000", lanes=link(LaneSpec("many", samples=16)))
    page.button(key="run").click().run()
    assert "20,000" in messages(page)
    assert session_of(page).outcome is None


def test_stop_keeps_what_is_there(monkeypatch):
    monkeypatch.setattr(compare_actions, "FIRST_TICK_S", 0.0)
    monkeypatch.setattr(compare_actions, "TICK_S", 0.0)
    page = compare_page(length="200", lanes=link(LaneSpec("x"), LaneSpec("y", "greedy")))
    page.button(key="run").click().run()
    page.button(key="stop").click().run()
    for _ in range(5):
        page.run()
    assert not page.exception
    assert session_of(page).pace == "still"
    assert 0 < len(texts(page)[0][0]) < 200
    assert session_of(page).outcome.is_weighed


def test_a_preset_is_added_and_a_ninth_lane_refused():
    page = compare_page()
    for name in ("mirostat", "DoLa", "typical 0.9", "min-p 0.1"):
        page.selectbox(key="add_lane").set_value(name).run()
    assert labels(page)[-1] == "min-p 0.1"
    page.selectbox(key="add_lane").set_value("mirostat").run()
    assert len(labels(page)) == 8
    assert "At most 8 lanes" in messages(page)
    page.button(key="reset_lanes").click().run()
    assert labels(page) == list(DEFAULT)


def test_samples_are_of_lanes_that_draw():
    page = compare_page()
    page.number_input(key="samples").set_value(3).run()
    assert [entry.spec.samples for entry in session_of(page).entries] == [1, 3, 3, 1]
    page = run(page)
    assert [len(lane) for lane in texts(page)] == [1, 3, 3, 1]
    page.segmented_control(key="sample_shown").set_value("all").run()
    assert not page.exception
    assert session_of(page).outcome.figures[1].self_bleu is not None


def edited(page: AppTest, which: int = 0):
    """Open the dialog of a lane; return its entry and the beginning of its widgets' keys."""
    entry = session_of(page).entries[which]
    compare_actions.open_editor(session_of(page), entry.number)
    page.run()
    assert not page.exception
    return entry, f"lane.{entry.number}"


def test_a_lane_is_edited_by_hand():
    page = compare_page()
    entry, key = edited(page)
    page.text_input(key=f"{key}.label").set_value("mine").run()
    page.selectbox(key=f"{key}.strategy").set_value("beam_search").run()
    page.number_input(key=f"{key}.strategy.beam_search.num_beams").set_value(3).run()
    page.selectbox(key=f"{key}.add").set_value("temperature").run()
    page.selectbox(key=f"{key}.add").set_value("repetition_penalty").run()
    page.number_input(key=f"{key}.processor.temperature.temperature").set_value(0.6).run()
    assert not page.exception
    assert entry.spec.label == "mine"
    assert (entry.spec.strategy, dict(entry.spec.settings)) == ("beam_search", {"num_beams": 3})
    assert [p.name for p in entry.spec.processors] == ["repetition_penalty", "temperature"]
    assert entry.spec.processors[1].value == 0.6
    page.button(key="lane.done").click().run()
    assert session_of(page).editing is None
    assert not run(page).error


def test_the_order_of_processors_is_changed_by_name_and_by_hand():
    lane = LaneSpec("x", processors=(Processor("temperature", 1.5), Processor("top_p", 0.9)))
    page = compare_page(lanes=link(lane))
    entry, key = edited(page)
    order = page.segmented_control(key=f"{key}.order.transformers'")
    order.set_value("llama.cpp's").run()
    assert [p.name for p in entry.spec.processors] == ["top_p", "temperature"]
    page.button(key=f"{key}.up.temperature").click().run()
    assert [p.name for p in entry.spec.processors] == ["temperature", "top_p"]
    page.button(key=f"{key}.remove.top_p").click().run()
    assert [p.name for p in entry.spec.processors] == ["temperature"]
    assert not page.exception


def test_settings_that_contradict_each_other_leave_the_lane_as_it_was():
    page = compare_page(lanes=link(PRESETS["diverse beams"]))
    entry, key = edited(page)
    beams = f"{key}.strategy.diverse_beam_search.num_beams"
    page.number_input(key=beams).set_value(5).run()
    assert "must divide num_beams" in messages(page)
    assert entry.spec.settings["num_beams"] == 6
    page.number_input(key=beams.replace("num_beams", "num_beam_groups")).set_value(5).run()
    assert not page.error
    assert (entry.spec.settings["num_beams"], entry.spec.settings["num_beam_groups"]) == (5, 5)


def test_lanes_are_duplicated_moved_and_removed():
    page = compare_page()
    edited(page)
    page.button(key="lane.duplicate").click().run()
    assert labels(page)[:2] == ["greedy", "greedy 2"]
    page.button(key="lane.right").click().run()
    assert labels(page)[2] == "greedy 2"
    page.button(key="lane.remove").click().run()
    assert not page.exception
    assert labels(page) == list(DEFAULT)


def test_every_strategy_and_combination_can_be_chosen_and_run():
    page = compare_page(model="kjv-char-transformer", length="3", lanes=link(LaneSpec("x")))
    entry, key = edited(page)
    for strategy in page.selectbox(key=f"{key}.strategy").options:
        page.selectbox(key=f"{key}.strategy").set_value(strategy.replace(" ", "_")).run()
        assert not page.exception, strategy
        assert entry.spec.strategy == strategy.replace(" ", "_")
    page.selectbox(key=f"{key}.strategy").set_value("greedy").run()
    for combination in ("guided", "contrastive_decoding", "dola", "ensemble"):
        page.selectbox(key=f"{key}.combination").set_value(combination).run()
        assert entry.spec.combination == combination
        page.button(key="lane.done").click().run()
        page = run(page)
        assert not page.error, combination
        edited(page)


def test_a_clicked_token_shows_its_candidates():
    page = run(compare_page(lanes=link(PRESETS["nucleus 0.9"], PRESETS["beam search"])))
    session = session_of(page)
    for entry in session.entries:
        session.picked = (entry.number, 0, 3)
        page.run()
        assert not page.exception
    assert [d for d in page.dataframe if "log p of the text" in d.value]
    session.picked = (99, -1, 10**9)
    page.run()
    assert not page.exception


def test_a_lane_that_changed_since_the_run_is_told():
    page = run(compare_page())
    entry = session_of(page).entries[0]
    entry.spec = entry.spec.but(strategy="sample")
    page.run()
    assert "Settings have changed" in messages(page)


def test_messages_quote_visitors_without_markup():
    page = compare_page(model="![x](http://e.test/y)")
    assert "](http" not in page.warning[0].value.replace("\\", "\0")


def test_two_lanes_cannot_have_one_name():
    page = compare_page(lanes=link(LaneSpec("one"), LaneSpec("one"), LaneSpec("human text")))
    assert labels(page) == ["one", "one 2", "human text 2"]
    entry, key = edited(page, 1)
    page.text_input(key=f"{key}.label").set_value("one").run()
    assert "There is another 'one' already" in messages(page)
    assert entry.spec.label == "one 2"


def test_the_link_of_the_report_makes_the_same_texts():
    specs = (LaneSpec("a", samples=2), LaneSpec("b", processors=(Processor("top_k", 3),)))
    first = run(compare_page(prompt="And he ", seed="5", lanes=link(*specs)))
    outcome = session_of(first).outcome
    written = compare_state.address(outcome.settings, outcome.specs)
    query = dict(parse_qsl(written.split("?")[1]))
    second = run(compare_page(**query))
    assert texts(second) == texts(first)
    assert session_of(second).outcome.settings == outcome.settings
    assert second.number_input(key="samples").value == 2
