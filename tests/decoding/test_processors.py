"""What holds for every processor: settings, purity, rows, edges; names, JSON, orders."""

import copy
import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from playground.decoding.context import Context
from playground.decoding.processors import (
    LLAMA_CPP_ORDER,
    PROCESSORS,
    TRANSFORMERS_ORDER,
    Processor,
    check,
    in_order,
)
from playground.errors import ConfigError
from tests.decoding.processor_cases import HARD, PAIRS, SETTINGS, V, context, random_logits

CONSTRAINTS = ("choice", "regex", "json_schema")
# What reorders, or gives -inf back: constraints have the last word over what was removed.
KEEPS_REMOVED = [p for p in SETTINGS if p.name not in CONSTRAINTS]
TRUNCATORS = [p for p in SETTINGS if p.kind.group == "truncation"]
IDEMPOTENT = [
    p for p in SETTINGS
    if p.name in ("top_k", "min_p", "no_repeat_ngram_size", "bad_words", "suppress_tokens",
                  "min_length", "min_new_tokens", *CONSTRAINTS)
]  # fmt: skip


def is_distribution(logits: torch.Tensor) -> bool:
    total = logits.softmax(-1, dtype=torch.float64).sum(-1)
    return bool(((total - 1).abs() < 1e-9).all())


@pytest.mark.parametrize("processor", SETTINGS, ids=str)
def test_it_changes_nothing_in_place_and_rows_do_not_mix(processor):
    logits = random_logits()
    before, tokens = logits.clone(), context().tokens.clone()
    together = processor(logits, context())
    assert together.shape == logits.shape
    assert together.dtype == logits.dtype
    assert torch.equal(logits, before)
    assert torch.equal(context().tokens, tokens)
    for i in range(5):
        alone = processor(logits[i : i + 1], context(slice(i, i + 1)))
        assert torch.equal(alone[0], together[i])
    assert torch.equal(processor(logits, context()), together)


@pytest.mark.parametrize("name", PROCESSORS)
def test_off_changes_nothing(name):
    processor = Processor(name)
    assert processor.is_off
    assert processor.value == PROCESSORS[name].off
    logits = random_logits()
    assert torch.equal(processor(logits, context()), logits)
    assert processor.is_over(context()) == [False] * 5
    check([processor], PAIRS)


@pytest.mark.parametrize("processor", SETTINGS, ids=str)
def test_every_setting_does_something(processor):
    logits = random_logits()
    changed = any(not torch.equal(processor(x, context()), x) for x in (logits, 0.2 * logits))
    idle = [
        Processor("no_repeat_ngram_size", 20), Processor("min_new_tokens", 7),
        Processor("min_length", 10), Processor("top_k", 1000), Processor("json_schema",
        '{"type": "integer"}'), Processor("epsilon_cutoff", 0.0003),
    ]  # fmt: skip
    assert changed or processor in idle


@pytest.mark.parametrize("processor", SETTINGS, ids=str)
def test_it_never_removes_the_last_token_and_makes_no_nan(processor):
    for name, logits in HARD.items():
        for dtype in (torch.float32, torch.float64):
            rows = logits.to(dtype).expand(5, -1)
            shaped = processor(rows, context())
            assert not shaped.isnan().any(), name
            assert shaped.isfinite().any(-1).all(), name
            assert is_distribution(shaped), name
            if processor in KEEPS_REMOVED:
                assert (shaped[rows == -torch.inf] == -torch.inf).all(), name


numbers = st.one_of(
    st.floats(-30, 30, width=32),
    st.sampled_from([0.0, 1.0, -math.inf, -1e30, 1e30, 1e4, -1e4]),
)
some_logits = st.lists(numbers, min_size=1, max_size=12).filter(lambda xs: max(xs) > -math.inf)


