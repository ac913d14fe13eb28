"""Charts of the experiments about models and what they write: families, strategies, sizes, lengths.

Every function takes a result and returns its charts; none imports streamlit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from types import SimpleNamespace

import altair as alt
import numpy as np

from playground.errors import DataError
from playground.experiments.findings_of_models import (
    BEYOND,
    HUMAN,
    is_counted,
    of_one_size,
    of_strategies,
    scaling_fit,
)
from playground.experiments.power_laws import FLOPS
from playground.experiments.results import Result
from playground.experiments.summaries import Row, ends, grouped, mean_of
from playground.ui import compare_charts
from playground.ui.charts import GREY
from playground.ui.experiment_marks import LOG, Drawn, Marks, dots, level, lines

BITS = "bits per character"
ISO_FLOPS = 5  # amounts of computation that are drawn
FREE = alt.Scale(zero=False)
LOG_SCALE = alt.Scale(**LOG)


# -- families --------------------------------------------------------------------------------------


def family_rows(result: Result) -> list[Row]:
    """Return the mean curve of each family's seeds: a row a family and validation."""
    rows = []
    for family, runs in of_one_size(result).items():
        for points in zip(*(run["curve"] for run in runs), strict=False):
            bits = [point["bits_per_char"] for point in points]
            row = {
                "family": family,
                "tokens": points[0]["tokens"],
                "seconds": round(sum(point["seconds"] for point in points) / len(points), 1),
                "bits": round(sum(bits) / len(bits), 4),
            }
            is_band = {"low": min(bits), "high": max(bits)} if len(bits) > 1 else {}
            rows.append(row | is_band)
    return rows


def size_rows(result: Result) -> list[Row]:
    """Return the mean of every family and size, with the interval where there are seeds."""
    rows = []
    trained = [row for row in result.rows if not is_counted(row)]
    for (family, parameters), runs in grouped(trained, "family", "parameters").items():
        found = mean_of(runs, "bits_per_char")
        row = {"family": family, "parameters": parameters, "bits": round(found.mean, 4)}
        rows.append(row | ends(found) | {"seeds": len(runs)})
    return sorted(rows, key=lambda row: row["parameters"])


def family_table(result: Result) -> list[Row]:
    """Return what the page's table says of every family, the best first."""
    runs = of_one_size(result) | {row["family"]: [row] for row in result.rows if is_counted(row)}
    rows = []
    for family, of_family in runs.items():
        found = mean_of(of_family, "bits_per_char")
        rows.append(
            {
                "family": family,
                "parameters": of_family[0]["parameters"] or None,
                "bits per character": round(found.mean, 3),
                "± (95 %)": None if math.isinf(found.half_width) else round(found.half_width, 3),
                "seeds": len(of_family),
                "seconds": round(sum(row["seconds"] for row in of_family) / len(of_family)),
            }
        )
    return sorted(rows, key=lambda row: row["bits per character"])


def families(result: Result) -> tuple[Drawn, ...]:
    marks = Marks(tuple(of_one_size(result)))
    rows, counts = family_rows(result), [row for row in result.rows if is_counted(row)]
    y = alt.Y("bits:Q", title=BITS, scale=FREE)
    found = []
    for by, title in (("tokens", "tokens read (log scale)"), ("seconds", "seconds (log scale)")):
        x = alt.X(f"{by}:Q", title=title, scale=LOG_SCALE, axis=alt.Axis(grid=False, format="~s"))
        chart = lines(rows, marks, "family", x, y)
        best = min(counts, key=lambda row: row["bits_per_char"], default=None)
        if best is not None:
            says = f"{best['family']} counts"
            chart = alt.layer(chart, level(best["bits_per_char"], says)).properties(height=400)
        found.append(
            Drawn(
                f"families-{by}", f"While they learn, by {by}",
                "Less is better. The mean of the seeds at one size; a band from the least to the "
                "greatest.",
                f"Held-out bits per character against {by}, a line a family", chart,
            )
        )  # fmt: skip
    x = alt.X("parameters:Q", title="parameters (log scale)", scale=LOG_SCALE,
              axis=alt.Axis(grid=False, format="~s"))  # fmt: skip
    by_size = lines(size_rows(result), marks, "family", x, y)
    marked = [
        level(row["bits_per_char"], row["family"], at_left=i % 2 == 1)
        for i, row in enumerate(counts)
    ]
    sizes = Drawn(
        "families-parameters", "At the end, by parameters",
        "Three sizes a family; the bar is the 95 % interval where there are seeds. Tables of "
        "counts have no parameters: dashed lines.",
        "Final bits per character against parameters, a line a family",
        alt.layer(by_size, *marked).properties(height=440),
    )  # fmt: skip
    return (*found, sizes)


