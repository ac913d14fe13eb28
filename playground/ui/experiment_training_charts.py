"""Charts of the experiments about training: transfer, exposure bias, gradients, what helps.

Every function takes a result and returns its charts; none imports streamlit.
"""

from __future__ import annotations

import math

import altair as alt

from playground.experiments.findings_of_training import (
    JUDGE,
    OFF,
    ON,
    excess,
    felt,
    matrix,
    on_and_off,
)
from playground.experiments.ordering import interval
from playground.experiments.results import Result
from playground.experiments.summaries import Row, ends, grouped, mean_of
from playground.ui.charts import GREY
from playground.ui.compare_charts import COLORS
from playground.ui.experiment_marks import BITS, FREE, LOG, LOG_SCALE, Drawn, Marks, dots, lines

BINS = 40  # of a histogram of gradient norms


# -- transfer --------------------------------------------------------------------------------------


def transfer(result: Result, steps: int = 0) -> tuple[Drawn, ...]:
    rows = matrix(result, steps)
    names = result.values("trained_on")
    top, low = (f(row["bits"] for row in rows) for f in (max, min))
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("read:N", sort=names, title="reads",
                axis=alt.Axis(labelAngle=-45, labelLimit=110, labelOverlap=False)),
        y=alt.Y("trained_on:N", sort=names, title="trained on", axis=alt.Axis(labelLimit=110)),
    )  # fmt: skip
    tooltip = [
        "trained_on:N", "read:N", alt.Tooltip("bits:Q", format=".3f"),
        alt.Tooltip("half:Q", title="± 95 %", format=".3f"),
    ]  # fmt: skip
    cells = base.mark_rect(stroke=GREY, strokeWidth=0.4).encode(
        color=alt.Color("bits:Q", scale=alt.Scale(scheme="blues", domain=[low * 0.8, top]),
                        legend=None),
        tooltip=tooltip,
    )  # fmt: skip
    is_dark = f"datum.bits > {low * 0.8 + 0.55 * (top - low * 0.8)}"
    numbers = base.mark_text(fontSize=13).encode(
        text=alt.Text("bits:Q", format=".2f"),
        color=alt.condition(is_dark, alt.value("white"), alt.value("#1A202C")),
        tooltip=tooltip,
    )
    when = f"after {steps} steps of fine-tuning on what it reads" if steps else "at once"
    heat = Drawn(
        f"transfer-{steps}", f"Bits per character {when}",
        "A row is what a model was trained on, a column what it reads; dark is dear. The mean of "
        "the seeds.",
        "; ".join(f"{r['trained_on']} reads {r['read']}: {r['bits']:.2f}" for r in rows),
        alt.layer(cells, numbers).properties(height=48 * len(names) + 110),
    )  # fmt: skip
    return (heat, _tuning(result, names))


def _tuning(result: Result, names: list[str]) -> Drawn:
    """Draw how the bits of other texts fall while a model goes on learning, a line a text read."""
    rows = []
    others = [row for row in result.rows if row["trained_on"] != row["read"]]
    for (target, steps), of_target in grouped(others, "read", "steps").items():
        by_seed = [
            sum(row["bits_per_char"] for row in of_seed) / len(of_seed)
            for of_seed in grouped(of_target, "seed").values()
        ]
        found = interval(by_seed)
        row = {"read": target, "steps": steps, "bits": round(found.mean, 4)}
        rows.append(row | ends(found))
    x = alt.X("steps:Q", title="steps of fine-tuning", axis=alt.Axis(grid=False, tickMinStep=1))
    return Drawn(
        "transfer-tuning", "While they go on learning",
        "The mean over all models that were trained on something else, by what they read.",
        "Bits per character against steps of fine-tuning, a line a text read",
        lines(rows, Marks(tuple(names)), "read", x, alt.Y("bits:Q", title=BITS, scale=FREE),
              columns=2),
    )  # fmt: skip


# -- exposure --------------------------------------------------------------------------------------


