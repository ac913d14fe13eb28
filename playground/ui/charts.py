"""Data to charts, without streamlit: rows from Steps, and Vega-Lite charts authored in Altair.

A page sends the cached dictionary of a chart with fresh rows (0.3 ms) instead of building the
chart at every click (11 ms); downloads put the rows inside and render on the server.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import altair as alt
import vl_convert

from playground.traces.trace import Step

BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8A94A3"  # for all eyes
SHOWN = 12  # candidates in the chart
FIGURES_END = 0.97  # of a column's width


def _longest_bar(stages: int) -> float:
    """Return the longest bar as a share of its column; figures need the rest."""
    return 0.68 if stages <= 2 else 0.5


def candidate_rows(step: Step, label: Callable[[int], str], shown: int = SHOWN) -> list[dict]:
    """Return one row a candidate and stage: where its bar lies, how likely, kept or removed.

    The last rows are all other tokens together, so that every column adds up to 1. A token that a
    stage removed keeps a hollow bar of its last probability there.
    """
    picked = list(step.candidates[:shown])
    picked += [c for c in step.candidates[shown:] if c.token == step.token]
    top = max(math.exp(lp) for c in step.candidates for lp in c.logprobs)
    rows, names = [], set()
    rest = [1.0] * len(step.stages)
    longest = _longest_bar(len(step.stages))
    for candidate in picked:
        name = label(candidate.token)
        name = name if name not in names else f"{name} #{candidate.token}"
        names.add(name)
        last = 0.0
        for stage, logprob in enumerate(candidate.logprobs):
            p = math.exp(logprob)
            rest[stage] -= p
            removed = logprob == -math.inf
            last = last if removed else p
            at = candidate.removed_by
            kind = "removed" if removed else "taken" if candidate.token == step.token else "kept"
            if removed and at != stage:
                last = 0.0  # removed further left already
            rows.append(
                {
                    "name": name,
                    "stage": step.stages[stage],
                    "left": stage,
                    "right": stage + longest * last / top,
                    "end": stage + FIGURES_END,
                    "probability": p,
                    "kind": kind,
                    "says": _percent(p) if not removed else "✕" if at == stage else "",
                    "sid": f"{step.position}:{candidate.token}",
                }
            )
    for stage, p in enumerate(rest):
        p = max(0.0, p)
        rows.append(
            {
                "name": "all others",
                "stage": step.stages[stage],
                "left": stage,
                "right": stage + longest * min(1.0, p / top),
                "end": stage + FIGURES_END,
                "probability": p,
                "kind": "rest",
                "says": _percent(p),
                "sid": "",
            }
        )
    return rows


def candidate_bars(rows: Sequence[dict], stages: Sequence[str]) -> dict:
    """Return the same rows as the page draws them: one a token, with one cell a stage.

    A cell is the share of its column that the bar fills, its kind, its figure, its probability.
    """
    tokens: dict[str, dict] = {}
    for row in rows:
        token = tokens.setdefault(
            row["name"], {"name": row["name"], "sid": row["sid"], "cells": []}
        )
        width = round(row["right"] - row["left"], 4)
        token["cells"].append([width, row["kind"], row["says"], round(row["probability"], 6)])
    widest = min(16, max(map(len, tokens)) + 1)
    return {"stages": list(stages), "rows": list(tokens.values()), "widest": widest}


def _percent(p: float) -> str:
    if p == 0:
        return "0"
    return f"{100 * p:.1f} %" if p >= 0.001 else "< 0.1 %"


def candidates_chart(rows: Sequence[dict], stages: Sequence[str]) -> alt.LayerChart:
    """Bars of the likeliest tokens: one column for the model, one after each processor."""
    names = [[f"'{_quoted(part)}'" for part in stage.split("=")] for stage in stages]
    two_lines = "[" + ",".join(f"[{','.join(parts)}]" for parts in names) + "]"
    axis = alt.Axis(
        orient="top", title=None, values=list(range(len(stages))), grid=False, ticks=False,
        labelExpr=f"{two_lines}[datum.value]", domain=False, labelLimit=160, labelAlign="left",
        labelFontWeight="bold", labelOverlap=False, labelFontSize=11, labelFlush=False,
    )  # fmt: skip
    x = alt.X("left:Q", axis=axis, scale=alt.Scale(domain=[0, len(stages)], nice=False))
    y = alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelFontSize=13, labelLimit=140))
    kinds = ["taken", "kept", "removed", "rest"]
    color = alt.Color(
        "kind:N",
        scale=alt.Scale(domain=kinds, range=[VERMILION, BLUE, GREY, "#B8C0CC"]),
        legend=alt.Legend(
            title=None, orient="bottom", symbolType="square",
            labelExpr="{'taken': 'the choice', 'kept': 'possible', 'removed': '✕ removed', "
            "'rest': 'others'}[datum.label]",
        ),
    )  # fmt: skip
    tooltip = [
        alt.Tooltip("name:N", title="token"),
        alt.Tooltip("stage:N", title="after"),
        alt.Tooltip("probability:Q", format=".4%"),
        alt.Tooltip("kind:N", title="is"),
    ]
    base = alt.Chart(alt.Data(values=list(rows))).encode(y=y)
    solid = base.transform_filter("datum.kind != 'removed'").mark_bar(height={"band": 0.72})
    hollow = base.transform_filter("datum.kind == 'removed'").mark_bar(
        height={"band": 0.6}, fillOpacity=0.12, stroke=GREY, strokeDash=[3, 2], strokeWidth=1.2
    )
    figures = base.mark_text(align="right", fontSize=10).encode(
        x=alt.X("end:Q"), text="says:N", color=alt.value(GREY)
    )
    pick = alt.selection_point(name="pick", fields=["sid"], toggle=False)
    hit = (
        base.transform_filter("datum.left == 0")
        .mark_bar(opacity=0.001, cursor="pointer")
        .encode(x=alt.datum(0), x2=alt.datum(len(stages)), tooltip=tooltip)
        .add_params(pick)
    )
    bars = [layer.encode(x=x, x2="right:Q", color=color) for layer in (solid, hollow)]
    return alt.layer(*bars, figures, hit).properties(height=alt.Step(24))


def timeline_rows(steps: Sequence[Step], labels: Sequence[str], cursor: int) -> list[dict]:
    """Return one row a token: its surprisal and the entropy of the distribution it came from."""
    return [
        {
            "position": s.position,
            "left": s.position - 0.45,
            "right": s.position + 0.45,
            "token": name,
            "surprisal": round(s.surprisal, 4),
            "entropy": round(s.entropy_bits, 4),
            "rank": s.rank,
            "is": "here" if s.position == cursor else s.chosen_by,
        }
        for s, name in zip(steps, labels, strict=True)
    ]


def timeline_chart(rows: Sequence[dict]) -> alt.LayerChart:
    """Surprisal as bars and entropy as a line over the positions of a text."""
    base = alt.Chart(alt.Data(values=list(rows)))
    axis = alt.Axis(tickMinStep=1, grid=False, title="position (token)")
    scale = alt.Scale(nice=False, zero=False)
    tooltip = [
        "position:Q",
        alt.Tooltip("token:N"),
        alt.Tooltip("surprisal:Q", title="surprisal (bits)", format=".2f"),
        alt.Tooltip("entropy:Q", title="entropy (bits)", format=".2f"),
        alt.Tooltip("rank:Q"),
        alt.Tooltip("is:N", title="chosen by"),
    ]
    kinds = ["strategy", "draft", "prompt", "user", "here"]
    colors = [BLUE, GREEN, GREY, "#CC79A7", VERMILION]
    pick = alt.selection_point(name="at", fields=["position"], toggle=False)
    bars = (
        base.mark_bar(cursor="pointer")
        .encode(
            x=alt.X("left:Q", axis=axis, scale=scale),
            x2="right:Q",
            y=alt.Y("surprisal:Q", title="bits"),
            y2=alt.datum(0),
            color=alt.Color(
                "is:N",
                scale=alt.Scale(domain=kinds, range=colors),
                legend=alt.Legend(title=None, orient="bottom"),
            ),
            tooltip=tooltip,
        )
        .add_params(pick)
    )
    line = base.mark_line(color="#E69F00", strokeWidth=1.5, interpolate="step").encode(
        x="position:Q", y="entropy:Q"
    )
    return alt.layer(line, bars).properties(height=300)


def attention_chart(
    weights: Any, labels: Sequence[str], title: str, faintest: float = 0.001
) -> alt.Chart:
    """One head's map for a download: rows look at columns; logarithmic from `faintest` to 1."""
    n = len(labels)
    rows = [
        {"row": i, "column": j, "weight": max(faintest, float(weights[i][j]))}
        for i in range(n)
        for j in range(n)
    ]
    names = "[" + ",".join(f"'{_quoted(label)}'" for label in labels) + "]"
    axis = alt.Axis(labelExpr=f"{names}[datum.value]", title=None, labelOverlap=False)
    return (
        alt.Chart(alt.Data(values=rows), title=title)
        .mark_rect()
        .encode(
            x=alt.X("column:O", axis=axis),
            y=alt.Y("row:O", axis=axis),
            color=alt.Color(
                "weight:Q",
                scale=alt.Scale(
                    range=["white", "#D6E6F4", "#96C2E2", "#4A92C8", "#08519C"],
                    type="log",
                    domain=[faintest, 1],
                    interpolate="rgb",
                ),
                legend=alt.Legend(format=".2~p"),
            ),
        )
        .properties(width=alt.Step(13), height=alt.Step(13))
    )


@lru_cache(maxsize=64)
def candidates_spec(stages: tuple[str, ...]) -> dict:
    """Return `candidates_chart` without its rows, to be sent with a data frame."""
    return _without_rows(candidates_chart([{}], stages))


@lru_cache(maxsize=1)
def timeline_spec() -> dict:
    """Return `timeline_chart` without its rows, to be sent with a data frame."""
    return _without_rows(timeline_chart([{}]))


def render(chart: alt.Chart | alt.LayerChart, kind: str) -> bytes:
    """Return a chart as PNG or SVG, drawn on the server on white ground."""
    spec = chart.to_dict()
    spec["background"] = "white"
    if "width" not in spec:
        spec["width"] = 760
    if kind == "svg":
        return vl_convert.vegalite_to_svg(spec).encode()
    return vl_convert.vegalite_to_png(spec, scale=2)


def _without_rows(chart: alt.LayerChart) -> dict:
    spec = chart.to_dict()
    spec.pop("datasets", None)
    spec.pop("data", None)
    for layer in spec.get("layer", []):
        layer.pop("data", None)
    return spec


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
