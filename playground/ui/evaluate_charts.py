"""Charts of the Evaluate page, authored in Altair: data to chart, without streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from playground.ui.charts import BLUE, GREY, VERMILION
from playground.ui.compare_charts import COLORS, SHAPES


def intervals_chart(rows: Sequence[dict[str, Any]], unit: str) -> alt.LayerChart:
    """Bits per `unit` of every model with its interval; a row is one of `table_rows`."""
    shown = [
        {
            **{name: row[name] for name in ("model", "bits", "units")},
            "low": row["bits"] if row["low"] is None else row["low"],
            "high": row["bits"] if row["high"] is None else row["high"],
            "says": f"{row['bits']:.3f}",
        }
        for row in rows
    ]
    base = alt.Chart(alt.Data(values=shown)).encode(
        y=alt.Y(
            "model:N",
            sort=None,
            title=None,
            scale=alt.Scale(paddingOuter=0.4),
            axis=alt.Axis(labelLimit=200, labelFontSize=12),
        )
    )
    scale = alt.Scale(zero=False, padding=12)
    title = f"bits per {unit} (fewer: better)"
    x = alt.X("bits:Q", title=title, scale=scale)
    tooltip = [
        "model:N",
        alt.Tooltip("bits:Q", title=f"bits per {unit}", format=".4f"),
        alt.Tooltip("low:Q", title="95 % from", format=".4f"),
        alt.Tooltip("high:Q", title="95 % to", format=".4f"),
        alt.Tooltip("units:Q", title="units"),
    ]
    rule = base.mark_rule(strokeWidth=3, color=GREY).encode(
        x=alt.X("low:Q", scale=scale, title=title), x2="high:Q", tooltip=tooltip
    )
    points = base.mark_point(filled=True, size=90, color=BLUE, opacity=1).encode(
        x=x, tooltip=tooltip
    )
    figures = base.mark_text(dy=-11, fontSize=11, color=GREY).encode(x=x, text="says:N")
    return alt.layer(rule, points, figures).properties(height=alt.Step(36))


def ngrams_chart(rows: Sequence[dict[str, Any]]) -> alt.LayerChart:
    """How often each n-gram comes (hollow) and how often it counts (solid)."""
    shown = [
        {"gram": row["n-gram"], "count": row["in the candidate"],
         "most": row["most in a reference"], "counted": row["counted (clipped)"],
         "says": f"{row['counted (clipped)']} of {row['in the candidate']}"}
        for row in rows
    ]  # fmt: skip
    base = alt.Chart(alt.Data(values=shown)).encode(
        y=alt.Y("gram:N", sort=None, title=None, axis=alt.Axis(labelLimit=220, labelFontSize=12)),
        tooltip=[
            alt.Tooltip("gram:N", title="n-gram"),
            alt.Tooltip("count:Q", title="in the candidate"),
            alt.Tooltip("most:Q", title="most in a reference"),
            alt.Tooltip("counted:Q", title="counted"),
        ],
    )
    axis = alt.Axis(tickMinStep=1, format="d", grid=False)
    title = "times in the candidate (hollow), counted (solid)"
    x = alt.X("count:Q", title=title, axis=axis)
    hollow = base.mark_bar(fillOpacity=0.12, fill=GREY, stroke=GREY, strokeDash=[3, 2]).encode(x=x)
    solid = base.mark_bar(color=BLUE).encode(x=alt.X("counted:Q", title=title, axis=axis))
    figures = base.mark_text(align="left", dx=5, fontSize=11, color=GREY).encode(x=x, text="says:N")
    return alt.layer(hollow, solid, figures).properties(height=alt.Step(22))


def reliability_chart(rows: Sequence[dict[str, Any]]) -> alt.LayerChart:
    """Frequency against predicted probability, the diagonal, and how many predictions there are.

    A row is {"probability", "frequency", "count", "low", "high", "model"}.
    """
    models = list(dict.fromkeys(row["model"] for row in rows))
    base = alt.Chart(alt.Data(values=list(rows)))
    ends = [{"probability": 0, "frequency": 0}, {"probability": 1, "frequency": 1}]
    axis = alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1])
    scale = alt.Scale(domain=[0, 1])
    x = alt.X("probability:Q", title="predicted probability", axis=axis, scale=scale)
    y = alt.Y("frequency:Q", title="how often it came", axis=axis, scale=scale)
    color = alt.Color(
        "model:N", scale=alt.Scale(domain=models, range=list(COLORS[: len(models)])),
        legend=alt.Legend(title=None, orient="bottom", columns=1, labelLimit=260),
    )  # fmt: skip
    shape = alt.Shape("model:N", scale=alt.Scale(domain=models, range=list(SHAPES[: len(models)])))
    tooltip = [
        "model:N",
        alt.Tooltip("probability:Q", title="predicted", format=".1%"),
        alt.Tooltip("frequency:Q", title="came true", format=".1%"),
        alt.Tooltip("count:Q", title="predictions", format=","),
    ]
    diagonal = (
        alt.Chart(alt.Data(values=ends)).mark_line(color=GREY, strokeDash=[4, 4]).encode(x=x, y=y)
    )
    lines = base.mark_line(strokeWidth=2).encode(x=x, y=y, color=color)
    points = base.mark_point(filled=True, size=80, opacity=1).encode(
        x=x, y=y, color=color, shape=shape, tooltip=tooltip
    )
    return alt.layer(diagonal, lines, points).properties(height=480)


def counts_chart(rows: Sequence[dict[str, Any]]) -> alt.Chart:
    """How many predictions fall into each bin, by model."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    count = alt.Y("count:Q", title="predictions", axis=alt.Axis(tickCount=3))
    tooltip = ["model:N", alt.Tooltip("count:Q", format=","),
               alt.Tooltip("probability:Q", format=".1%")]  # fmt: skip
    return _side_by_side(
        rows, alt.X("from:N", title="predicted probability from"), count, "model", models, COLORS,
        tooltip,
    ).properties(height=200)  # fmt: skip


def lengths_chart(rows: Sequence[dict[str, Any]]) -> alt.Chart:
    """Share of the characters of each kind of text that lie in copies of so many characters."""
    kinds = list(dict.fromkeys(row["text"] for row in rows))
    share = alt.Y("share:Q", title="share of the text", axis=alt.Axis(format="%"))
    legend = alt.Legend(title=None, orient="bottom", columns=1, labelLimit=300)
    return _side_by_side(
        rows, alt.X("length:N", title="characters of the longest copy around"), share, "text",
        kinds, (VERMILION, GREY), ["text:N", "length:N", alt.Tooltip("share:Q", format=".1%")],
        legend,
    ).properties(height=340)  # fmt: skip


def _side_by_side(
    rows: Sequence[dict[str, Any]], x: alt.X, y: alt.Y, group: str, groups: Sequence[str],
    colors: Sequence[str], tooltip: list, legend: alt.Legend | None = None,
) -> alt.Chart:  # fmt: skip
    """Bars of all groups beside each other at every x, in the order in which they come."""
    scale = alt.Scale(domain=list(groups), range=list(colors[: len(groups)]))
    axis = alt.Axis(labelAngle=0, labelOverlap=False)
    return (
        alt.Chart(alt.Data(values=list(rows)))
        .mark_bar()
        .encode(
            x=x.sort(None).axis(axis), xOffset=alt.XOffset(f"{group}:N", sort=list(groups)), y=y,
            color=alt.Color(f"{group}:N", scale=scale, legend=legend), tooltip=tooltip,
        )
    )  # fmt: skip