def exposure(result: Result) -> tuple[Drawn, ...]:
    rows = []
    for (variant, what, by, position), of in grouped(
        [row for row in result.rows if row["what"] != "flip"], "variant", "what", "by", "position"
    ).items():
        if variant == OFF:
            found = mean_of(of, "bits")
            name = f"{what} text by {'the model' if by == 'itself' else by}"
            row = {"text": name, "position": position, "bits": round(found.mean, 4)}
            rows.append(row | ends(found))
    names = list(dict.fromkeys(row["text"] for row in rows))
    x = alt.X("position:Q", title="position (character)", axis=alt.Axis(grid=False))
    both = Drawn(
        "exposure-position", "Its own text against true text",
        "Surprisal by position after a true beginning, judged by the model itself and by a 6-gram "
        "that never reads its own; 95 % intervals over seeds.",
        "Bits by position of own and true text under two judges",
        lines(rows, Marks(tuple(names)), "text", x, alt.Y("bits:Q", title=BITS, scale=FREE),
              columns=2),
    )  # fmt: skip
    gaps = [
        {"sampling": variant, "position": p, "bits": round(gap.mean, 4)} | ends(gap)
        for variant in (OFF, ON)
        for p, gap in excess(result, variant, JUDGE).items()
    ]
    marks = Marks((OFF, ON))
    y = alt.Y("bits:Q", title="own minus true text, bits", scale=FREE)
    gap = Drawn(
        "exposure-excess", "How much dearer its own text is",
        "Own minus true under the 6-gram. Errors that build up would make it rise.",
        "Own minus true bits by position, with and without scheduled sampling",
        lines(gaps, marks, "sampling", x, y, columns=1),
    )  # fmt: skip
    kl = [
        {"sampling": variant, "distance": d, "KL": round(found.mean, 6)}
        | {end: max(value, 1e-6) for end, value in ends(found).items()}
        for variant in (OFF, ON)
        for d, found in felt(result, variant).items()
        if found.mean > 0
    ]
    x = alt.X("distance:Q", title="tokens behind the flipped one", axis=alt.Axis(grid=False))
    y = alt.Y("KL:Q", title="KL in bits (log scale)", scale=LOG_SCALE, axis=alt.Axis(format="~g"))
    flip = Drawn(
        "exposure-flip", "How long one wrong token is felt",
        "KL from what the model expects after the true text to what it expects after the same text "
        "with one letter changed.",
        "KL in bits against the distance from the flipped token",
        lines(kl, marks, "sampling", x, y, columns=1),
    )  # fmt: skip
    return both, gap, flip


# -- gradients -------------------------------------------------------------------------------------


def gradients(result: Result) -> tuple[Drawn, ...]:
    marks = Marks(tuple(result.values("cell")))
    norms = [row["norm"] for row in result.rows if row["norm"] > 0]
    scale = alt.Scale(**LOG, domain=[min(norms) / 2, max(norms) * 2])  # both charts, to compare
    found = []
    for state, title in (("fresh", "Before training"), ("trained", "After training")):
        rows = []
        for (cell, distance), of in grouped(result.where(state=state), "cell", "distance").items():
            logs = [math.log10(row["norm"]) for row in of if row["norm"] > 0]
            if logs:
                mean = interval(logs)
                row = {"cell": cell, "distance": distance, "norm": 10**mean.mean}
                rows.append(row | {end: 10**value for end, value in ends(mean).items()})
        x = alt.X("distance:Q", title="tokens back (log scale)", scale=LOG_SCALE,
                  axis=alt.Axis(grid=False, values=[1, 2, 5, 10, 20, 50, 100]))  # fmt: skip
        y = alt.Y("norm:Q", title="norm of the gradient (log scale)", scale=scale,
                  axis=alt.Axis(format=".0e", tickCount=6))  # fmt: skip
        found.append(
            Drawn(
                f"gradients-{state}", title,
                "The gradient of one prediction to the embedding of a token so far back; geometric "
                "means and 95 % intervals over seeds.",
                f"Gradient norm against distance, a line a cell, {title.lower()}",
                lines(rows, marks, "cell", x, y),
            )
        )  # fmt: skip
    return tuple(found)


# -- helps -----------------------------------------------------------------------------------------


