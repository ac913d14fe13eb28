"""Charts of the ordering experiment, authored in Altair: bits by order, learning curves, grids."""

from __future__ import annotations

import math
from collections.abc import Sequence

import altair as alt
import numpy as np

from playground.experiments.ordering import Ordering
from playground.ui.charts import GREY
from playground.ui.compare_charts import COLORS, SHAPES

DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])


def _scale(found: Ordering) -> tuple[list[str], alt.Scale]:
    """One colour an order, the same in every chart."""
    names = [ordered.order for ordered in found.orders]
    return names, alt.Scale(domain=names, range=list(COLORS[: len(names)]))


def bits_rows(found: Ordering) -> list[dict]:
    """Return one row a run, and one an order with its mean and 95 % interval, the best first.

    A single run has no interval.
    """
    rows = []
    for ordered in found.best_first:
        told = ordered.bits_per_dim
        row = {"order": ordered.order, "kind": "mean", "bits": round(told.mean, 4)}
        if math.isfinite(told.half_width):
            row["low"] = round(told.mean - told.half_width, 4)
            row["high"] = round(told.mean + told.half_width, 4)
        rows.append(row)
        rows += [
            {"order": ordered.order, "kind": "seed", "seed": run.seed, "bits": run.bits_per_dim}
            for run in ordered.trained
        ]
    return rows


def bits_chart(found: Ordering) -> alt.LayerChart:
    """Bits per dimension of every run as a point; the mean of an order and its interval as bars."""
    names, scale = _scale(found)
    color = alt.Color("order:N", scale=scale, legend=None)
    shape = alt.Shape("order:N", scale=alt.Scale(domain=names, range=SHAPES[:4]), legend=None)
    x = alt.X("bits:Q", title="bits per dimension (less is better)", scale=alt.Scale(zero=False))
    y = alt.Y("order:N", sort=[o.order for o in found.best_first], title=None,
              axis=alt.Axis(labelFontSize=13, grid=True))  # fmt: skip
    base = alt.Chart(alt.Data(values=bits_rows(found)))
    means = base.transform_filter("datum.kind == 'mean'")
    tooltip = [
        "order:N",
        alt.Tooltip("bits:Q", title="mean", format=".4f"),
        alt.Tooltip("low:Q", title="95 % from", format=".4f"),
        alt.Tooltip("high:Q", title="95 % to", format=".4f"),
    ]
    interval = (
        means.transform_filter("isValid(datum.low)")
        .mark_rule(strokeWidth=7, opacity=0.3)
        .encode(x=alt.X("low:Q"), x2="high:Q", y=y, color=color, tooltip=tooltip)
    )
    mean = means.mark_tick(thickness=3, size=26).encode(x=x, y=y, color=color, tooltip=tooltip)
    runs = base.transform_filter("datum.kind == 'seed'").mark_point(
        filled=False, size=75, strokeWidth=1.8, opacity=1
    )
    runs = runs.encode(
        x=x, y=y, color=color, shape=shape,
        tooltip=["order:N", "seed:Q", alt.Tooltip("bits:Q", format=".4f")],
    )  # fmt: skip
    figures = means.mark_text(dy=-20, fontSize=12).encode(
        x=x, y=y, text=alt.Text("bits:Q", format=".3f"), color=color
    )
    return alt.layer(interval, mean, runs, figures).properties(height=76 * len(names))


def curve_rows(found: Ordering) -> list[dict]:
    """Return the mean of the seeds' learning curves, one row an order and step."""
    rows = []
    for ordered in found.orders:
        for points in zip(*(run.curve for run in ordered.trained), strict=True):
            bits = [value for _, value in points]
            rows.append(
                {
                    "order": ordered.order,
                    "step": points[0][0],
                    "bits": round(sum(bits) / len(bits), 4),
                    "low": min(bits),
                    "high": max(bits),
                }
            )
    return rows


def curve_chart(found: Ordering) -> alt.LayerChart:
    """Bits per dimension of the test pictures while the models learn; a band from seed to seed."""
    names, scale = _scale(found)
    legend = alt.Legend(
        title=None, orient="bottom", symbolType="stroke", symbolOpacity=1, symbolStrokeWidth=3
    )
    color = alt.Color("order:N", scale=scale, legend=legend)
    dashes = alt.Scale(domain=names, range=[list(dash) for dash in DASHES])
    base = alt.Chart(alt.Data(values=curve_rows(found))).encode(
        x=alt.X("step:Q", title="optimizer steps", axis=alt.Axis(grid=False))
    )
    y_scale = alt.Scale(zero=False)
    band = base.mark_area(opacity=0.2).encode(
        y=alt.Y("low:Q", scale=y_scale, title="bits per dimension"), y2="high:Q", color=color
    )
    line = base.mark_line(strokeWidth=2).encode(
        y=alt.Y("bits:Q", scale=y_scale),
        color=color,
        strokeDash=alt.StrokeDash("order:N", scale=dashes, legend=legend),
        tooltip=["order:N", "step:Q", alt.Tooltip("bits:Q", format=".3f")],
    )
    return alt.layer(band, line).properties(height=300)


def grid_rows(values: Sequence[float], width: int) -> list[dict]:
    """Return one row a pixel of a picture, given row by row."""
    return [
        {"row": i // width, "column": i % width, "value": value} for i, value in enumerate(values)
    ]


def grid_chart(
    values: Sequence[float], width: int, *, of: str, top: float, figures: str, scheme: str
) -> alt.LayerChart:
    """A small picture of numbers `of` the pixels, each written there, dark where it is high.

    `top` has the darkest colour of the scheme; `figures` is the numbers' format.
    """
    base = alt.Chart(alt.Data(values=grid_rows(values, width))).encode(
        x=alt.X("column:O", axis=None), y=alt.Y("row:O", axis=None)
    )
    scale = alt.Scale(scheme=scheme, domain=[0, top])
    tooltip = ["row:O", "column:O", alt.Tooltip("value:Q", title=of, format=figures)]
    pixels = base.mark_rect(stroke=GREY, strokeWidth=0.4).encode(
        color=alt.Color("value:Q", scale=scale, legend=None), tooltip=tooltip
    )
    is_dark = f"datum.value > {0.55 * top}"
    numbers = base.mark_text(fontSize=10).encode(
        text=alt.Text("value:Q", format=figures),
        color=alt.condition(is_dark, alt.value("white"), alt.value("#1A202C")),
        tooltip=tooltip,
    )
    return alt.layer(pixels, numbers).properties(height=27 * len(values) // width)


def when_decided(pixels_in_order: np.ndarray) -> list[int]:
    """Return when each pixel is decided, row by row: 0 for the first of all."""
    return np.argsort(pixels_in_order).tolist()
