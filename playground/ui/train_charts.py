"""Charts of a training, authored in Altair: its curves while it goes on, and what it knew when."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import altair as alt
import pandas as pd

from playground.running.metrics import Metrics
from playground.ui.charts import BLUE, GREEN, GREY, VERMILION

KINDS = ("training, one batch", "held out")
HEIGHT = 190


def loss_rows(metrics: Metrics) -> pd.DataFrame:
    """Return one row a point of either curve."""
    rows = [(p["step"], p["bits"], KINDS[0]) for p in metrics.steps]
    rows += [(p["step"], p["bits"], KINDS[1]) for p in metrics.judged]
    return pd.DataFrame(rows, columns=["step", "bits", "of"])


def step_rows(metrics: Metrics) -> pd.DataFrame:
    """Return one row a report: gradient norm, rate and speed."""
    columns = ["step", "gradient_norm", "learning_rate", "speed"]
    return pd.DataFrame(metrics.steps, columns=columns)


def _step() -> alt.X:
    axis = alt.Axis(grid=False, tickMinStep=1, tickCount=6, format=",d")
    return alt.X("step:Q", title="optimizer steps", axis=axis)


@lru_cache(maxsize=1)
def loss_spec() -> dict:
    """Loss of the batches and of the held-out text, without rows."""
    color = alt.Color(
        "of:N", scale=alt.Scale(domain=list(KINDS), range=[GREY, VERMILION]),
        legend=alt.Legend(title=None, orient="top", symbolType="stroke", symbolStrokeWidth=3),
    )  # fmt: skip
    y = alt.Y("bits:Q", title="bits per character", scale=alt.Scale(zero=False),
              axis=alt.Axis(format=".4~g"))  # fmt: skip
    tooltip = ["of:N", alt.Tooltip("step:Q", format=",d"), alt.Tooltip("bits:Q", format=".3f")]
    base = alt.Chart(alt.Data(values=[{}])).encode(x=_step(), y=y, color=color, tooltip=tooltip)
    line = base.mark_line(strokeWidth=1.8)
    points = base.transform_filter(f"datum.of == '{KINDS[1]}'").mark_point(filled=True, size=36)
    return _bare(alt.layer(line, points).properties(height=HEIGHT + 50))


@lru_cache(maxsize=4)
def curve_spec(name: str, title: str, color: str, form: str, is_log: bool = False) -> dict:
    """One figure against the steps, without rows."""
    scale = alt.Scale(type="log", nice=False) if is_log else alt.Scale(zero=True)
    axis = alt.Axis(tickCount=4, format=form, grid=not is_log, labelOverlap="greedy")
    y = alt.Y(f"{name}:Q", title=title, scale=scale, axis=axis)
    tooltip = [alt.Tooltip("step:Q", format=",d"), alt.Tooltip(f"{name}:Q", title=title)]
    chart = alt.Chart(alt.Data(values=[{}])).mark_line(color=color, strokeWidth=1.8)
    return _bare(chart.encode(x=_step(), y=y, tooltip=tooltip).properties(height=HEIGHT))


def curve_specs() -> dict[str, dict]:
    """Return the small charts by what they show."""
    return {
        "Gradient norm": curve_spec("gradient_norm", "norm before clipping", BLUE, ".3~g", True),
        "Learning rate": curve_spec("learning_rate", "rate of AdamW", GREEN, ".3~g"),
        "Throughput": curve_spec("speed", "tokens per second", BLUE, ",d"),
    }


def surprisal_rows(
    steps: Sequence[int], bits: Sequence[Sequence[float]], labels: Sequence[str]
) -> list[dict]:
    """Return one row a snapshot and token: how surprising it was after so many steps."""
    return [
        {"step": f"{step:,}", "position": i, "token": labels[i], "bits": round(value, 3)}
        for step, row in zip(steps, bits, strict=True)
        for i, value in enumerate(row)
    ]


def surprisal_chart(rows: Sequence[dict], labels: Sequence[str], chosen: int) -> alt.LayerChart:
    """Surprisal of each token of a text (across) after each number of steps (down).

    The row of the `chosen` step is framed.
    """
    names = "[" + ",".join(f"'{_quoted(label)}'" for label in labels) + "]"
    every = max(1, math.ceil(len(labels) / 60))
    axis = alt.Axis(labelExpr=f"{names}[datum.value]", title=None, labelAngle=0, ticks=False,
                    values=list(range(0, len(labels), every)), labelOverlap=False)  # fmt: skip
    y = alt.Y("step:O", sort=None, title="after steps", axis=alt.Axis(ticks=False))
    legend = alt.Legend(title="bits", orient="right", gradientLength=120)
    most = max(8, math.ceil(max((row["bits"] for row in rows), default=0)))  # byte pairs need more
    scale = alt.Scale(scheme="oranges", domain=[0, most])
    base = alt.Chart(alt.Data(values=list(rows))).encode(y=y)
    cells = base.mark_rect().encode(
        x=alt.X("position:O", axis=axis),
        color=alt.Color("bits:Q", scale=scale, legend=legend),
        tooltip=["token:N", "step:O", alt.Tooltip("bits:Q", format=".2f")],
    )
    here = base.transform_filter(f"datum.step == '{chosen:,}'")
    frame = here.mark_rect(fillOpacity=0, stroke=BLUE, strokeWidth=2)
    return alt.layer(cells, frame).properties(height=alt.Step(26))


def mean_rows(steps: Sequence[int], bits: Sequence[Sequence[float]], chosen: int) -> list[dict]:
    """Return the mean surprisal of a text after each number of steps."""
    return [
        {"step": step, "at": step + 1, "bits": round(sum(row) / len(row), 4),
         "is": "here" if step == chosen else "another"}
        for step, row in zip(steps, bits, strict=True)
    ]  # fmt: skip


def mean_chart(rows: Sequence[dict]) -> alt.LayerChart:
    """Mean surprisal of a text against the steps, on a logarithmic axis that begins before any."""
    axis = alt.Axis(grid=False, labelExpr="format(datum.value - 1, ',d')",
                    values=[row["at"] for row in rows], labelOverlap="greedy")  # fmt: skip
    x = alt.X("at:Q", title="optimizer steps", axis=axis,
              scale=alt.Scale(type="log", nice=False))  # fmt: skip
    y = alt.Y("bits:Q", title="bits per token", scale=alt.Scale(zero=True))
    tooltip = [alt.Tooltip("step:Q", format=",d"), alt.Tooltip("bits:Q", format=".3f")]
    base = alt.Chart(alt.Data(values=list(rows))).encode(x=x, y=y, tooltip=tooltip)
    scale = alt.Scale(domain=["here", "another"], range=[VERMILION, BLUE])
    points = base.mark_point(filled=True, size=80, opacity=1).encode(
        color=alt.Color("is:N", scale=scale, legend=None)
    )
    return alt.layer(base.mark_line(color=BLUE), points).properties(height=220)


def _bare(chart: alt.Chart | alt.LayerChart) -> dict:
    spec = chart.to_dict()
    for part in (spec, *spec.get("layer", [])):
        part.pop("data", None)
        part.pop("datasets", None)
    return spec


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
