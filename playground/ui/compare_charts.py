"""Charts of a comparison, authored in Altair: how likely against how varied, surprisal.

Likely texts repeat themselves, so perplexity stands against repetition; likely pictures are all
alike, so bits per dimension stand against how far two pictures of a lane are apart; likely sounds
are silent, so bits per sample stand against silence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt

from playground.comparison.contract import AnyFigures
from playground.traces.trace import Step

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#9A7FD1", "#A87B32")
PENTAGON = "M0,-1L0.95,-0.31L0.59,0.81L-0.59,0.81L-0.95,-0.31Z"
CROSS = "M-1,-0.6L-0.6,-1L0,-0.4L0.6,-1L1,-0.6L0.4,0L1,0.6L0.6,1L0,0.4L-0.6,1L-1,0.6L-0.4,0Z"
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", PENTAGON, CROSS)
REAL = {"text": "human text", "image": "real pictures", "audio": "real sounds"}  # by modality
HUMAN = REAL["text"]
HUMAN_COLOR = "#8A94A3"
SIDES = {  # of a label: how it is aligned, and how far it is from its point
    "right": ("left", 11, 0), "above": ("center", 0, -14), "below": ("center", 0, 15),
    "left": ("right", -11, 0),
}  # fmt: skip
STAR = "M0,-1L0.25,-0.3L1,-0.3L0.4,0.15L0.6,0.9L0,0.45L-0.6,0.9L-0.4,0.15L-1,-0.3L-0.25,-0.3Z"
WIDE, TALL = 290.0, 270.0  # pixels up to the farthest point, about
Box = tuple[float, float, float, float]  # left, top, right, bottom
BAND = 15  # positions that a point of the line is the mean of


@dataclass(frozen=True)
class Plot:
    """What the scatter chart of a modality shows: how likely samples are against what it costs."""

    x: str  # field of a row
    x_of: str  # the figure it is
    x_title: str
    x_format: str  # of d3-format
    x_least: float  # that the axis reaches
    y: str
    y_of: str  # with "judge_" before it under a judge
    y_title: str
    y_format: str
    more: tuple[str, str, str, str]  # of a tooltip: field, figure, title, format
    is_log: bool = False
    is_share: bool = False  # x ends at 1


PLOTS = {  # by modality
    "text": Plot(
        "repetition", "seq_rep_4", "repeated 4-grams (share of a text)", ".1%", 0.1,
        "perplexity", "perplexity", "perplexity", ".2f",
        ("distinct", "distinct_2", "distinct-2", ".2f"), is_log=True, is_share=True,
    ),
    "image": Plot(
        "distance", "pairwise_distance", "how far two pictures are apart (of 255)", ".1f", 1.0,
        "bits", "bits_per_dim", "bits per dimension", ".3f",
        ("differing", "differing", "values that differ", ".1%"),
    ),
    "audio": Plot(
        "silence", "silent_share", "samples that are nearly silent", ".1%", 0.1,
        "bits", "bits_per_sample", "bits per sample", ".3f",
        ("loudness", "loudness", "loudness in dB", ".1f"), is_share=True,
    ),
}  # fmt: skip


def scatter_rows(
    labels: Sequence[str],
    figures: Sequence[AnyFigures],
    human: AnyFigures | None,
    *,
    by_judge: bool,
    modality: str = "text",
) -> list[dict]:
    """Return one row a lane, and one of what people made, where both figures are defined."""
    plot = PLOTS[modality]
    told = [(label, f, "lane") for label, f in zip(labels, figures, strict=True)]
    if human is not None:
        told.append((REAL[modality], human, "human"))
    rows = []
    for label, f, kind in told:
        x, y = getattr(f, plot.x_of), getattr(f, f"judge_{plot.y_of}" if by_judge else plot.y_of)
        if y is None or x is None or not math.isfinite(y):
            continue
        field, figure, *_ = plot.more
        rows.append(
            {"lane": label, "kind": kind, plot.x: round(x, 4), plot.y: round(y, 4),
             field: getattr(f, figure)}
        )  # fmt: skip
    heights = [row[plot.y] for row in rows]
    if plot.is_log:
        heights = [math.log(max(1e-9, height)) for height in heights]
    return _with_sides(rows, [row[plot.x] for row in rows], plot.x_least, heights)


def _with_sides(
    rows: list[dict], across: Sequence[float], least: float, heights: Sequence[float]
) -> list[dict]:
    """Say on which side of its point each label stands: the first where it hides nothing."""
    if not rows:
        return rows
    low, span = min(heights), max(0.2, max(heights) - min(heights))
    widest = max([least, *across])
    points = [
        (WIDE * x / widest, -TALL * (height - low) / span)
        for x, height in zip(across, heights, strict=True)
    ]
    taken = [(x - 8, y - 8, x + 8, y + 8) for x, y in points]
    for row, (x, y) in zip(rows, points, strict=True):
        boxes = {side: _label_box(x, y, len(row["lane"]), side) for side in SIDES}
        free = [side for side, box in boxes.items() if _is_free(box, taken)]
        row["side"] = free[0] if free else "right" if x < WIDE / 2 else "left"
        taken.append(boxes[row["side"]])
    return rows


def _label_box(x: float, y: float, letters: int, side: str) -> Box:
    align, dx, dy = SIDES[side]
    width = 7.0 * letters
    left = x + dx - {"left": 0, "center": width / 2, "right": width}[align]
    return left, y + dy - 7, left + width, y + dy + 7


def _is_free(box: Box, taken: Sequence[Box]) -> bool:
    inside = box[0] > 0 and box[2] < WIDE * 1.12
    return inside and not any(
        box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]
        for other in taken
    )


def _scales(lanes: Sequence[str]) -> tuple[alt.Color, alt.Shape]:
    """One colour and one shape a lane; what people made is a grey star of its own."""
    domain = [*lanes, *REAL.values()]
    colors = [COLORS[i % len(COLORS)] for i in range(len(lanes))] + [HUMAN_COLOR] * len(REAL)
    shapes = [SHAPES[i % len(SHAPES)] for i in range(len(lanes))] + [STAR] * len(REAL)
    return (
        alt.Color("lane:N", scale=alt.Scale(domain=domain, range=colors), legend=None),
        alt.Shape("lane:N", scale=alt.Scale(domain=domain, range=shapes), legend=None),
    )


def scatter_chart(
    rows: Sequence[dict], lanes: Sequence[str], who: str, modality: str = "text"
) -> alt.LayerChart:
    """How likely samples are under `who` against what it costs, one labelled point a lane."""
    plot = PLOTS[modality]
    widest = 1.12 * max([plot.x_least, *(row.get(plot.x, 0) for row in rows)])
    axis = alt.Axis(format="%", tickCount=6) if plot.is_share else alt.Axis(tickCount=6)
    x = alt.X(
        f"{plot.x}:Q", title=plot.x_title, axis=axis,
        scale=alt.Scale(domain=[0, min(1.05, widest) if plot.is_share else widest]),
    )  # fmt: skip
    found = [row[plot.y] for row in rows if plot.y in row] or [1.0]
    low, high = min(found), max(found)
    room = 0.12 * max(0.2, high - low)
    if plot.is_log:
        scale = alt.Scale(type="log", domain=[max(1e-6, low / 1.25), high * 1.25])
    else:
        scale = alt.Scale(domain=[low - room, high + room])  # a label below 0 needs room too
    y = alt.Y(
        f"{plot.y}:Q", scale=scale, axis=alt.Axis(format="~g", tickCount=5),
        title=f"{plot.y_title} under {who}{' (log scale)' if plot.is_log else ''}",
    )  # fmt: skip
    field, _, title, form = plot.more
    tooltip = [
        "lane:N",
        alt.Tooltip(f"{plot.y}:Q", title=plot.y_title, format=plot.y_format),
        alt.Tooltip(f"{plot.x}:Q", title=plot.x_title, format=plot.x_format),
        alt.Tooltip(f"{field}:Q", title=title, format=form),
    ]
    return _scatter(rows, lanes, x, y, tooltip)


def _scatter(
    rows: Sequence[dict], lanes: Sequence[str], x: alt.X, y: alt.Y, tooltip: list
) -> alt.LayerChart:
    color, shape = _scales(lanes)
    base = alt.Chart(alt.Data(values=list(rows)))
    human = base.transform_filter("datum.kind == 'human'").encode(x=x, y=y)
    rule = {"strokeDash": [4, 4], "opacity": 0.5, "color": HUMAN_COLOR}
    points = base.mark_point(filled=True, size=150, opacity=0.95).encode(
        x=x, y=y, color=color, shape=shape, tooltip=tooltip
    )
    names = [
        base.transform_filter(f"datum.side == '{side}'")
        .mark_text(align=align, dx=dx, dy=dy, fontSize=12, baseline="middle", limit=180)
        .encode(x=x, y=y, text="lane:N", color=color)
        for side, (align, dx, dy) in SIDES.items()
    ]
    return alt.layer(
        human.mark_rule(**rule).encode(y=y, x=alt.value(0), x2=alt.value("width")),
        human.mark_rule(**rule).encode(x=x, y=alt.value(0), y2=alt.value("height")),
        points,
        *names,
    ).properties(height=380)


def line_rows(
    labels: Sequence[str], texts: Sequence[Sequence[Step]], band: int = BAND, every: int = 1
) -> list[dict]:
    """Return the mean surprisal of the newest `band` tokens of each lane.

    One row for every so many positions; a second of sound has thousands.
    """
    rows = []
    for label, steps in zip(labels, texts, strict=True):
        bits = [min(99.0, step.surprisal) for step in steps]
        total = 0.0
        for i, value in enumerate(bits):
            total += value - (bits[i - band] if i >= band else 0.0)
            if (i + 1) % every:
                continue
            rows.append(
                {
                    "lane": label,
                    "token": i + 1,
                    "bits": round(total / min(i + 1, band), 3),
                }
            )
    return rows


def line_chart(
    rows: Sequence[dict], lanes: Sequence[str], band: int = BAND, token: str = "token"
) -> alt.Chart:
    """How surprising samples are to the model as they go on: loops and silence sink to zero."""
    colors = [COLORS[i % len(COLORS)] for i in range(len(lanes))]
    dashes = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [1, 0], [6, 3], [2, 2], [8, 3, 2, 3]]
    scale = alt.Scale(domain=list(lanes), range=colors)
    dash = alt.Scale(domain=list(lanes), range=dashes[: len(lanes)])
    legend = alt.Legend(title=None, orient="bottom", columns=3, symbolStrokeWidth=3, labelLimit=220)
    return (
        alt.Chart(alt.Data(values=list(rows)))
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("token:Q", title=token, axis=alt.Axis(grid=False, tickMinStep=1)),
            y=alt.Y("bits:Q", title=f"bits (mean of {band} {token}s)"),
            color=alt.Color("lane:N", scale=scale, legend=legend),
            strokeDash=alt.StrokeDash("lane:N", scale=dash, legend=legend),
            tooltip=["lane:N", "token:Q", alt.Tooltip("bits:Q", format=".2f")],
        )
        .properties(height=380)
    )
