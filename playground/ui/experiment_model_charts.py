"""Charts of the experiments about kinds of models and ways to decode: families and quality.

Every function takes a result and returns its charts; none imports streamlit.
"""

from __future__ import annotations

import math
from types import SimpleNamespace

import altair as alt

from playground.experiments.findings_of_models import (
    HUMAN,
    is_counted,
    of_one_size,
    of_strategies,
)
from playground.experiments.results import Result
from playground.experiments.summaries import Row, ends, grouped, mean_of
from playground.ui import compare_charts
from playground.ui.experiment_marks import BITS, FREE, LOG_SCALE, Drawn, Marks, dots, level, lines

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
                "seconds": round(sum(row["seconds"] for row in of_family) / len(of_family), 1),
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
