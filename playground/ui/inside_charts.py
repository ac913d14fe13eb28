"""Charts of what goes on inside a model, without streamlit: for the page and for downloads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from playground.ui.charts import BLUE, GREEN, GREY, VERMILION, attention_chart
from playground.ui.inside_data import faintest, strongest_of

LINE = 88  # characters of a line of tokens
LETTER, HIGH = 7.3, 26  # pixels that a letter takes, and a line
MATRIX_DRAWN = 64  # newest tokens of a matrix in a picture: more names cannot be read
UNITS_DRAWN = 6000  # cells of a heat map that a picture holds


def token_rows(texts: Sequence[str], weights: Sequence[float], arcs: Sequence[int]) -> list[dict]:
    """Return where each token stands on lines of LINE letters, and how strong it is."""
    rows, line, column = [], 0, 0
    strongest = strongest_of(np.asarray(weights))
    for i, (text, weight) in enumerate(zip(texts, weights, strict=True)):
        shown = text.replace("\n", "")
        wide = max(1, len(shown)) + (1 if i == 0 else 0)
        if column + wide > LINE:
            line, column = line + 1, 0
        rows.append(
            {
                "position": i, "token": shown, "line": line, "left": column,
                "right": column + wide, "weight": float(weight),
                "share": min(1.0, weight / strongest),
                "arc": i in arcs,
            }
        )  # fmt: skip
        column += wide
        if text.endswith("\n"):
            line, column = line + 1, 0
    return rows


def tokens_chart(
    texts: Sequence[str], weights: Sequence[float], arcs: Sequence[int], title: str
) -> alt.LayerChart:
    """Tokens as text, coloured by what the last position took of each, with lines to the strongest.

    Args:
        texts: of BOS and all tokens.
        arcs: positions that a line leads to.
    """
    rows = token_rows(texts, weights, set(arcs))
    last = rows[-1]
    for row in rows:
        row |= {"to_x": last["right"], "to_y": last["line"] + 0.5, "from_y": row["line"] + 0.5}
        row["middle"] = (row["left"] + row["right"]) / 2
        # Space in front of a text is not drawn, and most tokens begin with it.
        token = row["token"]
        row["at"] = row["left"] + (len(token) - len(token.lstrip()) if token.strip() else 0)
    lines = last["line"] + 1
    base = alt.Chart(alt.Data(values=rows))
    x = alt.X("left:Q", axis=None, scale=alt.Scale(domain=[0, LINE], nice=False))
    y_scale = alt.Scale(domain=[lines, 0], nice=False)
    scale = alt.Scale(range=["white", "#08519C"], interpolate="rgb", type="sqrt", domain=[0, 1])
    color = alt.Color("share:Q", scale=scale, legend=None)
    boxes = base.transform_calculate(top="datum.line + 0.15", bottom="datum.line + 0.85")
    boxes = boxes.mark_rect().encode(
        x=x, x2="right:Q", y=alt.Y("top:Q", axis=None, scale=y_scale), y2="bottom:Q", color=color
    )
    words = base.mark_text(font="monospace", fontSize=12, align="left", baseline="middle").encode(
        x="at:Q", y=alt.Y("from_y:Q", scale=y_scale), text="token:N",
        color=alt.condition("datum.share > 0.5", alt.value("white"), alt.value("#1A202C")),
    )  # fmt: skip
    lines_to = (
        base.transform_filter("datum.arc")
        .mark_rule(color=VERMILION)
        .encode(
            x="middle:Q",
            x2="to_x:Q",
            y=alt.Y("from_y:Q", scale=y_scale),
            y2="to_y:Q",
            opacity=alt.Opacity("share:Q", scale=alt.Scale(range=[0.1, 0.6]), legend=None),
            strokeWidth=alt.StrokeWidth("share:Q", scale=alt.Scale(range=[0.5, 3]), legend=None),
        )
    )
    return (
        alt.layer(boxes, lines_to, words)
        .properties(width=LINE * LETTER, height=lines * HIGH, title=title)
        .configure_view(stroke=None)
    )


def matrix_chart(weights: np.ndarray, names: Sequence[str], title: str, seen: int) -> alt.Chart:
    """One head's map of the newest MATRIX_DRAWN of `seen` tokens: rows look at columns."""
    weights = weights[-MATRIX_DRAWN:, -MATRIX_DRAWN:]
    return attention_chart(weights, list(names)[-MATRIX_DRAWN:], title, faintest(seen))


