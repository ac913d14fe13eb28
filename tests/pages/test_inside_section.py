"""Look inside, on every page: which lenses a model has, what they say, and what they hand out."""

import json

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from playground import registry
from playground.checkpoints import save
from playground.models.neural_ngram import NeuralNGram, NeuralNGramConfig
from playground.tokenizers.text import CharTokenizer
from tests.helpers import ROOT, with_weights

PAGES = {"text": "1_Text", "image": "2_Image", "audio": "3_Audio"}
ALL = ["Attention", "What mattered", "Layer by layer", "Memory", "Heads left out"]


def inside_page(modality: str, **query: str) -> AppTest:
    """Return a page with the section open."""
    page = AppTest.from_file(str(ROOT / "pages" / f"{PAGES[modality]}.py"), default_timeout=120)
    for key, value in query.items():
        page.query_params[key] = value
    page.session_state["inside_open"] = True
    page.run()
    assert not page.exception
    return page


def choose(page: AppTest, lens: str) -> AppTest:
    page.segmented_control(key="lens").set_value(lens).run()
    assert not page.exception
    assert not page.error
    return page


def captions(page: AppTest) -> str:
    return " ".join(c.value for c in page.caption)


@pytest.mark.parametrize(
    ("modality", "model", "lenses"),
    [
        ("text", "kjv-char-transformer", ALL),
        ("text", "kjv-char-lstm", [*ALL[1:4], "Recurrent state"]),
        ("text", "kjv-char-ngram", ["Memory"]),
        ("image", "digits-transformer-raster", ALL[2:]),
        ("image", "fashion-pixelcnn", ["Memory"]),
        ("audio", "speech-wavenet", ["Memory"]),
    ],
)
def test_a_model_has_the_lenses_it_can_answer(modality, model, lenses):
    page = inside_page(modality, model=model)
    assert list(page.segmented_control(key="lens").options) == lenses
    for lens in lenses:
        choose(page, lens)
        assert len(captions(page)) > 80  # what it shows, and what it does not


def test_what_a_model_lacks_is_said():
    said = captions(inside_page("text", model="kjv-char-ngram"))
    assert "Attention (it has no attention)" in said
    assert "What mattered (counts have no gradient)" in said


def test_another_model_begins_with_a_lens_that_it_has():
    page = choose(inside_page("text", model="kjv-char-transformer"), "Heads left out")
    page.selectbox(key="model").set_value("kjv-char-lstm").run()
    assert not page.exception
    assert page.segmented_control(key="lens").value == "What mattered"


def test_everything_is_computed_once_for_a_position():
    page = inside_page("text", model="kjv-char-transformer")
    session = page.session_state["_text"]
    of, found = session.seen
    assert of[-1] == session.stepper.prefix
    first = found["attention"]
    page.run()
    assert session.seen[1]["attention"] is first
    page.button(key="step").click().run()
    assert not page.exception
    assert session.seen[0][-1] == session.stepper.prefix != of[-1]
    assert session.seen[1]["attention"] is not first


def test_nothing_is_computed_while_it_plays():
    page = inside_page("text", model="kjv-char-transformer", length="300")
    page.session_state["_text"].seen = ()
    page.button(key="play").click().run()
    assert "Drawn when it stands still." in captions(page)
    assert page.session_state["_text"].seen == ()


def test_the_grid_leaves_out_every_head_of_a_short_text_at_once():
    page = choose(inside_page("text", model="kjv-char-transformer"), "Heads left out")
    session = page.session_state["_text"]
    (job,) = [found for what, found in session.seen[1].items() if what[0] == "heads"]
    assert len(job.found) == 16
    assert job.going is None
    assert [set(a.heads) for a in job.found[:2]] == [{(0, 0)}, {(0, 1)}]


def test_a_long_text_asks_first_and_reads_the_newest_tokens_only():
    page = inside_page("text", model="kjv-char-transformer", prompt="In the beginning " * 24)
    choose(page, "Heads left out")
    session = page.session_state["_text"]
    page.segmented_control(key="inside_read").set_value(256).run()
    (job,) = [found for what, found in session.seen[1].items() if what[:2] == ("heads", 256)]
    assert job.found == []
    page.button(key="inside_heads_start").click().run()
    for _ in range(60):
        if job.going is None:
            break
        page.run()
    assert not page.exception
    assert len(job.found) == 16


def test_a_unit_that_tracks_a_property_is_told_beside_chance():
    text = "And he went. And they said,\nCome ye (all of you). And so it was.\nAnd he saw.\n" * 2
    page = choose(inside_page("text", model="kjv-char-lstm", prompt=text), "Recurrent state")
    assert "inside quotes" not in page.selectbox(key="inside_property").options
    page.selectbox(key="inside_property").set_value("position in the line").run()
    assert not page.exception
    told = " ".join(m.value for m in page.markdown)
    assert "chance reaches" in told
    assert "The same everywhere in this text: inside quotes" in captions(page)


@pytest.mark.parametrize(("model", "kind"), [("zoo-gru", "update gate"), ("zoo-rnn", None)])
def test_a_network_without_a_forget_gate_promises_none(model, kind):
    page = choose(inside_page("text", model="kjv-char-lstm"), "Recurrent state")
    page.segmented_control(key="inside_kind").set_value("forget gate").run()
    page.segmented_control(key="inside_layer").set_value(2).run()
    page.selectbox(key="model").set_value(model).run()
    assert not page.exception
    choose(page, "Recurrent state")
    offered = [list(c.options) for c in page.segmented_control if c.key == "inside_kind"]
    assert offered == ([["hidden", "reset gate", kind]] if kind else [])
    assert not [c for c in page.segmented_control if c.key == "inside_layer"]  # it has one
    given = [json.loads(part.proto.json) for part in page.get("bidi_component")]
    (drawn,) = [data for data in given if "row_names" in data]
    assert drawn["title"] == "hidden of layer 1 over time"


def test_attention_that_is_handed_out_adds_up():
    page = inside_page("text", model="kjv-char-transformer")
    from playground.ui.inside_views import Seen, attention_json

    session = page.session_state["_text"]
    seen = Seen(session, None, None)
    found = session.seen[1]["attention"]
    table = json.loads(attention_json(seen, found, str))
    weights = np.array(table["weights"])
    assert weights.shape == (4, 4, len(session.stepper.prefix))
    assert np.allclose(weights.sum(-1), 1, atol=1e-4)


def test_what_a_receptive_field_leaves_out_is_drawn_as_outside(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    monkeypatch.setattr(registry, "MODELS", ())
    tokenizer = CharTokenizer("abcdefghijklmnopqrstuvwxyz ")
    model = NeuralNGram(NeuralNGramConfig(tokenizer.vocab_size, n_embd=4, n_hidden=8))
    save(tmp_path / "runs" / "small", with_weights(model), tokenizer)
    page = inside_page("text", model="small", prompt="and he said unto them ")
    given = [json.loads(part.proto.json) for part in page.get("bidi_component")]
    (drawn,) = [data for data in given if "strongest" in data]
    assert "The receptive field holds the newest 8 tokens" in drawn["facts"]
    assert drawn["first"] == len(drawn["texts"]) - 8
    assert not any(drawn["weights"][: drawn["first"]])
