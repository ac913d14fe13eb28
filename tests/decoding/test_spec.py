"""Lanes as data: round trips, and everything that a link may say wrong."""

import json

import pytest

from playground.decoding.presets import DEFAULT, PRESETS
from playground.decoding.processors import Processor
from playground.decoding.spec import LaneSpec, specs_from_text, specs_to_text
from playground.errors import ConfigError
from playground.tokenizers.text import CharTokenizer
from tests.helpers import ngram

TOKENIZER = CharTokenizer("abcdefghij ")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_goes_through_a_link_and_makes_lanes(name):
    spec = PRESETS[name]
    assert specs_from_text(specs_to_text([spec]), most=1) == [spec]
    lanes = spec.but(samples=3).lanes(7, TOKENIZER, ngram(2))
    assert [(lane.seed, lane.sample) for lane in lanes] == [(7, 0), (7, 1), (7, 2)]
    assert {lane.strategy.name for lane in lanes} == {spec.strategy}


def test_the_default_comparison_is_made_of_presets():
    assert set(DEFAULT) <= set(PRESETS)


def test_what_is_at_its_default_is_left_out_of_a_link():
    assert LaneSpec("x").to_json() == {"label": "x", "strategy": "sample"}


def test_the_order_of_processors_is_kept():
    order = (Processor("top_p", 0.9), Processor("temperature", 0.5), Processor("top_k", 3))
    (spec,) = specs_from_text(specs_to_text([LaneSpec("x", processors=order)]), most=1)
    assert spec.processors == order
    assert spec.lanes(0, TOKENIZER)[0].stages == (
        "model", "top_p=0.9", "temperature=0.5", "top_k=3",
    )  # fmt: skip


def test_words_become_tokens():
    spec = LaneSpec("x", "constrained_beam_search", words="abc\nde")
    assert spec.lanes(0, TOKENIZER)[0].strategy.force_words_ids == ((0, 1, 2), (3, 4))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("[", "no JSON"),
        ("{}", "list of 1 to 8"),
        ("[]", "list of 1 to 8"),
        (json.dumps([{"label": "x"}] * 9), "list of 1 to 8"),
        ("[1]", "must be a dictionary"),
        ('[{"label": "x", "colour": 1}]', "must be a dictionary of"),
        ('[{"label": ""}]', "needs a label"),
        ('[{"label": 5}]', "needs a label"),
        ('[{"samples": 17}]', "samples of 'sample' must be a whole number in"),
        ('[{"samples": "2"}]', "samples of"),
        ('[{"strategy": "guess"}]', "no strategy 'guess'"),
        ('[{"strategy": 3}]', "no strategy"),
        ('[{"strategy": "beam_search", "settings": {"num_beams": 10000}}]', "num_beams must be"),
        ('[{"settings": {"a": []}}]', "dictionary of numbers and texts"),
        ('[{"settings": [1]}]', "dictionary of numbers and texts"),
        ('[{"processors": [["top_q", {}]]}]', "no processor 'top_q'"),
        ('[{"processors": [["top_p", {"top_p": 2}]]}]', "top_p must be in"),
        ('[{"processors": {"top_p": 1}}]', "must be a list"),
        ('[{"combination": "sum"}]', "combination must be one of"),
        ('[{"second": 5}]', "second must be text"),
        ('[{"words": "' + "a" * 500 + '"}]', "words must be text of at most"),
        (
            '[{"strategy": "diverse_beam_search", "settings": {"num_beams": 4, '
            '"num_beam_groups": 3}}]',
            "must divide num_beams",
        ),
        (
            '[{"strategy": "beam_search", "settings": {"num_beams": 5}, '
            '"processors": [["top_k", {"top_k": 2}]]}]',
            "top_k=2 leaves fewer tokens than num_beams=5",
        ),
        (
            '[{"strategy": "beam_search", "settings": {"num_beams": 5}, '
            '"processors": [["top_k", {"top_k": 0}]]}]',
            "top_k=0 keeps no token, and num_beams=5",
        ),
        ("[" * 100_000, "no JSON"),
        ("x" * 100_001, "at most 100,000"),
    ],
)
def test_a_link_that_says_something_wrong_is_refused_by_rule_and_value(data, message):
    with pytest.raises(ConfigError, match=message):
        specs_from_text(data, most=8)


@pytest.mark.parametrize("condition", ["Dress", "any", 0, 7])
def test_a_class_goes_through_the_link(condition):
    spec = LaneSpec("x", condition=condition)
    assert specs_from_text(specs_to_text([spec]), 1) == [spec]
    assert "condition" not in LaneSpec("x").to_json()


@pytest.mark.parametrize("condition", [-1, 2**12, 1.0, True, None, ["cat"], "x" * 61])
def test_what_can_be_no_class_is_refused(condition):
    with pytest.raises(ConfigError, match="condition must be the name of a class"):
        LaneSpec("x", condition=condition)