def heads_chart(values: np.ndarray, title: str, what: str) -> alt.Chart:
    """One number a head (n_layer, n_head) as colours; nan is left empty."""
    rows = [
        {"layer": layer + 1, "head": head + 1, "value": float(values[layer, head])}
        for layer, head in np.argwhere(~np.isnan(values)).tolist()
    ]
    return (
        alt.Chart(alt.Data(values=rows), title=title)
        .mark_rect()
        .encode(
            x=alt.X("head:O", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("layer:O"),
            color=alt.Color(
                "value:Q", title=what, scale=alt.Scale(scheme="blues", type="sqrt", domainMin=0)
            ),
            tooltip=["layer:O", "head:O", alt.Tooltip("value:Q", title=what, format=".4f")],
        )
        .properties(width=alt.Step(26), height=alt.Step(16))
    )


def lens_chart(data: dict) -> alt.LayerChart:
    """The table of layers as `inside_data.lens_data` has it: likeliest tokens, and how likely."""
    rows = [
        {
            "layer": data["layers"][layer], "order": -layer, "column": c,
            "token": data["names"][data["top"][layer][c]], "probability": data["probs"][layer][c],
        }
        for layer in range(len(data["layers"]))
        for c in range(len(data["columns"]))
    ]  # fmt: skip
    names = "[" + ",".join(f"'{_quoted(name)}'" for name in data["columns"]) + "]"
    base = alt.Chart(alt.Data(values=rows), title=data["title"]).encode(
        x=alt.X("column:O", title=None,
                axis=alt.Axis(labelExpr=f"{names}[datum.value]", labelAngle=-45, orient="top")),
        y=alt.Y("layer:N", title=None, sort=alt.EncodingSortField("order", order="ascending")),
    )  # fmt: skip
    boxes = base.mark_rect().encode(
        color=alt.Color(
            "probability:Q", scale=alt.Scale(scheme="blues", domain=[0, 1]),
            legend=alt.Legend(format="%"),
        )
    )  # fmt: skip
    words = base.mark_text(font="monospace", fontSize=10, limit=48).encode(
        text="token:N",
        color=alt.condition("datum.probability > 0.6", alt.value("white"), alt.value("#1A202C")),
    )
    return alt.layer(boxes, words).properties(width=alt.Step(50), height=alt.Step(18))


def rank_chart(rows: Sequence[dict]) -> alt.LayerChart:
    """The rank of one token through the layers, from `inside_data.lens_rows`; 1 is the likeliest.

    Logarithmic: the first layers put it anywhere in the vocabulary.
    """
    base = alt.Chart(alt.Data(values=list(rows))).encode(
        x=alt.X("layer:Q", title="layer", axis=alt.Axis(tickMinStep=1, grid=False)),
        y=alt.Y(
            "rank:Q", title="rank (1: likeliest)",
            scale=alt.Scale(type="log", reverse=True, domainMin=1, nice=False, padding=6),
            axis=alt.Axis(format="~s", tickCount=5),
        ),
    )  # fmt: skip
    tooltip = [
        alt.Tooltip("name:N", title="after"),
        alt.Tooltip("rank:Q", format=","),
        alt.Tooltip("probability:Q", format=".3~%"),
        alt.Tooltip("top:N", title="this layer says"),
        alt.Tooltip("top_probability:Q", title="with", format=".3~%"),
        alt.Tooltip("kl_bits:Q", title="bits from the last layer", format=".3f"),
    ]
    line = base.mark_line(color=GREY, strokeWidth=1.5)
    dots = base.mark_point(filled=True, size=60, opacity=1).encode(
        tooltip=tooltip,
        color=alt.condition("datum.rank == 1", alt.value(GREEN), alt.value(BLUE)),
        shape=alt.condition("datum.rank == 1", alt.value("diamond"), alt.value("circle")),
    )
    return alt.layer(line, dots).properties(height=240)


def units_chart(values: np.ndarray, names: Sequence[str], title: str) -> alt.Chart:
    """Units down, tokens across: what each unit holds, (units, tokens) in -1..1 or 0..1."""
    across = max(1, UNITS_DRAWN // len(values))
    values, names = values[:, -across:], list(names)[-across:]
    rows = [
        {"unit": i + 1, "token": j, "value": float(value)}
        for (i, j), value in np.ndenumerate(values)
    ]
    labels = "[" + ",".join(f"'{_quoted(name)}'" for name in names) + "]"
    low = min(0.0, float(values.min(initial=0)))
    scale = alt.Scale(scheme="blues", domain=[0, 1])
    if low < 0:
        top = float(np.abs(values).max())
        scale = alt.Scale(scheme="blueorange", domain=[top, -top])
    axis = alt.Axis(labelExpr=f"{labels}[datum.value]", title=None, labelOverlap=True)
    return (
        alt.Chart(alt.Data(values=rows), title=title)
        .mark_rect()
        .encode(
            x=alt.X("token:O", axis=axis),
            y=alt.Y("unit:O", axis=alt.Axis(labelOverlap=True)),
            color=alt.Color("value:Q", scale=scale),
        )
        .properties(width=760, height=max(120, min(400, 5 * len(values))))
    )


def as_spec(chart: Any) -> dict:
    """Return a chart without its rows, to be sent with a data frame."""
    spec = chart.to_dict()
    for part in (spec, *spec.get("layer", [])):
        part.pop("data", None)
        part.pop("datasets", None)
    return spec


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "⏎")


def memory_chart(rows: Sequence[dict]) -> alt.LayerChart:
    """Bytes that a State holds after so many tokens, and where it is now."""
    base = alt.Chart(alt.Data(values=list(rows))).encode(
        x=alt.X("tokens:Q", title="tokens read", axis=alt.Axis(grid=False)),
        y=alt.Y("bytes:Q", title="bytes", axis=alt.Axis(format="~s"), scale=alt.Scale(zero=True)),
        tooltip=[alt.Tooltip("tokens:Q", format=","), alt.Tooltip("bytes:Q", format=",")],
    )
    now = base.transform_filter("datum.now").mark_point(filled=True, size=90, color=VERMILION)
    return alt.layer(base.mark_line(color=BLUE), now).properties(height=200)


def tracker_rows(
    unit: np.ndarray, wanted: np.ndarray, names: Sequence[str], first: int, newest: int
) -> list[dict]:
    """Return one row a token: what a unit holds, and the property on the unit's own scale."""
    slope, offset = np.polyfit(wanted, unit, 1)
    fitted = slope * wanted + offset
    return [
        {
            "position": first + t, "token": names[t], "unit": float(unit[t]),
            "property": float(wanted[t]), "fitted": float(fitted[t]),
        }
        for t in range(max(0, len(unit) - newest), len(unit))
    ]  # fmt: skip


def tracker_chart(rows: Sequence[dict], name: str) -> alt.LayerChart:
    """A unit over time, and the property that it goes along with, fitted to its scale."""
    base = alt.Chart(alt.Data(values=list(rows))).encode(
        x=alt.X("position:Q", title="position (token)", scale=alt.Scale(zero=False, nice=False),
                axis=alt.Axis(grid=False, tickMinStep=1)),
        tooltip=[
            alt.Tooltip("position:Q"), alt.Tooltip("token:N"),
            alt.Tooltip("unit:Q", format=".2f"), alt.Tooltip("property:Q", title=name),
        ],
    )  # fmt: skip
    wanted = base.mark_line(color=GREY, strokeDash=[4, 3], interpolate="step-after").encode(
        y=alt.Y("fitted:Q", title=None)
    )
    unit = base.mark_line(color=BLUE, strokeWidth=1.5).encode(y="unit:Q")
    dots = base.mark_point(filled=True, opacity=0, size=80).encode(y="unit:Q")
    # A title up the side would be cut off where the chart is low.
    title = alt.TitleParams("unit (solid), property (dashed)", anchor="start", fontSize=12,
                            fontWeight="normal", color=GREY)  # fmt: skip
    return alt.layer(wanted, unit, dots).properties(height=220, title=title)