# -- quality ---------------------------------------------------------------------------------------


def quality(result: Result) -> tuple[Drawn, ...]:
    rows = [row for row in of_strategies(result) if "perplexity" in row]
    labels = [row["strategy"] for row in rows if row["strategy"] != HUMAN]
    figures = {row["strategy"]: SimpleNamespace(**_figures(row)) for row in rows}
    points = compare_charts.scatter_rows(
        labels, [figures[label] for label in labels], figures.get(HUMAN), by_judge=False
    )
    _leave_out_names(points)
    scatter = Drawn(
        "quality-scatter", "Likely text repeats itself",
        "A point a way to decode, the mean over all prompts; the grey star is what people wrote "
        "after the same prompts. Perplexity is averaged as bits. Where names would cover each "
        "other, the next chart has them.",
        "Perplexity against repeated 4-grams, one labelled point a strategy and one for people",
        compare_charts.scatter_chart(points, labels, "the model itself"),
    )  # fmt: skip
    order = [r["strategy"] for r in sorted(rows, key=lambda row: row["perplexity"])]
    found = [scatter]
    for figure, title, scale, axis in (
        ("perplexity", "perplexity (log scale)", LOG_SCALE, alt.Axis(format="~g", tickCount=5)),
        ("seq_rep_4", "repeated 4-grams", alt.Scale(zero=True), alt.Axis(format="%")),
        ("distinct_2", "distinct-2 (different pairs of tokens)", FREE, alt.Axis(format=".0%")),
    ):
        told = [
            {
                "strategy": row["strategy"], figure: row[figure],
                "is_marked": row["strategy"] == HUMAN,
                **{end: row[f"{figure}_{end}"] for end in ("low", "high") if
                   f"{figure}_{end}" in row},
            }
            for row in rows if figure in row
        ]  # fmt: skip
        x = alt.X(f"{figure}:Q", title=title, scale=scale, axis=axis)
        found.append(
            Drawn(
                f"quality-{figure.replace('_', '-')}", title[0].upper() + title[1:],
                "Means over prompts and their 95 % intervals; people in orange.",
                f"{title} by strategy, with intervals", dots(told, "strategy", x, sort=order),
            )
        )  # fmt: skip
    return tuple(found)


def _leave_out_names(points: list[Row]) -> None:
    """Leave out the names of points that would cover another's; people's come first."""
    if not points:
        return
    heights = [math.log(point["perplexity"]) for point in points]
    tall = (max(heights) - min(heights)) or 1.0
    wide = max(point["repetition"] for point in points) or 1.0
    named: list[tuple[float, float]] = []
    order = sorted(points, key=lambda point: (point["kind"] != "human", -point["repetition"]))
    for point in order:
        x, y = point["repetition"] / wide, math.log(point["perplexity"]) / tall
        if any(abs(x - other) < 0.5 and abs(y - up) < 0.075 for other, up in named):
            point["side"] = "nowhere"
        else:
            named.append((x, y))
            point["side"] = "right" if x < 0.5 else "left"


def strategy_table(result: Result) -> list[Row]:
    """Return what the page's table says of every strategy, the likeliest first."""
    rows = [
        {
            "strategy": row["strategy"],
            "perplexity": round(row["perplexity"], 2),
            "repeated 4-grams": row.get("seq_rep_4"),
            "distinct-2": row.get("distinct_2"),
        }
        for row in of_strategies(result)
        if "perplexity" in row
    ]
    return sorted(rows, key=lambda row: row["perplexity"])


