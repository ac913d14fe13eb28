"""Traces to JSON and back, to CSV, and JSON that somebody else wrote."""

import csv
import io
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.decoding.beam import BeamSearch
from playground.decoding.generate import generate_trace
from playground.decoding.lane import Lane
from playground.decoding.processors import Processor
from playground.errors import TraceError
from playground.traces import trace as module
from playground.traces.trace import Alternative, Candidate, Draft, Hypothesis, Step, Trace
from tests.helpers import transformer

logprobs = st.floats(max_value=0, allow_nan=False, allow_infinity=True)
tokens = st.integers(0, 2**31)


@st.composite
def steps(draw, position: int) -> Step:
    stages = ("model", *draw(st.lists(st.text(max_size=8), max_size=3)))
    row = st.lists(logprobs, min_size=len(stages), max_size=len(stages)).map(tuple)
    return Step(
        position=position,
        token=draw(tokens),
        logprob=draw(logprobs),
        logprob_processed=draw(logprobs),
        rank=draw(st.integers(1, 10**6)),
        entropy=draw(st.floats(0, 1e3)),
        kept=draw(tokens),
        stages=stages,
        candidates=tuple(
            draw(st.lists(st.builds(Candidate, token=tokens, logprobs=row), max_size=3))
        ),
        chosen_by=draw(st.sampled_from(module.CHOOSERS)),
        slid=draw(st.integers(0, 1000)),
        draft=draw(st.none() | drafts),
    )


drafts = st.builds(
    Draft, token=tokens, logprob=logprobs, accepted=st.booleans(),
    dropped=st.lists(tokens, max_size=3).map(tuple),
)  # fmt: skip
scores = st.floats(max_value=1e300, allow_nan=False, allow_infinity=False) | st.just(-math.inf)
alternatives = st.builds(
    Alternative, tokens=st.lists(tokens, max_size=3).map(tuple), logprob=logprobs, score=scores
)


@st.composite
def searches(draw) -> tuple[tuple[Hypothesis, ...], ...]:
    """Return hypotheses whose parents are live ones of the position before."""
    rows, n_live = [], 1
    while n_live and len(rows) < 3:
        row = st.builds(
            Hypothesis, parent=st.integers(0, n_live - 1), token=tokens, logprob=logprobs,
            score=scores, fate=st.sampled_from(module.FATES), group=st.integers(0, 9),
        )  # fmt: skip
        rows.append(tuple(draw(st.lists(row, max_size=4))))
        n_live = sum(h.fate == "live" for h in rows[-1])
    return tuple(rows)


@st.composite
def traces(draw) -> Trace:
    prompt = tuple(draw(st.lists(tokens, min_size=1, max_size=4)))
    count = draw(st.integers(0, 4))
    return Trace(
        model=draw(st.text(max_size=12)),
        prompt=prompt,
        seed=draw(st.integers(0, 2**53)),
        steps=tuple(draw(steps(len(prompt) + i)) for i in range(count)),
        settings=draw(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5))),
        search=draw(searches()),
        alternatives=tuple(draw(st.lists(alternatives, max_size=3))),
    )


@given(traces())
def test_json_brings_back_the_same_trace(trace):
    text = trace.to_json()
    assert Trace.from_json(text) == trace
    assert Trace.from_json(text).to_json() == text


def a_trace(**options) -> Trace:
    lane = Lane(seed=3, processors=(Processor("temperature", 0.7), Processor("top_k", 2)))
    return generate_trace(transformer(), "tiny", (0, 5, 3), lane, max_new_tokens=6, **options)


def test_a_generated_trace_comes_back_bit_by_bit():
    assert Trace.from_json(a_trace().to_json()) == a_trace()


def test_minus_infinity_is_written_as_null_and_nothing_else_is_non_standard():
    data = json.loads(a_trace().to_json(), parse_constant=pytest.fail)
    last = [c["logprobs"][-1] for c in data["steps"][0]["candidates"]]
    assert last.count(None) == len(last) - 2
    back = Trace.from_json(json.dumps(data))
    removed = [c for c in back.steps[0].candidates if c.removed_by == 2]
    assert len(removed) == len(last) - 2
    assert all(c.logprobs[-1] == -math.inf for c in removed)


