"""The Text page on an encoder-decoder: its source, and where in it the model looks."""

import pytest
from streamlit.testing.v1 import AppTest

from playground import registry
from playground.registry import ModelCard
from playground.ui import translation
from tests.pages.opened import opened, run_to_end
from tests.tiny_models import VOCAB_SIZE
from tests.tiny_seq2seq import seq2seq_folder, tiny_seq2seq, turning_round_folder

TEXT = "1_Text"


@pytest.fixture
def turner(tmp_path, monkeypatch):
    """Let the page have one model: what has learned to write words of a to p backwards."""
    card = ModelCard("turner", "Turner", "text", "", "", turning_round_folder(tmp_path))
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    monkeypatch.setattr(registry, "MODELS", (card,))


def stepper_of(page: AppTest):
    return page.session_state["_text"].stepper


def written(page: AppTest) -> str:
    stepper = stepper_of(page)
    return stepper.tokenizer.decode(stepper.tokens)


def test_a_source_is_written_about_from_the_link_and_anew_when_it_changes(turner):
    page = opened(TEXT, source="pageboil", strategy="greedy")
    run_to_end(page, "_text")
    assert written(page) == "liobegap"
    assert stepper_of(page).has_ended
    page.text_area(key="source").set_value("abcdefgh").run()
    assert not page.exception
    assert len(stepper_of(page).tokens) == 1  # begun afresh
    run_to_end(page, "_text")
    assert written(page) == "hgfedcba"


def test_what_is_written_can_be_begun(turner):
    page = opened(TEXT, source="pageboil", strategy="greedy", begin="liob")
    assert written(page) == "liob"
    run_to_end(page, "_text")
    assert written(page) == "liobegap"


def test_the_lens_shows_where_in_the_source_the_decision_looks(turner):
    page = opened(TEXT, source="pageboil", strategy="greedy")
    page.session_state["inside_open"] = True
    page.run()
    assert not page.exception
    for step in range(4):
        stepper = stepper_of(page)
        found = translation.weights_of(stepper.model, stepper.prefix)
        assert found.shape == (1, 1, 9)
        assert found.sum() == pytest.approx(1)
        assert found[0, 0].argmax() == 7 - step  # the letter that is written next
        page.button(key="step").click().run()
        assert not page.exception
    assert any("read the source weigh it" in caption.value for caption in page.caption)
    assert page.session_state["lens"] == "The source"


def test_a_source_that_is_too_long_is_told_and_the_page_goes_on(turner):
    page = opened(TEXT, source="abcdefghijklmnop")
    assert "The source has 17 tokens; this model reads 1 to 12" in page.error[0].value.replace(
        "\\", ""
    )
    page.text_area(key="source").set_value("abc").run()
    assert not page.error


def test_an_encoder_decoder_that_starts_with_its_end_can_be_stepped(tmp_path, monkeypatch):
    card = ModelCard("bart", "BART", "text", "", "", seq2seq_folder("bart", tmp_path))
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    monkeypatch.setattr(registry, "MODELS", (card,))
    page = opened(TEXT, source="the cat", strategy="greedy")
    assert stepper_of(page).tokens == (1, 0)  # </s> <s>, which the model is not asked
    page.button(key="step").click().run()
    assert not page.exception
    assert len(stepper_of(page).tokens) == 3


def test_tasks_are_those_of_the_config_and_bounded():
    config = tiny_seq2seq("t5").config
    assert config.vocab_size == VOCAB_SIZE
    assert translation.tasks_of(config) == {}

    class Told:
        task_specific_params = {  # noqa: RUF012
            "summarization": {"prefix": "summarize: ", "num_beams": 4},
            "translation_en_to_de": {"prefix": "translate English to German: "},
            "broken": ["prefix"],
            "long": {"prefix": "x" * 1000},
            "number": {"prefix": 3},
        }

    assert translation.tasks_of(Told) == {
        "summarization": "summarize: ",
        "translation en to de": "translate English to German: ",
    }
