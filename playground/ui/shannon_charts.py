"""Charts of Shannon's game, authored in Altair: bits so far, guesses, what the model expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from playground.evaluation.shannon import Guess, Symbols, bounds
from playground.ui.charts import BLUE, VERMILION, candidate_bars
from playground.ui.shannon_state import Last

LEAST = 10  # guesses before bounds are told: of fewer they say nothing
SHOWN = 12  # symbols in the chart of the model's distribution
MODEL, BET, LOW, HIGH = "the model", "your bets", "you, at least", "you, at most"
COLORS = {MODEL: BLUE, BET: VERMILION, LOW: VERMILION, HIGH: VERMILION}
DASHES = {MODEL: [1, 0], BET: [1, 0], LOW: [2, 3], HIGH: [6, 3]}


def running_rows(done: Sequence[Guess]) -> list[dict[str, Any]]:
    """Return the mean bits after each symbol: the model's, of bets, and the bounds of guesses."""
    rows: list[dict[str, Any]] = []
    total, paid, bets, ranks = 0.0, 0.0, 0, []
    for n, one in enumerate(done, 1):
        total += one.model_bits
        rows.append({"symbols": n, "bits": total / n, "who": MODEL})
        if one.bits is not None:
            paid, bets = paid + one.bits, bets + 1
            rows.append({"symbols": n, "bits": paid / bets, "who": BET})
        else:
            ranks.append(one.guesses)
            if len(ranks) < LEAST:
                continue
            found = bounds(ranks)
            rows.append({"symbols": n, "bits": found.lower, "who": LOW})
            rows.append({"symbols": n, "bits": found.upper, "who": HIGH})
    return rows


def running_chart(rows: Sequence[dict[str, Any]]) -> alt.LayerChart:
    """Mean bits per symbol so far."""
    whos = [who for who in COLORS if any(row["who"] == who for row in rows)]
    legend = alt.Legend(title=None, orient="bottom", columns=2, symbolType="stroke")
    base = alt.Chart(alt.Data(values=list(rows))).encode(
        x=alt.X("symbols:Q", title="symbols guessed", axis=alt.Axis(tickMinStep=1, grid=False)),
        y=alt.Y("bits:Q", title="bits per symbol so far"),
        color=alt.Color(
            "who:N", scale=alt.Scale(domain=whos, range=[COLORS[who] for who in whos]),
            legend=legend,
        ),
        tooltip=["symbols:Q", "who:N", alt.Tooltip("bits:Q", format=".2f")],
    )  # fmt: skip
    dashes = alt.Scale(domain=whos, range=[DASHES[who] for who in whos])
    lines = base.mark_line(strokeWidth=2).encode(
        strokeDash=alt.StrokeDash("who:N", scale=dashes, legend=legend)
    )
    points = base.mark_point(filled=True, size=28, opacity=1)
    return alt.layer(lines, points).properties(height=340)  # axis and legend are part of it


def rank_rows(done: Sequence[Guess]) -> list[dict[str, Any]]:
    """Return how many symbols needed how many guesses, of you and of the model."""
    own = [one for one in done if one.guesses is not None]
    most = max([max(one.guesses, one.model_rank) for one in own], default=0)
    return [
        {"guesses": n, "who": who, "symbols": sum(of(one) == n for one in own)}
        for n in range(1, most + 1)
        for who, of in (("you", lambda one: one.guesses), (MODEL, lambda one: one.model_rank))
    ]


def rank_chart(rows: Sequence[dict[str, Any]]) -> alt.Chart:
    """The histogram that the bounds are made of: guesses until it was right."""
    whos = ["you", MODEL]
    return (
        alt.Chart(alt.Data(values=list(rows)))
        .mark_bar()
        .encode(
            x=alt.X("guesses:O", title="guesses until right", axis=alt.Axis(labelAngle=0)),
            xOffset=alt.XOffset("who:N", sort=whos),
            y=alt.Y("symbols:Q", title="symbols", axis=alt.Axis(tickMinStep=1, format="d")),
            color=alt.Color(
                "who:N", scale=alt.Scale(domain=whos, range=[VERMILION, BLUE]),
                legend=alt.Legend(title=None, orient="bottom"),
            ),
            tooltip=["guesses:O", "who:N", "symbols:Q"],
        )
        .properties(height=270)
    )  # fmt: skip


def distribution(last: Last, symbols: Symbols, shown: Sequence[str]) -> dict:
    """Return what `candidate_bars` draws: what the model thought of the symbol that came.

    `shown` are the names as they are written; your wrong guesses are told beside theirs.
    """
    order = np.argsort(-last.probs, kind="stable").tolist()
    picked = order[:SHOWN]
    picked += [last.symbol] if last.symbol not in picked else []
    top, rows = float(last.probs.max()), []
    for symbol in picked:
        p = float(last.probs[symbol])
        at = last.tried.index(symbol) + 1 if symbol in last.tried else 0
        name = shown[symbol] + (f"  your {at}." if at else "")
        kind = "taken" if symbol == last.symbol else "kept"
        rows.append(_row(name, p, top, kind))
    rest = max(0.0, 1.0 - sum(float(last.probs[symbol]) for symbol in picked))
    if len(picked) < len(symbols.names):
        rows.append(_row("all others", rest, top, "rest"))
    bits = -float(np.log2(max(1e-12, last.probs[last.symbol])))
    return candidate_bars(rows, ["model"]) | {
        "title": f"What the model expected: {shown[last.symbol]} came",
        "facts": f"probability {last.probs[last.symbol]:.2%}, {bits:.2f} bits",
        "alt": f"{shown[last.symbol]} came, to which the model gave {last.probs[last.symbol]:.1%}",
    }


def _row(name: str, p: float, top: float, kind: str) -> dict[str, Any]:
    says = f"{100 * p:.1f} %" if p >= 0.001 else "< 0.1 %"
    right = 0.68 * min(1.0, p / top) if top else 0.0
    return {"name": name, "sid": "", "left": 0.0, "right": right, "kind": kind, "says": says,
            "probability": p}  # fmt: skip