def test_labels_go_along_for_every_token_that_is_named():
    trace = a_trace()
    labels = json.loads(trace.to_json(lambda token: f"<{token}>"))["labels"]
    assert {"0", "5", "3"} <= set(labels)
    assert {str(c.token) for s in trace.steps for c in s.candidates} <= set(labels)
    assert all(name == f"<{token}>" for token, name in labels.items())


def searched(**options) -> Trace:
    lane = Lane(BeamSearch(2))
    return generate_trace(transformer(), "tiny", (0, 5, 3), lane, max_new_tokens=4, **options)


def test_labels_go_along_for_what_a_search_weighed_and_a_draft_proposed():
    found = searched(n_candidates=1)
    step = replace(a_trace().steps[0], draft=Draft(21, -1.0, False, (22,)), candidates=())
    guessed = Trace("m", (0, 5, 3), 0, (step,))
    for trace, named in (
        (guessed, {21}),
        (found, {h.token for row in found.search for h in row}),
        (Trace("m", (0,), 0, alternatives=(Alternative((9,), -1.0, -1.0),)), {9}),
    ):
        elsewhere = set(trace.tokens) | {c.token for s in trace.steps for c in s.candidates}
        assert named - elsewhere
        labels = json.loads(trace.to_json(str))["labels"]
        assert {str(token) for token in named} <= set(labels)


def test_what_is_cut_off_is_no_longer_searched():
    trace = searched()
    assert len(trace.search) == 4
    assert trace.cut(7) == trace
    shorter = trace.cut(5)
    assert shorter.search == trace.search[:2]
    assert shorter.alternatives == ()
    assert trace.cut(2).search == ()
    assert Trace.from_json(shorter.to_json()) == shorter


def test_append_and_cut_return_new_traces():
    trace = a_trace()
    assert trace.tokens == trace.prompt + tuple(s.token for s in trace.steps)
    shorter = trace.cut(5)
    assert shorter.tokens == trace.tokens[:5]
    assert shorter.extend(trace.steps[2:3]) == trace.cut(6)
    assert len(trace.steps) == 6
    assert trace.cut(2).prompt == (0, 5)
    assert trace.cut(2).steps == ()
    assert trace.cut(100) == trace


def data_of(**changes):
    return json.loads(a_trace().to_json()) | changes


def step_of(**changes):
    data = data_of()
    data["steps"][1] |= changes
    return data


def weighed(**changes):
    data = json.loads(searched().to_json())
    data["search"][1][0] |= changes
    return data


def drafted(**changes):
    draft = {"token": 1, "logprob": -1.0, "accepted": True, "dropped": []}
    return step_of(draft=draft | changes)


def ranked(**changes):
    data = json.loads(searched().to_json())
    data["alternatives"][0] |= changes
    return data


