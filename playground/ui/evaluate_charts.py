"""Charts of the Evaluate page, authored in Altair: data to chart, without streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from playground.ui.charts import BLUE, GREY


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
        y=alt.Y("model:N", sort=None, title=None, axis=alt.Axis(labelLimit=200, labelFontSize=12))
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
    rule = base.mark_rule(strokeWidth=3, color=BLUE, opacity=0.45).encode(
        x=alt.X("low:Q", scale=scale, title=title), x2="high:Q", tooltip=tooltip
    )
    points = base.mark_point(filled=True, size=90, color=BLUE, opacity=1).encode(
        x=x, tooltip=tooltip
    )
    figures = base.mark_text(dy=-11, fontSize=11, color=GREY).encode(x=x, text="says:N")
    return alt.layer(rule, points, figures).properties(height=alt.Step(36))