def _figures(row: Row) -> dict:
    return {name: row.get(name) for name in ("perplexity", "seq_rep_4", "distinct_2")}


# -- scaling ---------------------------------------------------------------------------------------


def scaling(result: Result) -> tuple[Drawn, ...]:
    """Draw what was measured as points and the fitted law as lines; only points if none fits."""
    try:
        law = scaling_fit(result, resamples=0).law
    except DataError:
        law = None
    found = []
    for by, other in (("parameters", "tokens"), ("tokens", "parameters")):
        values = sorted({row[by] for row in result.rows})
        span = np.geomspace(values[0], values[-1], 40)
        points, curves = [], []
        names = [_count(value) for value in sorted({row[other] for row in result.rows})]
        for value, name in zip(sorted({row[other] for row in result.rows}), names, strict=True):
            points += _points(result, by, other, value, name)
            if law is not None:
                pairs = ((v, value) if by == "parameters" else (value, v) for v in span)
                curves += [
                    {by: round(float(v)), other: name, "bits": round(float(law.loss(*pair)), 4)}
                    for v, pair in zip(span, pairs, strict=True)
                ]
        found.append(
            Drawn(
                f"scaling-{by}", f"Loss by {by}",
                f"A line a number of {other}: the law that fits all runs; points are runs. Both "
                "axes are logarithmic.",
                f"Bits per character against {by}, a line a number of {other}",
                _curves(points, curves, by, other, names),
            )
        )  # fmt: skip
    return (*found, *([_iso_flops(result, law)] if law is not None else []))


def _points(result: Result, by: str, other: str, value: int, name: str) -> Iterable[Row]:
    return [
        {by: row[by], other: name, "bits": row["bits_per_char"], "seed": row["seed"]}
        for row in result.rows
        if row[other] == value
    ]


def _curves(
    points: list[Row], curves: list[Row], by: str, of: str, names: list[str], y_title: str = BITS
) -> alt.LayerChart:
    marks = Marks(tuple(names))
    legend = marks.legend()
    legend.title = f"{of}"
    x = alt.X(f"{by}:Q", title=f"{by} (log scale)", scale=LOG_SCALE,
              axis=alt.Axis(format="~s", grid=False))  # fmt: skip
    y = alt.Y("bits:Q", title=f"{y_title} (log scale)", scale=LOG_SCALE,
              axis=alt.Axis(format=".2~f"))  # fmt: skip
    color = marks.color(of, legend)
    line = (
        alt.Chart(alt.Data(values=curves))
        .mark_line(strokeWidth=1.8)
        .encode(x=x, y=y, color=color, strokeDash=marks.dash(of, legend))
    )
    dot = (
        alt.Chart(alt.Data(values=points))
        .mark_point(size=60, filled=False, strokeWidth=1.6, opacity=1)
        .encode(
            x=x,
            y=y,
            color=color,
            shape=marks.shape(of),
            tooltip=[
                alt.Tooltip(f"{by}:Q", format=","),
                f"{of}:N",
                alt.Tooltip("bits:Q", format=".4f"),
                "seed:Q",
            ],
        )
    )
    return alt.layer(line, dot).properties(height=430)


def _iso_flops(result: Result, law) -> Drawn:
    """Draw the law at a few fixed amounts of computation, and its best size for each."""
    sizes = [row["parameters"] for row in result.rows]
    work = [FLOPS * row["parameters"] * row["tokens"] for row in result.rows]
    amounts = np.geomspace(min(work) * 4, max(work), ISO_FLOPS)
    span = np.geomspace(min(sizes) / 2, max(sizes) * 2, 60)
    names = [f"{amount:.0e} FLOPs".replace("e+", "e") for amount in amounts]
    curves, best = [], []
    for amount, name in zip(amounts, names, strict=True):
        bits = law.loss(span, amount / (FLOPS * span))
        rows = [
            {"parameters": round(float(n)), "computation": name, "bits": round(float(b), 4)}
            for n, b in zip(span, bits, strict=True)
        ]
        curves += rows
        least = min(rows, key=lambda row: row["bits"])
        if least not in (rows[0], rows[-1]):  # at an edge it is not the least of all sizes
            best.append(least | {"seed": None})
    return Drawn(
        "scaling-iso-flops", "The same computation, spent on size or on text (iso-FLOP)",
        f"A line an amount of computation, C = {FLOPS} N D, by the fitted law; a point is its best "
        "size, where that lies within what is drawn.",
        "Bits per character against parameters at fixed computation",
        _curves(best, curves, "parameters", "computation", names),
    )  # fmt: skip