HOSTILE = {
    "nothing": "",
    "no json": "{",
    "a list": "[]",
    "a number": "7",
    "null": "null",
    "too deep": "[" * 100_000,
    "other format": data_of(format="playground-trace/99"),
    "no steps": {k: v for k, v in data_of().items() if k != "steps"},
    "steps of text": data_of(steps="abc"),
    "steps of null": data_of(steps=None),
    "prompt of text": data_of(prompt="abc"),
    "prompt of fractions": data_of(prompt=[0, 1.5]),
    "prompt of truths": data_of(prompt=[True]),
    "prompt below zero": data_of(prompt=[-1]),
    "seed of infinity": json.dumps(data_of()).replace('"seed": 3', '"seed": 1e999'),
    "seed of many digits": json.dumps(data_of()).replace('"seed": 3', '"seed": ' + "9" * 5000),
    "settings of infinity": json.dumps(data_of()).replace('"sample": 0', '"sample": 1e999'),
    "settings of NaN": json.dumps(data_of()).replace('"sample": 0', '"sample": NaN'),
    "settings of a list": data_of(settings=[1]),
    "a probability above 1": step_of(logprob=0.5),
    "a probability of NaN": json.dumps(step_of(logprob="X")).replace('"X"', "NaN"),
    "a probability of text": step_of(logprob_processed="sure"),
    "an entropy of NaN": json.dumps(step_of(entropy="X")).replace('"X"', "NaN"),
    "an entropy of infinity": json.dumps(step_of(entropy="X")).replace('"X"', "1e999"),
    "an entropy of null": step_of(entropy=None),
    "a rank of infinity": json.dumps(step_of(rank="X")).replace('"X"', "1e999"),
    "a token of text": step_of(token="5"),
    "a position elsewhere": step_of(position=77),
    "a formula as chooser": step_of(chosen_by="=HYPERLINK(1)"),
    "candidates without stages": step_of(stages=["model"]),
    "candidates of numbers": step_of(candidates=[1, 2]),
    "a parent that is not live": weighed(parent=2),
    "a parent below zero": weighed(parent=-1),
    "a fate unheard of": weighed(fate="reborn"),
    "a fate of a list": weighed(fate=["live"]),
    "a score of NaN": json.dumps(weighed(score="X")).replace('"X"', "NaN"),
    "a score of infinity": json.dumps(weighed(score="X")).replace('"X"', "1e999"),
    "a hypothesis of text": weighed(token="a"),
    "a search of numbers": data_of(search=[1]),
    "a search of null": data_of(search=None),
    "a draft that is nearly accepted": drafted(accepted=1),
    "a draft above 1": drafted(logprob=0.5),
    "a draft that drops text": drafted(dropped=["a"]),
    "a draft of a number": step_of(draft=7),
    "an alternative of text": ranked(tokens="abc"),
    "an alternative of infinity": json.dumps(ranked(score="X")).replace('"X"', "1e999"),
    "alternatives of null": data_of(alternatives=None),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_json_that_is_no_trace_is_refused_with_what_to_do(data):
    text = data if isinstance(data, str) else json.dumps(data)
    with pytest.raises(TraceError, match=r"(?s)no trace of the playground .*downloaded here"):
        Trace.from_json(text)


def test_a_long_answer_makes_a_short_message():
    with pytest.raises(TraceError) as caught:
        Trace.from_json(json.dumps(data_of(format="x" * 100_000)))
    assert len(str(caught.value)) < 600


def test_too_many_steps_and_too_much_text_are_refused(monkeypatch):
    text = a_trace().to_json()
    monkeypatch.setattr(module, "MAX_STEPS", 5)
    with pytest.raises(TraceError, match="more than 5 steps"):
        Trace.from_json(text)
    monkeypatch.setattr(module, "MAX_JSON_BYTES", 1000)
    with pytest.raises(TraceError, match="Export a shorter one"):
        Trace.from_json(text)


def rows_of(trace: Trace, label) -> list[dict]:
    return list(csv.DictReader(io.StringIO(trace.to_csv(label))))


def test_csv_has_one_line_a_decision_with_units():
    trace = a_trace()
    rows = rows_of(trace, str)
    assert len(rows) == 6
    for row, step in zip(rows, trace.steps, strict=True):
        assert int(row["position"]) == step.position
        assert float(row["probability"]) == math.exp(step.logprob)
        assert float(row["surprisal_bits"]) == -step.logprob / math.log(2)
        assert float(row["entropy_bits"]) == step.entropy / math.log(2)


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_csv_lets_no_label_be_read_as_a_formula(name):
    assert {row["label"] for row in rows_of(a_trace(), lambda _: name)} == {"'" + name}


@pytest.mark.parametrize("name", ['a"b', "a,b", "a\nb", "", "日本", "1=2"])
def test_csv_keeps_other_labels(name):
    assert {row["label"] for row in rows_of(a_trace(), lambda _: name)} == {name}