@given(
    some_logits,
    st.sampled_from([p for p in SETTINGS if p.name not in CONSTRAINTS]),
    st.lists(st.integers(0, 11), min_size=1, max_size=15),
    st.floats(0, 1, exclude_max=True),
    st.data(),
)
@settings(max_examples=300)
def test_whatever_comes_a_distribution_leaves(values, processor, tokens, coin, data):
    if processor.name in ("logit_bias", "bad_words", "suppress_tokens"):
        ids = data.draw(st.lists(st.integers(0, 14), min_size=1, max_size=4))
        lines = [f"#{i}" if processor.name == "suppress_tokens" else f"#{i} #{i // 2}" for i in ids]
        ending = ": -2.5" if processor.name == "logit_bias" else ""
        processor = Processor(processor.name, "\n".join(line + ending for line in lines))
    logits = torch.tensor([values], dtype=torch.float32)
    n = len(values)
    prefix = torch.tensor([[t % n for t in tokens]])
    made = len(tokens) - 1
    shaped = processor(
        logits,
        Context(
            prefix,
            prompt_length=1,
            logprobs=torch.full((1, made), -1.0),
            eos_token=n - 1,
            uniform=lambda use: torch.tensor([[coin]], dtype=torch.float64),
        ),
    )
    assert not shaped.isnan().any()
    assert not (shaped == torch.inf).any()
    assert shaped.isfinite().any()
    assert is_distribution(shaped)
    assert (shaped[logits == -torch.inf] == -torch.inf).all()


@pytest.mark.parametrize("processor", IDEMPOTENT, ids=str)
def test_removing_twice_removes_nothing_more(processor):
    for seed in range(4):
        once = processor(random_logits(seed=seed), context())
        assert torch.equal(processor(once, context()), once)


@pytest.mark.parametrize("processor", TRUNCATORS, ids=str)
def test_truncators_only_remove(processor):
    logits = random_logits()
    shaped = processor(logits, context())
    kept = shaped.isfinite()
    assert torch.equal(shaped[kept], logits[kept])
    assert (shaped[~kept] == -torch.inf).all()


@pytest.mark.parametrize("processor", SETTINGS, ids=str)
def test_json_and_copies_bring_the_same_processor_back(processor):
    again = Processor.from_json(json.loads(json.dumps(processor.to_json())))
    assert again == processor
    assert hash(again) == hash(processor)
    assert repr(again) == repr(processor)
    assert copy.deepcopy(processor) == processor


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("top_q", 0.5, "no processor 'top_q'. Choose among .*top_p"),
        ("top_p", 1.3, r"top_p must be in \[0.01, 1\], got 1.3"),
        ("top_p", math.nan, "top_p must be in"),
        ("top_p", True, "top_p must be in"),
        ("top_p", [0.5], "top_p must be in"),
        ("top_p", None, "top_p must be in"),
        ("temperature", 0.0, r"temperature must be in \[0.05, 5\], got 0.0"),
        ("temperature", math.inf, "temperature must be in"),
        ("top_k", 2.5, "top_k must be a whole number"),
        ("top_k", -1, "top_k must be a whole number"),
        ("top_k", True, "top_k must be a whole number"),
        ("min_p", "0.1", "min_p must be in"),
        ("regex", 3, "regex must be text, got int"),
        ("regex", "a" * 20_001, "regex must have at most 20,000 characters, got 20,001"),
        ("regex", "a\ud800", "regex holds half of a surrogate pair"),
        ("choice", "  \n", "choice must have at least one line"),
        ("logit_bias", "the", "logit_bias must have lines such as “the: -2”"),
        ("logit_bias", "the: 101", "logit_bias must have lines"),
        ("logit_bias", "the: nan", "logit_bias must have lines"),
        ("logit_bias", ": 3", "logit_bias must have lines"),
    ],
)
def test_a_setting_out_of_range_names_the_rule_and_the_value(name, value, message):
    with pytest.raises(ConfigError, match=message):
        Processor(name, value)


def test_every_parameter_is_checked_and_known():
    with pytest.raises(ConfigError, match=r"dry_base must be in \[1, 4\], got 9"):
        Processor("dry", 0.8, dry_base=9)
    with pytest.raises(ConfigError, match=r"no parameter 'dry_bass'\. Choose among .*dry_base"):
        Processor("dry", 0.8, dry_bass=2.0)
    with pytest.raises(ConfigError, match="dry_multiplier is given twice"):
        Processor("dry", 0.8, dry_multiplier=0.9)
    with pytest.raises(ConfigError, match="dry_multiplier is given twice"):
        Processor("dry", 0.8, 1.75)


