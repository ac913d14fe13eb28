"""The pages run without an exception, and their widgets do what they say."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from playground.ui import controls
from tests.helpers import ROOT, shipped_folders
from tests.pages.opened import messages, opened


def text_page(**query: str) -> AppTest:
    return opened("1_Text", **query)


def stepper_of(page: AppTest):
    return page.session_state["_text"].stepper


def test_home_opens_and_names_the_models():
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    assert not page.exception
    assert "7\\-gram" in " ".join(c.value for c in page.caption)


@pytest.mark.parametrize("name", [folder.name for folder in shipped_folders()])
def test_every_shipped_model_steps(name):
    page = text_page(model=name)
    for expected in (1, 2):
        page.button(key="step").click().run()
        assert not page.exception
        assert len(stepper_of(page).branch.trace.steps) == expected


def test_back_and_reset_go_back():
    page = text_page(model="kjv-char-ngram")
    for _ in range(3):
        page.button(key="step").click().run()
    page.button(key="back").click().run()
    stepper = stepper_of(page)
    assert stepper.cursor == len(stepper.tokens) - 1
    page.button(key="reset").click().run()
    assert stepper_of(page).branch.trace.steps == ()


def test_a_slider_redraws_and_never_regenerates():
    page = text_page(model="kjv-char-ngram")
    for _ in range(3):
        page.button(key="step").click().run()
    before = stepper_of(page).branch.trace
    page.slider(key="temperature").set_value(0.5).run()
    assert not page.exception
    assert stepper_of(page).branch.trace == before


def test_the_link_sets_every_control():
    page = text_page(
        model="kjv-char-ngram", prompt="And he ", strategy="greedy", seed="7", temperature="0.5",
        top_k="9", top_p="0.8", min_p="0.02", typical_p="0.9", repetition_penalty="1.1",
    )  # fmt: skip
    page.button(key="step").click().run()
    trace = stepper_of(page).branch.trace
    assert (trace.model, trace.seed) == ("kjv-char-ngram", 7)
    assert trace.settings["strategy"] == "greedy"
    names = [name for name, _ in trace.settings["processors"]]
    assert names == ["repetition_penalty", "temperature", "top_k", "top_p", "min_p", "typical_p"]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"model": "gpt-9"}, "names the model “gpt-9”"),
        ({"strategy": "<b>guess</b>"}, "names the strategy"),
        ({"seed": "soon"}, "sets seed"),
        ({"seed": "-4"}, "sets seed"),
        ({"temperature": "nan"}, "sets temperature"),
        ({"top_k": "99999"}, "sets top_k"),
        ({"length": "9999999"}, "sets length"),
    ],
)
def test_a_link_that_names_nothing_says_so_and_the_page_stays(query, says):
    page = text_page(**query)
    assert says in messages(page)
    page.button(key="step").click().run()
    assert not page.exception
    assert len(stepper_of(page).branch.trace.steps) == 1


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("caf\u00e9", "U+00E9"),
        ("a\0b", "U+0000"),
        ("\u05e9\u05dc\u05d5\u05dd", "has never seen"),
        ("a\u200bb", "⟨U+200B⟩"),
        ("<script>alert(1)</script>", "has never seen"),
        ("x" * 100_000, "100,000 characters"),
        ("", "The prompt is empty"),
    ],
)
def test_prompts_that_cannot_be_read_are_explained(prompt, says):
    page = text_page(model="kjv-char-ngram")
    page.button(key="step").click().run()
    page.text_area(key="prompt").set_value(prompt).run()
    assert not page.exception
    assert says in messages(page)
    page.text_area(key="prompt").set_value(controls.PROMPT).run()
    page.button(key="step").click().run()
    assert not page.exception
    kept = 1 if not prompt else 2  # an empty prompt can be read, and starts afresh
    assert len(stepper_of(page).branch.trace.steps) == kept


def test_a_prompt_longer_than_the_context_offers_to_slide():
    page = text_page(model="kjv-char-transformer", prompt="And it came to pass. " * 60)
    assert "context is full" in messages(page)
    slide = next(b for b in page.button if b.label == "Slide the window")
    slide.click().run()
    assert not page.exception
    assert not page.error
    page.button(key="step").click().run()
    assert len(stepper_of(page).branch.trace.steps) == 1


def test_a_damaged_checkpoint_is_a_message_not_a_traceback(tmp_path, monkeypatch):
    from playground import registry

    folder = tmp_path / "checkpoints" / "broken"
    folder.mkdir(parents=True)
    tokenizer = {"type": "characters", "symbols": "abc"}
    config = {"family": "ngram", "model": {"vocab_size": 4}, "tokenizer": tokenizer}
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    page = text_page(model="broken")
    assert "checkpoint 'broken' cannot be used" in messages(page)


def test_a_message_that_quotes_a_visitor_is_no_markup():
    page = text_page(model="![x](http://e.test/y) <b>")
    assert "](http" not in page.warning[0].value.replace("\\", "\0")
    assert "![x](http://e.test/y) <b>" in messages(page)


@pytest.mark.parametrize("strategy", ["contrastive_search", "prompt_lookup"])
def test_strategies_with_one_text_can_be_stepped(strategy):
    page = text_page(model="kjv-char-transformer", strategy=strategy)
    for expected in (1, 2):
        page.button(key="step").click().run()
        assert not page.exception
        assert len(stepper_of(page).branch.trace.steps) == expected
    assert stepper_of(page).branch.trace.settings["strategy"] == strategy


def test_a_draft_guesses_what_greedy_decoding_says():
    drafted = text_page(
        model="kjv-char-transformer", strategy="speculative_decoding", draft="kjv-char-ngram",
        speculative_decoding_do_sample="false",
    )  # fmt: skip
    greedy = text_page(model="kjv-char-transformer", strategy="greedy")
    for page in (drafted, greedy):
        for _ in range(6):
            page.button(key="step").click().run()
            assert not page.exception
    assert stepper_of(drafted).tokens == stepper_of(greedy).tokens


def test_a_processor_is_switched_on_from_the_list_and_in_the_order_chosen():
    page = text_page(model="kjv-char-ngram", temperature="1.5", top_k="5")
    page.multiselect(key="more").set_value(["dry"]).run()
    assert not page.exception
    assert page.number_input(key="dry_multiplier").value == 0.8
    page.button(key="step").click().run()
    (step,) = stepper_of(page).branch.trace.steps
    assert [s.split("=")[0] for s in step.stages] == ["model", "dry", "temperature", "top_k"]
    page.segmented_control(key="order").set_value("llama.cpp").run()
    page.button(key="step").click().run()
    step = stepper_of(page).branch.trace.steps[-1]
    assert [s.split("=")[0] for s in step.stages] == ["model", "dry", "top_k", "temperature"]


def test_a_constraint_shapes_the_text_and_a_bad_one_is_explained():
    page = text_page(model="kjv-char-ngram", prompt="", choice="LORD\nGod")
    for _ in range(3):
        page.button(key="step").click().run()
        assert not page.exception
    assert _text_of(page) in ("LOR", "God")
    page = text_page(model="kjv-char-ngram", regex="[0-9]+")
    assert "regex" in messages(page)
    assert not page.exception


def _text_of(page: AppTest) -> str:
    stepper = stepper_of(page)
    return stepper.tokenizer.decode(stepper.tokens)