def helps(result: Result) -> tuple[Drawn, ...]:
    gaps = on_and_off(result)
    rows = [
        {"about": about, "bits": round(gap.mean, 5), "is_marked": False} | ends(gap)
        for about, gap in gaps.items()
    ]
    x = alt.X("bits:Q", title="bits per character with it minus without (less is better)")
    found = [
        Drawn(
            "helps-differences", "With it minus without",
            "Paired over seeds, which share weights and batches; 95 % intervals. Left of the line "
            "it helps.",
            "; ".join(f"{about}: {gap.mean:+.3f}" for about, gap in gaps.items()),
            dots(rows, "about", x, sort=list(gaps), zero=True, step=46),
        )
    ]  # fmt: skip
    for about in gaps:
        found.append(_while_learning(result, about))
    found.append(_norms(result))
    return tuple(found)


def _while_learning(result: Result, about: str) -> Drawn:
    rows = []
    for way in ("on", "off"):
        runs = result.where(about=about, variant=f"{about} {way}")
        for points in zip(*(run["curve"] for run in runs), strict=False):
            bits = [point["bits_per_char"] for point in points]
            row = {"way": way, "tokens": points[0]["tokens"], "bits": sum(bits) / len(bits)}
            rows.append(row | ({"low": min(bits), "high": max(bits)} if len(bits) > 1 else {}))
    x = alt.X("tokens:Q", title="tokens read", axis=alt.Axis(format="~s", grid=False))
    family = result.where(about=about)[0]["family"]
    return Drawn(
        f"helps-{about.replace(' ', '-')}", f"{about[0].upper()}{about[1:]} ({family})",
        "The mean of the seeds, and a band from the least to the greatest.",
        f"Held-out bits against tokens with {about} on and off",
        lines(rows, Marks(("on", "off")), "way", x, alt.Y("bits:Q", title=BITS, scale=FREE)),
    )  # fmt: skip


def norm_rows(result: Result) -> list[Row]:
    """Return a histogram of the gradient norms of both ways, in bins of equal ratio."""
    of_way = {
        way: [n for row in result.where(variant=f"clipping {way}") for n in row["gradient_norms"]]
        for way in ("on", "off")
    }
    norms = [n for values in of_way.values() for n in values if n > 0 and math.isfinite(n)]
    low, high = math.log10(min(norms)), math.log10(max(norms) * 1.001)
    width = max(high - low, 1e-6) / BINS
    rows = []
    for way, values in of_way.items():
        counts = [0] * BINS
        for n in values:
            if n > 0 and math.isfinite(n):
                counts[min(BINS - 1, int((math.log10(n) - low) / width))] += 1
        rows += [
            {"way": f"clipping {way}", "left": 10 ** (low + i * width),
             "right": 10 ** (low + (i + 1) * width), "share": count / max(1, len(values))}
            for i, count in enumerate(counts)
        ]  # fmt: skip
    return rows


def _norms(result: Result) -> Drawn:
    names = ["clipping on", "clipping off"]
    base = alt.Chart(alt.Data(values=norm_rows(result)))
    bars = base.mark_bar(opacity=0.55).encode(
        x=alt.X("left:Q", title="norm of the gradient before clipping (log scale)",
                scale=LOG_SCALE, axis=alt.Axis(format="~g", grid=False)),
        x2="right:Q",
        y=alt.Y("share:Q", title="share of the steps", stack=None, axis=alt.Axis(format="%")),
        y2=alt.datum(0),
        color=alt.Color("way:N", scale=alt.Scale(domain=names, range=list(COLORS[:2])),
                        legend=alt.Legend(title=None, orient="bottom")),
        tooltip=["way:N", alt.Tooltip("left:Q", format=".3g"), alt.Tooltip("right:Q", format=".3g"),
                 alt.Tooltip("share:Q", format=".1%")],
    )  # fmt: skip
    at_one = alt.Chart(alt.Data(values=[{"left": 1}]))
    rule = at_one.mark_rule(color=GREY, strokeDash=[5, 4]).encode(x="left:Q")
    return Drawn(
        "helps-norms", "What clipping clips",
        "Norms of all recorded steps, before clipping; what is right of the dashed line is "
        "shortened to 1 where clipping is on.",
        "Histogram of gradient norms with clipping on and off",
        alt.layer(bars, rule).properties(height=300),
    )  # fmt: skip