@pytest.mark.parametrize(
    "data",
    [None, 7, "top_k", [], ["top_k"], ["top_k", 3], ["top_k", {"top_k": 3}, 4], [1, {}],
     ["top_k", {1: 3}], ["top_k", {"name": "x"}], ["top_k", {"top_k": 10**400}], ["x" * 10**6, {}],
     ["top_p", {"top_p": None}], ["dry", {"dry_multiplier": {"a": 1}}]],
    ids=lambda data: str(data)[:30],
)  # fmt: skip
def test_foreign_json_is_refused_in_few_words(data):
    with pytest.raises(ConfigError) as caught:
        Processor.from_json(data)
    assert len(str(caught.value)) < 1000


def test_a_processor_names_itself_with_its_values_in_two_parts():
    assert str(Processor("top_p", 0.9)) == "top_p=0.9"
    assert str(Processor("top_k", 20)) == "top_k=20"
    assert str(Processor("dry", 0.8)) == "dry=0.8"
    assert str(Processor("dry", 0.8, dry_allowed_length=3)) == "dry=0.8 1.75 3"
    assert str(Processor("regex", "a=b\nc" + "d" * 50)) == "regex=a＝b cdddddddddd…"
    assert all(str(p).count("=") == 1 and len(str(p)) < 60 for p in SETTINGS)


def test_numbers_are_stored_as_their_kind():
    assert Processor("top_p", 1) == Processor("top_p", 1.0)
    assert isinstance(Processor("top_p", 1).value, float)
    assert Processor("dry", 0.8).settings["dry_allowed_length"] == 2


def test_the_catalogue_is_complete_and_in_range():
    for name, kind in PROCESSORS.items():
        assert kind.effect.endswith("."), name
        assert kind.source, name
        assert kind.group in ("temperature", "truncation", "penalties", "bias", "constraint")
        started = Processor(name, kind.start)
        assert not started.is_off, name
        for p in kind.parameters:
            assert p.checked(p.default) == p.default
            assert p.checked(p.start) == p.start
            assert p.help.endswith(".") or len(kind.parameters) == 1, p.name
            if not p.is_text:
                assert type(p.low) is type(p.high) is type(p.default) is type(p.start), p.name


def test_both_orders_hold_every_kind_once_and_sort():
    assert sorted(TRANSFORMERS_ORDER) == sorted(LLAMA_CPP_ORDER) == sorted(PROCESSORS)
    some = [Processor(n) for n in ("min_p", "temperature", "top_k", "repetition_penalty")]
    assert [p.name for p in in_order(some, TRANSFORMERS_ORDER)] == [
        "repetition_penalty", "temperature", "top_k", "min_p",
    ]  # fmt: skip
    assert [p.name for p in in_order(some, LLAMA_CPP_ORDER)] == [
        "repetition_penalty", "top_k", "min_p", "temperature",
    ]  # fmt: skip


def test_the_orders_are_those_of_the_two_programs():
    theirs = ["logit_bias", "repetition_penalty", "no_repeat_ngram_size", "bad_words",
              "min_length", "min_new_tokens", "exponential_decay_length_penalty",
              "suppress_tokens", "temperature", "top_h", "top_k", "top_p", "min_p", "typical_p",
              "epsilon_cutoff", "eta_cutoff"]  # fmt: skip
    assert [n for n in TRANSFORMERS_ORDER if n in theirs] == theirs
    theirs = ["repetition_penalty", "dry", "top_n_sigma", "top_k", "typical_p", "top_p", "min_p",
              "xtc", "temperature"]  # fmt: skip
    assert [n for n in LLAMA_CPP_ORDER if n in theirs] == theirs


def test_the_order_of_temperature_and_top_p_matters():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    where = Context(torch.tensor([[0]]))
    hot, nucleus = Processor("temperature", 3.0), Processor("top_p", 0.75)
    assert nucleus(hot(logits, where), where).isfinite().sum() == 3
    assert hot(nucleus(logits, where), where).isfinite().sum() == 2


if torch.cuda.is_available():

    @pytest.mark.gpu
    @pytest.mark.parametrize("processor", SETTINGS, ids=str)
    def test_a_gpu_gives_the_same(processor):
        here = context()
        there = Context(
            here.tokens.cuda(), here.prompt_length, here.logprobs.cuda(), here.eos_token,
            here.tokenizer, here.uniform,
        )  # fmt: skip
        logits = random_logits()
        torch.testing.assert_close(processor(logits.cuda(), there).cpu(), processor(logits, here))


def test_the_vocabulary_of_the_cases_is_that_of_the_logits():
    assert random_logits().shape == (5, V)
