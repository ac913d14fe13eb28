"""Charts of the Arena, authored in Altair: ratings with intervals, and who won against whom."""

from __future__ import annotations

import math

import altair as alt

from playground.ui.arena_data import Standing, span_of
from playground.ui.compare_charts import COLORS

ROW = 34  # pixels of a contestant
AXIS, SLANTED = 60, 150  # pixels below them
LABEL = 190  # of a name, at most


def rating_data(found: Standing) -> list[dict]:
    """Return a row a contestant that is rated; an open end reaches as far as the chart does."""
    rated = [r for r in found.table.ratings if r.points is not None]
    ends = [v for r in rated for v in (r.low, r.points, r.high) if v is not None]
    low, high = min(ends, default=-100.0) - 40, max(ends, default=100.0) + 40
    return [
        {
            "name": r.name, "points": round(r.points, 1), "votes": r.votes,
            "low": round(low if r.low is None else r.low, 1),
            "high": round(high if r.high is None else r.high, 1),
            "open": "open" if r.low is None or r.high is None else "bounded",
            "told": span_of(r),
            "group": f"group {r.group + 1}",
        }
        for r in rated
    ]  # fmt: skip


def rating_chart(found: Standing) -> alt.LayerChart:
    """Ratings in Elo points with 95 % intervals, the best above; groups in colours of their own."""
    rows = rating_data(found)
    groups = list(dict.fromkeys(row["group"] for row in rows))
    colors = [COLORS[i % len(COLORS)] for i in range(len(groups))]
    legend = alt.Legend(title=None, orient="top") if len(groups) > 1 else None
    color = alt.Color("group:N", scale=alt.Scale(domain=groups, range=colors), legend=legend)
    y = alt.Y("name:N", sort=[row["name"] for row in rows], title=None,
              axis=alt.Axis(labelLimit=LABEL))  # fmt: skip
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=y, color=color,
        tooltip=["name:N", alt.Tooltip("points:Q", title="rating", format=".0f"),
                 alt.Tooltip("told:N", title="95 %"), alt.Tooltip("votes:Q", title="comparisons")],
    )  # fmt: skip
    x = alt.X("low:Q", title="rating in Elo points",
              scale=alt.Scale(zero=False, nice=False, padding=10))  # fmt: skip
    dash = alt.StrokeDash(
        "open:N", legend=None, scale=alt.Scale(domain=["bounded", "open"], range=[[1, 0], [5, 4]])
    )
    interval = base.mark_rule(strokeWidth=3, opacity=0.85).encode(x=x, x2="high:Q", strokeDash=dash)
    points = base.mark_point(filled=True, size=110, opacity=1).encode(x="points:Q")
    return (interval + points).properties(height=ROW * len(rows) + AXIS)


def matrix_chart(found: Standing) -> alt.LayerChart:
    """Share of its comparisons that the row won against the column, ties as half."""
    order = [r.name for r in found.table.ratings if r.votes]
    rows = []
    for one in order:
        for other in order:
            i, j = found.names.index(one), found.names.index(other)
            share = float(found.won[i, j])
            if not math.isnan(share):
                rows.append(
                    {
                        "row": one,
                        "column": other,
                        "share": round(share, 4),
                        "met": int(found.met[i, j]),
                        "dark": abs(share - 0.5) > 0.3,
                    }
                )
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("column:N", sort=order, title="against", axis=alt.Axis(labelAngle=-35,
                labelLimit=120, labelOverlap=False, orient="bottom")),
        y=alt.Y("row:N", sort=order, title=None, axis=alt.Axis(labelLimit=LABEL)),
        tooltip=["row:N", "column:N", alt.Tooltip("share:Q", title="won", format=".0%"),
                 alt.Tooltip("met:Q", title="comparisons")],
    )  # fmt: skip
    color = alt.Color("share:Q", legend=None, scale=alt.Scale(
        domain=[0, 0.5, 1], range=["#D55E00", "#F2F2F2", "#0072B2"]))  # fmt: skip
    text = base.mark_text(fontSize=12).encode(
        text=alt.Text("share:Q", format=".0%"),
        color=alt.condition("datum.dark", alt.value("#FFFFFF"), alt.value("#222222")),
    )
    return (base.mark_rect().encode(color=color) + text).properties(
        height=ROW * len(order) + SLANTED
    )
