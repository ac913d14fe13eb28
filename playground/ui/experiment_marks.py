"""What the charts of all experiments share: colours by name, legends, lines with their bands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt

from playground.ui.charts import GREY
from playground.ui.compare_charts import COLORS, SHAPES

DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
LOG = {"type": "log", "nice": False}
LOG_SCALE = alt.Scale(**LOG)
FREE = alt.Scale(zero=False)
BITS = "bits per character"


@dataclass(frozen=True)
class Drawn:
    """One chart of an experiment, and what is said above it and to who cannot see it."""

    name: str  # of its file and of its key
    title: str
    caption: str
    alt: str
    chart: alt.TopLevelMixin


@dataclass(frozen=True)
class Marks:
    """One colour, dash and shape a name, the same in every chart of an experiment."""

    names: tuple[str, ...]

    @property
    def colors(self) -> list[str]:
        """Eight colours for all eyes, then grey; dashes and shapes tell the rest apart."""
        return [COLORS[i] if i < len(COLORS) else GREY for i in range(len(self.names))]

    def legend(self, columns: int = 2) -> alt.Legend:
        return alt.Legend(
            title=None, orient="bottom", columns=columns, symbolType="stroke", symbolOpacity=1,
            symbolStrokeWidth=1, labelLimit=150, labelFontSize=11, columnPadding=4,
        )  # fmt: skip

    def color(self, field: str, legend: alt.Legend | None) -> alt.Color:
        scale = alt.Scale(domain=list(self.names), range=self.colors)
        return alt.Color(f"{field}:N", scale=scale, legend=legend)

    def dash(self, field: str) -> alt.StrokeDash:
        """A dash a name; none in the legend, where it would fray the symbols."""
        dashes = [list(DASHES[i % len(DASHES)]) for i in range(len(self.names))]
        scale = alt.Scale(domain=list(self.names), range=dashes)
        return alt.StrokeDash(f"{field}:N", scale=scale, legend=None)

    def shape(self, field: str) -> alt.Shape:
        shapes = [SHAPES[i % len(SHAPES)] for i in range(len(self.names))]
        return alt.Shape(
            f"{field}:N", scale=alt.Scale(domain=list(self.names), range=shapes), legend=None
        )


def lines(
    rows: Sequence[dict], marks: Marks, field: str, x: alt.X, y: alt.Y, *,
    columns: int = 2, band_opacity: float = 0.18,
) -> alt.LayerChart:  # fmt: skip
    """A line a name with its points, and the band from "low" to "high" where rows have them."""
    legend = marks.legend(columns)
    color = marks.color(field, legend)
    base = alt.Chart(alt.Data(values=list(rows))).encode(x=x)
    y_field = y.shorthand.removesuffix(":Q")
    tooltip = [
        f"{field}:N",
        alt.Tooltip(x.shorthand, format=",.4~r"),
        alt.Tooltip(y.shorthand, format=".4~r"),
        alt.Tooltip("low:Q", title="from", format=".4~r"),
        alt.Tooltip("high:Q", title="to", format=".4~r"),
    ]
    band = (
        base.transform_filter("isValid(datum.low)")
        .mark_area(opacity=band_opacity, clip=True)
        .encode(y=alt.Y("low:Q", scale=y["scale"], title=y["title"]), y2="high:Q", color=color)
    )
    line = base.mark_line(strokeWidth=2).encode(y=y, color=color, strokeDash=marks.dash(field))
    points = base.mark_point(size=36, filled=True, opacity=1).encode(
        y=alt.Y(f"{y_field}:Q", scale=y["scale"]), color=color, shape=marks.shape(field),
        tooltip=tooltip,
    )  # fmt: skip
    in_legend = 20 * math.ceil(len(marks.names) / columns)  # the page counts it as a part of it
    return alt.layer(band, line, points).properties(height=340 + in_legend)


def level(value: float, says: str, *, at_left: bool = False) -> alt.LayerChart:
    """A dashed grey line across the chart at a height, and what it is at one of its ends."""
    base = alt.Chart(alt.Data(values=[{"level": value, "says": says}])).encode(y="level:Q")
    rule = base.mark_rule(color=GREY, strokeDash=[5, 4], strokeWidth=1.3)
    align, dx = ("left", 4) if at_left else ("right", -4)
    text = base.mark_text(align=align, dx=dx, dy=-7, color=GREY, fontSize=11).encode(
        x=alt.value(0 if at_left else "width"), text="says:N"
    )
    return alt.layer(rule, text)


def dots(
    rows: Sequence[dict], y: str, x: alt.X, *, sort: Sequence[str], color: str = COLORS[0],
    zero: bool = False, step: int = 26,
) -> alt.LayerChart:  # fmt: skip
    """A row a name: its mean as a dot, its interval as a bar, and a line at 0 if `zero`."""
    base = alt.Chart(alt.Data(values=list(rows)))
    field = x.shorthand.removesuffix(":Q")
    height = alt.Y(f"{y}:N", sort=list(sort), title=None,
                   axis=alt.Axis(labelFontSize=12, labelLimit=150, grid=True))  # fmt: skip
    scale, title = x["scale"], x["title"]
    paint = alt.condition("datum.is_marked", alt.value(COLORS[1]), alt.value(color))
    tooltip = [
        f"{y}:N",
        alt.Tooltip(x.shorthand, title="mean", format=".4~r"),
        alt.Tooltip("low:Q", title="95 % from", format=".4~r"),
        alt.Tooltip("high:Q", title="95 % to", format=".4~r"),
    ]
    bars = (
        base.transform_filter("isValid(datum.low)")
        .mark_rule(strokeWidth=6, opacity=0.3)
        .encode(x=alt.X("low:Q", scale=scale, title=title), x2="high:Q", y=height, color=paint)
    )
    points = base.mark_point(filled=True, size=80, opacity=1).encode(
        x=alt.X(f"{field}:Q", scale=scale, title=title, axis=x["axis"]), y=height, color=paint,
        tooltip=tooltip,
    )  # fmt: skip
    layers = [bars, points]
    if zero:
        at_zero = alt.Chart(alt.Data(values=[{"zero": 0}]))
        layers.insert(0, at_zero.mark_rule(color=GREY, strokeDash=[4, 4]).encode(x="zero:Q"))
    return alt.layer(*layers).properties(height=alt.Step(step))
