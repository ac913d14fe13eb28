"""Charts of the in-context panel, authored in Altair, and what they say in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import altair as alt
import numpy as np

from playground.inspection.in_context import FEWEST, Answer, Curve
from playground.inspection.induction import Induction
from playground.ui.charts import BLUE, GREY, VERMILION


def curve_rows(found: Curve) -> list[dict]:
    """Return one row a number of examples."""
    return [
        {
            "examples": int(found.counts[i]), "trials": int(found.trials[i]),
            "probability": float(found.prob[i]), "low": _known(found.low[i]),
            "high": _known(found.high[i]), "median_rank": float(found.rank[i]),
            "first_choice": float(found.first[i]),
        }
        for i in range(len(found.counts))
    ]  # fmt: skip


def _known(number: float) -> float | None:
    return None if np.isnan(number) else float(number)


def answer_rows(found: Sequence[Answer], label: Callable[[int], str]) -> list[dict]:
    """Return one row a prompt, for a table of all that was asked."""
    return [
        {
            "examples": a.prompt.examples, "trial": a.prompt.trial + 1,
            "question": a.prompt.text.rsplit("\n", 1)[-1], "answer": a.prompt.answer,
            "probability": a.prob, "tokens": a.tokens, "rank": a.rank, "likeliest": label(a.top),
        }
        for a in found
    ]  # fmt: skip


def curve_chart(found: Curve, answers: Sequence[Answer]) -> alt.LayerChart:
    """Probability of the right answer against the number of examples: mean, interval, each trial.

    A trial is a small point, the mean a line, its 95 % interval a band; few trials have none.
    """
    counts = [int(n) for n in found.counts]
    x_axis = alt.Axis(values=counts, format="d", grid=False)
    x = alt.X("examples:Q", title="examples in the prompt", axis=x_axis)
    axis = alt.Axis(format=".2~p", title="probability of the right answer")
    rows = [row | {"interval": _interval(row)} for row in curve_rows(found)]
    highest = max([*(row["high"] or 0.0 for row in rows), *(a.prob for a in answers)])
    scale = alt.Scale(domain=[0, min(1.0, max(1e-6, 1.05 * highest))])
    y = alt.Y("probability:Q", axis=axis, scale=scale)
    tooltip = [
        alt.Tooltip("examples:Q"),
        alt.Tooltip("probability:Q", title="mean", format=".2~p"),
        alt.Tooltip("interval:N", title="95 % interval"),
        alt.Tooltip("median_rank:Q", title="median rank"),
        alt.Tooltip("first_choice:Q", title="first choice in", format=".0%"),
    ]
    base = alt.Chart(alt.Data(values=rows))
    bears = [row for row in rows if row["low"] is not None]
    band = alt.Chart(alt.Data(values=bears)).mark_area(color=BLUE, opacity=0.18)
    line = base.mark_line(color=BLUE, strokeWidth=2).encode(x=x, y=y)
    points = base.mark_point(color=BLUE, filled=True, size=70, opacity=1)
    trials = [
        {"examples": a.prompt.examples, "probability": a.prob, "trial": a.prompt.trial + 1}
        for a in answers
    ]
    each = alt.Chart(alt.Data(values=trials)).mark_point(color=GREY, size=22, opacity=0.7)
    said = "mean (line), trials (grey)"
    said += ", 95 % interval (band)" if len(bears) > 1 else ""
    said += "" if len(bears) == len(rows) else f"; no interval of fewer than {FEWEST} trials"
    title = alt.TitleParams(said, anchor="start", fontSize=12, fontWeight="normal", color=GREY)
    return alt.layer(
        band.encode(x=x, y=alt.Y("low:Q"), y2="high:Q"),
        each.encode(x=x, y=y, tooltip=["trial:Q", alt.Tooltip("probability:Q", format=".2~p")]),
        line,
        points.encode(x=x, y=y, tooltip=tooltip),
    ).properties(height=300, title=title)


def finding(found: Curve) -> str:
    """Return what the curve says in a sentence, and no more than its intervals bear."""
    rows = curve_rows(found)
    first, last = rows[0], rows[-1]
    if len(rows) == 1:
        return f"With {_examples(first)} the right answer has {_told(first)}."
    told = f"With {_examples(first)} the right answer has {_told(first)}, with {_examples(last)} "
    told += f"{_told(last)}: "
    if min(first["trials"], last["trials"]) < FEWEST:
        return told + "that is too few trials to tell whether examples help."
    if last["low"] > first["high"]:
        return told + "the examples help this model."
    if last["high"] < first["low"]:
        return told + "the examples do harm here."
    return told + "the intervals overlap, so these trials do not tell whether examples help."


def _examples(row: dict) -> str:
    n = row["examples"]
    return "no example" if n == 0 else f"{n} example{'s' if n > 1 else ''}"


def _told(row: dict) -> str:
    if row["trials"] < FEWEST:
        return f"{percent(row['probability'])} ({row['trials']} trial{'s' * (row['trials'] > 1)})"
    return f"{percent(row['probability'])} (95 % interval {_interval(row)})"


def _interval(row: dict) -> str:
    if row["trials"] < FEWEST:
        return f"none of fewer than {FEWEST} trials"
    return f"{percent(row['low'])} to {percent(row['high'])}"


def percent(p: float) -> str:
    """Return a probability with two digits that tell something, however small it is."""
    if p < 1e-6:
        return "less than 0.0001 %"
    return f"{float(f'{100 * p:.2g}'):.10g} %" if p < 0.1 else f"{100 * p:.0f} %"


def repeat_rows(found: Induction) -> list[dict]:
    """Return the surprisal of every token of the noise, at its first and its second time."""
    n = len(found.bits) // 2
    return [
        {"place": i % n + 1, "bits": float(bits), "time": "new" if i < n else "again"}
        for i, bits in enumerate(found.bits)
    ]


def repeat_chart(found: Induction) -> alt.Chart:
    """How surprising the noise is when it is new, and when it comes again."""
    return (
        alt.Chart(alt.Data(values=repeat_rows(found)))
        .mark_line(point=True)
        .encode(
            x=alt.X("place:Q", title="place in the noise", axis=alt.Axis(tickMinStep=1),
                    scale=alt.Scale(nice=False)),
            y=alt.Y("bits:Q", title="surprisal (bits)", scale=alt.Scale(zero=True)),
            color=alt.Color(
                "time:N",
                scale=alt.Scale(domain=["new", "again"], range=[GREY, VERMILION]),
                legend=alt.Legend(title=None, orient="bottom", symbolType="square", labelExpr=(
                    "datum.label == 'new' ? 'when it is new' : 'when it comes again'")),
            ),
            strokeDash=alt.StrokeDash("time:N", scale=alt.Scale(domain=["new", "again"],
                                      range=[[1, 0], [5, 3]]), legend=None),
            tooltip=["place:Q", "time:N", alt.Tooltip("bits:Q", format=".2f")],
        )
        .properties(height=260)
    )  # fmt: skip


def head_rows(found: Induction) -> list[dict]:
    """Return one row a head, layer by layer."""
    return [
        {
            "layer": layer + 1, "head": head + 1,
            "induction": float(found.induction[layer, head]),
            "spread": float(found.spread[layer, head]),
            "previous_token": float(found.previous[layer, head]),
        }
        for layer, head in np.ndindex(*found.induction.shape)
    ]  # fmt: skip


def induction_finding(found: Induction) -> str:
    """Return what the scores say in a sentence."""
    (layer, head, score), *_ = found.strongest(1)
    many = int((found.induction >= 0.3).sum())
    first, second = found.first_bits, found.second_bits
    helps = (
        f"Noise that comes again costs {second:.1f} instead of {first:.1f} bits a token"
        if second < 0.9 * first
        else f"Noise that comes again costs about as much as new noise ({second:.1f} and "
        f"{first:.1f} bits a token)"
    )
    heads = (
        f"{many} of {found.induction.size} heads score 30 % or more"
        if many
        else ("no head scores 30 % or more")
    )
    return (
        f"{helps}; {heads}. The best is layer {layer + 1}, head {head + 1} with {score:.0%}, where "
        f"one that looks at all tokens alike would have {found.chance:.1%}."
    )
