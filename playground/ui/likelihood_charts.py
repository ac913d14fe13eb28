"""Charts of how likely a picture or a sound is: by class, the classifier's answer, by model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache

import altair as alt

from playground.ui.charts import BLUE, GREY, VERMILION

NAMES = 130  # pixels for the longest name


def class_rows(
    names: Sequence[str], bits: Sequence[float], posterior: Sequence[float], true: int | None
) -> list[dict]:
    """Return one row a class, the likeliest first."""
    order = sorted(range(len(names)), key=lambda i: bits[i])
    return [
        {
            "class": names[i] if names[i] not in names[:i] else f"{names[i]} #{i}",
            "bits": round(float(bits[i]), 5),
            "more": round(float(bits[i] - bits[order[0]]), 5),
            "posterior": float(posterior[i]),
            "says": percent(posterior[i]),
            "is": "the model's answer" if i == order[0] else "another class",
            "true": i == true,
        }
        for i in order
    ]


def percent(p: float) -> str:
    """Return a probability as per cent, as exact as it can be read."""
    if p >= 0.9995 and p < 1 - 1e-12:
        return "> 99.9 %"
    return f"{100 * p:.1f} %" if p >= 0.001 else "< 0.1 %"


def _classes() -> alt.Y:
    return alt.Y(
        "class:N", sort=None, title=None, axis=alt.Axis(labelLimit=NAMES, labelFontSize=12)
    )


def _answer() -> alt.Color:
    kinds = ["the model's answer", "another class"]
    scale = alt.Scale(domain=kinds, range=[VERMILION, BLUE])
    return alt.Color("is:N", scale=scale, legend=None)


def bits_by_class_chart(
    rows: Sequence[dict], unit: str = "dimension", what: str = "picture"
) -> alt.LayerChart:
    """Bits per `unit` of `what` under each class: bars from zero, and the figure."""
    base = alt.Chart(alt.Data(values=list(rows))).encode(y=_classes())
    widest = alt.X(
        "bits:Q", title=f"bits per {unit} (fewer: likelier)", axis=alt.Axis(grid=False),
        scale=alt.Scale(zero=True),
    )  # fmt: skip
    tooltip = [
        "class:N",
        alt.Tooltip("bits:Q", title=f"bits per {unit}", format=".4f"),
        alt.Tooltip("more:Q", title="more than the best", format=".4f"),
        alt.Tooltip("posterior:Q", title=f"p(class | {what})", format=".3~%"),
    ]
    bars = base.mark_bar(height={"band": 0.68}).encode(x=widest, color=_answer(), tooltip=tooltip)
    figures = base.mark_text(align="right", dx=-4, fontSize=11, color="white").encode(
        x=widest, text=alt.Text("bits:Q", format=".3f")
    )
    return alt.layer(bars, figures).properties(height=alt.Step(24))


def posterior_chart(rows: Sequence[dict], what: str = "picture") -> alt.LayerChart:
    """The classifier's answer: the posterior of each class, from 0 to 1."""
    base = alt.Chart(alt.Data(values=list(rows))).encode(y=_classes())
    scale = alt.Scale(domain=[0, 1.25])
    axis = alt.Axis(format="%", values=[0, 0.5, 1], grid=False)
    x = alt.X("posterior:Q", title=f"p(class | {what})", axis=axis, scale=scale)
    tooltip = ["class:N", alt.Tooltip("posterior:Q", title=f"p(class | {what})", format=".3~%")]
    bars = base.mark_bar(height={"band": 0.68}).encode(x=x, color=_answer(), tooltip=tooltip)
    figures = base.mark_text(align="left", dx=5, fontSize=11, color=GREY).encode(x=x, text="says:N")
    return alt.layer(bars, figures).properties(height=alt.Step(24))


def models_chart(rows: Sequence[dict]) -> alt.LayerChart:
    """Bits per dimension of one picture by model, with those of its test pictures as a mark.

    A row is {"model", "bits", "usual", "told", "is"}; "is" tells the chosen model from others.
    """
    base = alt.Chart(alt.Data(values=list(rows))).encode(
        y=alt.Y("model:N", sort=None, title=None, axis=alt.Axis(labelLimit=220, labelFontSize=12))
    )
    x = alt.X("bits:Q", title="bits per dimension (fewer: likelier)", axis=alt.Axis(grid=False))
    kinds = ["the chosen model", "another model"]
    color = alt.Color(
        "is:N", scale=alt.Scale(domain=kinds, range=[VERMILION, BLUE]), legend=None
    )  # fmt: skip
    tooltip = [
        "model:N",
        alt.Tooltip("bits:Q", title="this picture, bits per dimension", format=".4f"),
        alt.Tooltip("usual:Q", title="test pictures on average", format=".4f"),
        "told:N",
    ]
    bars = base.mark_bar(height={"band": 0.6}).encode(x=x, color=color, tooltip=tooltip)
    figures = base.mark_text(align="right", dx=-4, fontSize=11, color="white").encode(
        x=x, text=alt.Text("bits:Q", format=".3f")
    )
    usual = (
        base.transform_filter("isValid(datum.usual)")
        .mark_tick(color=GREY, thickness=3, size=20)
        .encode(x="usual:Q", tooltip=tooltip)
    )
    return alt.layer(bars, figures, usual).properties(height=alt.Step(28))


@lru_cache(maxsize=8)
def _spec_of(make, *told: str) -> str:
    spec = make([{}], *told).to_dict()
    for part in (spec, *spec["layer"]):
        part.pop("data", None)
        part.pop("datasets", None)
    return json.dumps(spec)


def spec_of(make, *told: str) -> dict:
    """Return a chart of this module without its rows, to be sent with a data frame.

    `told` are the other arguments of what makes it.
    """
    return json.loads(_spec_of(make, *told))
