"""Calibration: whether what models give 70 % comes 7 times in 10, on text they have not read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd
import streamlit as st

from playground.errors import PlaygroundError
from playground.evaluation.calibration import BINS, Predictions, Reliability, reliability
from playground.evaluation.calibration import predictions as predicted
from playground.evaluation.held_out import windows_of
from playground.registry import ModelCard
from playground.ui import evaluate_charts as charts
from playground.ui import evaluate_models as models
from playground.ui import inside_data, views
from playground.ui.controls import name_strangers, plain
from playground.ui.jobs import Job, buttons, job, ticking

TOP, ALL = "The likeliest token", "The 20 likeliest tokens"
CHARACTERS = 8_000


@dataclass(frozen=True, eq=False)
class Part:
    """What one model predicted in one window, or why it is left out."""

    model: str
    predictions: Predictions | None
    problem: str = ""


def section() -> None:
    """Draw the whole section."""
    st.caption(
        "A calibrated model is right as often as it says. At every token of a held-out text its "
        "predictions are put into bins by their probability, and in each the mean probability is "
        "compared with how often it came true (Guo et al. 2017). On the dashed line they agree; "
        "below it the model is too sure."
    )
    cards = models.cards_of("text")
    sets = models.held_out_sets(cards)
    if not sets:
        st.info("No checkpoint here keeps a held-out text. Train one: python -m train.text --help")
        return
    found = job("calibration")
    left, right = st.columns([2, 3], gap="large")
    with left:
        names = models.models_picker("calibration_models", cards, models.FIRST["text"])
        name_strangers("on", list(sets))
        on = st.selectbox("On held-out text of", list(sets), key="on", bind="query-params",
                          help="Of a corpus: its last part, which no model that was trained on it "
                          "has read.")  # fmt: skip
        if not names:
            st.info("Choose at least one model.")
            return
        begin = partial(_begin, found, (tuple(names), on), cards, names, sets[on])
        buttons(found, "Measure", begin, "calibration")
    with right:
        _results(found, (tuple(names), on))


def _begin(found: Job, identity, cards, names: list[str], held_out: models.HeldOut) -> None:
    try:
        windows = windows_of(held_out.text()[:CHARACTERS])
        found.begin(identity, ask(cards, names, windows), len(windows) * len(names))
    except PlaygroundError as error:
        found.refuse(str(error))


def ask(
    cards: Mapping[str, ModelCard], names: Sequence[str], windows: Sequence[str]
) -> Iterator[Part]:
    """Yield what every model predicts in every window, model after model."""
    for name in names:
        try:
            loaded = models.load(cards[name])
            for part in predicted(loaded.model, loaded.tokenizer, windows):
                yield Part(name, part)
        except PlaygroundError as error:
            yield Part(name, None, str(error))


def _results(found: Job, identity) -> None:
    name_strangers("counted", (TOP, ALL))
    counted = st.segmented_control(
        "Counted", (TOP, ALL), default=TOP, required=True, key="counted", bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip

    def draw() -> None:
        told = diagrams(found.found, counted == TOP)
        for part in found.found:
            if part.problem:
                st.warning(f"**{plain(part.model)}** is left out. {plain(part.problem)}")
        if not told:
            return
        rows = diagram_rows(told)
        says = "; ".join(f"{name}: error {one.error:.1%}" for name, one in told.items())
        st.vega_lite_chart(spec=charts.reliability_chart(rows).to_dict(), key="reliability",
                           width="stretch", alt=f"Reliability diagram. {says}")  # fmt: skip
        st.vega_lite_chart(spec=charts.counts_chart(rows).to_dict(), key="reliability_counts",
                           width="stretch", alt="Predictions in each bin")  # fmt: skip
        if found.going is None:
            _table(told, rows)

    if found.found and found.going is None and identity != found.identity:
        st.info("The models or the text have changed since. Press Measure again.",
                icon=":material/update:")  # fmt: skip
    elif not found.found and found.going is None and not found.problem:
        st.info("Press Measure: every model reads the text once.", icon=":material/straighten:")
    ticking(found, draw, "windows")


def diagrams(parts: Sequence[Part], top: bool) -> dict[str, Reliability]:
    """Return the diagram of every model that has read something."""
    told = {}
    for name in dict.fromkeys(part.model for part in parts):
        own = [part for part in parts if part.model == name]
        if any(part.problem for part in own):
            continue
        whole = Predictions.together([part.predictions for part in own])
        columns = slice(0, 1 if top else None)
        told[name] = reliability(whole.probs[:, columns], whole.came[:, columns])
    return told


def diagram_rows(told: Mapping[str, Reliability]) -> list[dict]:
    return [
        {"model": name, "from": f"{one.low:.0%}", "low": one.low,
         "high": one.high, "count": one.count,
         "probability": one.probability, "frequency": one.frequency}
        for name, found in told.items()
        for one in found.bins
        if one.count
    ]  # fmt: skip


def _table(told: Mapping[str, Reliability], rows: list[dict]) -> None:
    st.dataframe(
        pd.DataFrame(
            {
                "model": list(told),
                "expected calibration error": [100 * one.error for one in told.values()],
                "too sure by": [100 * one.bias for one in told.values()],
                "predictions": [one.count for one in told.values()],
            }
        ),
        hide_index=True, width="stretch", key="calibration_table",
        column_config={
            name: st.column_config.NumberColumn(format="%.2f %%")
            for name in ("expected calibration error", "too sure by")
        },
    )  # fmt: skip
    st.caption(
        f"{BINS} bins of equal width. The expected calibration error is the mean distance from the "
        "dashed line, each bin counting by its predictions; “too sure by” is the same with its "
        "sign. The error depends on bins and counts: a bin of few "
        "predictions is rough, and the error of a perfect model is above 0 by chance. Training "
        "on likelihood makes models calibrated on text like theirs; on other text they need not be."
    )
    files = views.chart_files("Reliability", lambda: charts.reliability_chart(rows))
    files["Bins (CSV)"] = ("reliability.csv", lambda: inside_data.table_csv(rows))
    views.offer(files, "calibration")
