"""The chart of sizes: one bar for every form of the same content."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import altair as alt

from playground.compression.report import Row
from playground.ui.charts import BLUE, GREY, VERMILION

KINDS = ("this model", "another way", "a figure, no file")


def size_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return one row a bar, in the order of the table."""
    return [
        {
            "form": row.name,
            "bytes": round(row.bytes, 1),
            "says": f"{row.bytes:,.0f} bytes",
            "is": KINDS[2] if not row.is_file else KINDS[row.name[:9] != "this file"],
            "note": row.note,
        }
        for row in rows
    ]


def sizes_chart(rows: Sequence[dict[str, Any]]) -> alt.LayerChart:
    """Bars from zero, and the figure at their ends."""
    base = alt.Chart(alt.Data(values=list(rows))).encode(
        y=alt.Y("form:N", sort=None, title=None, axis=alt.Axis(labelLimit=190, labelFontSize=12)),
        tooltip=["form:N", "says:N", "note:N"],
    )
    scale = alt.Scale(domain=list(KINDS), range=[VERMILION, BLUE, GREY])
    bars = base.mark_bar(height=14).encode(
        x=alt.X("bytes:Q", title="bytes (fewer: better)", axis=alt.Axis(grid=False, tickCount=5)),
        color=alt.Color("is:N", scale=scale, legend=None),
    )
    figures = base.mark_text(align="left", dx=4, color=GREY, fontSize=12).encode(
        x="bytes:Q", text="says:N"
    )
    return (bars + figures).properties(height=alt.Step(26))


@lru_cache(1)
def sizes_spec() -> dict[str, Any]:
    """Return the chart without rows, to be sent with a data frame."""
    spec = sizes_chart([]).to_dict()
    for part in (spec, *spec["layer"]):
        part.pop("data", None)
        part.pop("datasets", None)
    return spec
