"""Charts of the experiments about size and length: fitted power laws, loss and cost by position.

Every function takes a result and returns its charts; none imports streamlit.
"""

from __future__ import annotations

from collections.abc import Iterable

import altair as alt
import numpy as np

from playground.errors import DataError
from playground.experiments.findings_of_models import BEYOND, scaling_fit
from playground.experiments.power_laws import FLOPS
from playground.experiments.results import Result
from playground.experiments.summaries import Row
from playground.ui.charts import GREY
from playground.ui.experiment_marks import BITS, FREE, LOG_SCALE, Drawn, Marks, lines

ISO_FLOPS = 5  # amounts of computation that are drawn


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
        .encode(x=x, y=y, color=color, strokeDash=marks.dash(of))
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
