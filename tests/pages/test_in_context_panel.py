"""What examples in a prompt help, and which heads copy: the panel of the Text page."""

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from playground.inspection.in_context import Answer, Prompt, curve
from playground.inspection.induction import induction
from playground.ui import in_context_charts as charts
from playground.ui.in_context_run import score_heads, together
from tests.helpers import transformer
from tests.pages.opened import done, messages, opened

BYTE_PAIR = "prose-bpe-transformer"


def page(**query: str) -> AppTest:
    usual = {"do": "Learn from examples", "model": BYTE_PAIR}
    return opened("1_Text", **usual | query)


def test_a_task_is_asked_with_ever_more_examples():
    shown = page(task="antonyms", examples="4", trials="3")
    shown.button(key="in_context_start").click().run()
    job = done(shown, "in_context")
    assert [(a.prompt.trial, a.prompt.examples) for a in job.found] == [
        (trial, count) for trial in range(3) for count in (0, 1, 2, 3, 4)
    ]
    shown.run()
    assert "With no example the right answer has" in messages(shown)
    assert [part.proto.spec for part in shown.get("vega_lite_chart")]
    shown.session_state["in_context_prompts"] = True
    shown.run()
    first = next(a for a in job.found if (a.prompt.trial, a.prompt.examples) == (0, 4))
    assert shown.code[0].value == first.prompt.text
    assert first.prompt.text.count("\n") == 4

    shown.slider(key="trials").set_value(4).run()
    assert "settings have changed since" in messages(shown)


def test_it_can_be_stopped_and_what_is_known_stays():
    shown = page(task="capitals", trials="16", examples="15")
    shown.button(key="in_context_start").click().run()
    job = shown.session_state["_in_context_job"]
    assert job.going is not None
    shown.button(key="in_context_stop").click().run()
    assert not shown.exception
    known = len(job.found)
    assert 0 < known < job.total
    shown.run()
    assert len(job.found) == known
    assert f"{known} of {job.total} prompts were asked" in " ".join(c.value for c in shown.caption)


@pytest.mark.parametrize(
    ("pairs", "template", "says"),
    [
        ("sun = moon", "{question}:", "2 to 200 pairs"),
        ("sun moon\na = b", "{question}:", "Line 1 has no ="),
        ("a = b\nc =", "{question}:", "answer is empty"),
        ("a = b\nc = d", "so:", "must hold {question}"),
    ],
)
def test_pairs_that_are_no_task_are_explained(pairs, template, says):
    shown = page(task="your own", pairs=pairs, template=template)
    assert says in messages(shown)
    assert not any(button.key == "in_context_start" for button in shown.button)


def test_pairs_of_ones_own_are_asked():
    shown = page(
        task="your own", pairs="a = b\nc = d\ne = f", template="Q {question} A", trials="2"
    )
    shown.button(key="in_context_start").click().run()
    job = done(shown, "in_context")
    assert job.found[1].prompt.text.endswith(f"Q {job.found[1].prompt.text[-3]} A")
    assert {a.prompt.answer for a in job.found} <= {" b", " d", " f"}


def test_what_a_model_cannot_spell_is_told():
    shown = page(model="kjv-char-ngram", task="your own", pairs="caf\u00e9 = b\nc = d")
    shown.button(key="in_context_start").click().run()
    done(shown, "in_context")
    shown.run()
    assert "U+00E9" in messages(shown)
    assert "no attention heads" in messages(shown)


def test_every_head_is_scored():
    shown = page()
    shown.button(key="induction_start").click().run()
    job = done(shown, "induction")
    shown.run()
    assert len(job.found) == 4
    assert "30 % or more" in messages(shown)


def test_scores_of_one_sequence_after_another_are_those_of_all():
    model = transformer(context_length=80)

    class Tokens:
        vocab_size, bos_token, eos_token = model.vocab_size, model.vocab_size - 1, None

    parts = list(score_heads(model, Tokens, seed=3))
    whole = together(parts)
    assert whole.induction.shape == (2, 3)
    assert len(whole.sequences) == 4
    np.testing.assert_allclose(whole.induction, np.mean([p.induction for p in parts], axis=0))
    again = induction(model, Tokens, sequences=1, seed=12)
    np.testing.assert_array_equal(parts[0].induction, again.induction)
    rows = charts.head_rows(whole)
    assert [(r["layer"], r["head"]) for r in rows] == [(i, j) for i in (1, 2) for j in (1, 2, 3)]


def answered(probs: dict[int, list[float]]) -> list[Answer]:
    return [
        Answer(Prompt(count, trial, "q:", " a"), float(np.log(p)), 1, 0, 1)
        for count, row in probs.items()
        for trial, p in enumerate(row)
    ]


@pytest.mark.parametrize(
    ("probs", "says"),
    [
        ({0: [0.01, 0.02, 0.01], 4: [0.7, 0.8, 0.9]}, "the examples help this model"),
        ({0: [0.7, 0.8, 0.9], 4: [0.01, 0.02, 0.01]}, "the examples do harm here"),
        ({0: [0.1, 0.9, 0.5], 4: [0.2, 0.8, 0.5]}, "do not tell whether examples help"),
        ({0: [0.01, 0.02, 0.01], 4: [0.77]}, "4 examples 77 % (1 trial): that is too few trials"),
    ],
)
def test_the_finding_says_no_more_than_the_intervals_bear(probs, says):
    found = answered(probs)
    assert says in charts.finding(curve(found))
    spec = charts.curve_chart(curve(found), found).to_dict()
    assert [row["examples"] for row in spec["layer"][2]["data"]["values"]] == [0, 4]
    few = [n for n, row in probs.items() if len(row) < 3]
    assert [row["examples"] for row in spec["layer"][0]["data"]["values"]] == [
        n for n in probs if n not in few
    ]
    assert ("no interval of fewer than 3 trials" in spec["title"]["text"]) == bool(few)
    said = {row["examples"]: row["interval"] for row in spec["layer"][2]["data"]["values"]}
    assert all(said[n] == "none of fewer than 3 trials" for n in few)
    assert not any("NaN" in str(row) for row in charts.curve_rows(curve(found)))


@pytest.mark.parametrize(
    ("p", "says"),
    [(0.5, "50 %"), (0.0123, "1.2 %"), (0.000036, "0.0036 %"), (1e-9, "less than 0.0001 %")],
)
def test_small_probabilities_are_told(p, says):
    assert charts.percent(p) == says