def _count(value: float) -> str:
    """Return a number as an axis says it: 737k."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


# -- lengths ---------------------------------------------------------------------------------------


def lengths(result: Result) -> tuple[Drawn, ...]:
    losses, steps = result.where(what="loss"), result.where(what="step")
    names = result.values("family")
    marks = Marks(tuple(sorted(names, key=lambda name: "gram" in name)))  # grey, if there are many
    rows = [
        {"family": row["family"], "position": (row["first"] + row["last"]) / 2 + 1,
         "bits": row["bits"], "low": row["low"], "high": row["high"]}
        for row in losses
    ]  # fmt: skip
    y = alt.Y("bits:Q", title=BITS, scale=FREE)
    x = alt.X("position:Q", title="position (log scale)", scale=LOG_SCALE,
              axis=alt.Axis(grid=False, values=[1, 4, 16, 64, 256, 1024]))  # fmt: skip
    by_position = lines(rows, marks, "family", x, y, columns=2, band_opacity=0.07)
    edge = alt.Chart(alt.Data(values=[{"position": BEYOND, "says": "trained until here"}]))
    rule = edge.mark_rule(color=GREY, strokeDash=[5, 4]).encode(x="position:Q")
    text = edge.mark_text(align="right", dx=-5, y=8, color=GREY, fontSize=11).encode(
        x="position:Q", text="says:N"
    )
    found = [
        Drawn(
            "lengths-position", "Loss by position, within and beyond the trained length",
            "Means over windows of text and their 95 % bootstrap intervals. Learned positions end "
            f"at {BEYOND}: there is no vector for the next one.",
            "Bits per character by position, a line a family",
            alt.layer(by_position, rule, text).properties(height=480),
        )
    ]  # fmt: skip
    timed = [
        {"family": row["family"], "length": row["length"], "way": way, "ms": row[column]}
        for row in steps
        for way, column in (("with State", "ms_with_state"), ("without", "ms_without"))
    ]
    for way in ("with State", "without"):
        found.append(_by_length([r for r in timed if r["way"] == way], marks, "ms", way))
    kept = [row | {"bytes": row["state_bytes"]} for row in steps]
    found.append(_by_length(kept, marks, "bytes", "held"))
    return tuple(found)


def _by_length(rows: list[Row], marks: Marks, what: str, way: str) -> Drawn:
    title, unit = {
        "with State": ("Time of one more token, with a State", "milliseconds"),
        "without": ("The same without: all is read again", "milliseconds"),
        "held": ("What a State holds", "bytes"),
    }[way]
    shown = [{k: row[k] for k in ("family", "length", what)} for row in rows if row[what] > 0]
    x = alt.X("length:Q", title="tokens read (log scale)", scale=LOG_SCALE,
              axis=alt.Axis(grid=False, values=[16, 64, 256, 1000]))  # fmt: skip
    y = alt.Y(f"{what}:Q", title=f"{unit} (log scale)", scale=LOG_SCALE,
              axis=alt.Axis(format="~s" if what == "bytes" else "~g"))  # fmt: skip
    return Drawn(
        f"lengths-{way.replace(' ', '-').lower()}", title,
        "One machine, the fastest of several calls." if what == "ms" else
        "The State of one text: keys and values grow, a recurrent State does not.",
        f"{title} by length, a line a family", lines(shown, marks, "family", x, y, columns=2),
    )  # fmt: skip
