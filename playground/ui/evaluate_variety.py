"""Variety: how different texts are, and how much each repeats itself, beside people's text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from playground.errors import PlaygroundError
from playground.evaluation.diversity import (
    distinct,
    mean,
    rep,
    self_bleu,
    seq_rep,
    suffix_loop,
    zipf,
)
from playground.evaluation.words import COUNTED, numbered, pieces
from playground.registry import ModelCard
from playground.ui import evaluate_models as models
from playground.ui import evaluate_texts, inside_data, views
from playground.ui.controls import name_strangers, plain
from playground.ui.evaluate_texts import Texts

SHOWN = 1200  # characters of a text
ROWS = {  # name: how it is written, what it is; "{unit}" are words or characters
    "texts": ("{:.0f}", "how many"),
    "length": ("{:.1f}", "mean number of {unit}"),
    "distinct-1": ("{:.3f}", "different {unit}, as a share of all (Li et al. 2016)"),
    "distinct-2": ("{:.3f}", "different pairs of neighbours, as a share of all pairs"),
    "distinct-3": ("{:.3f}", "different runs of three, as a share of all runs"),
    "self-BLEU": ("{:.1f}", "0 to 100: how alike the texts are, each against the others "
                  "(Zhu et al. 2018)"),
    "repeated 4-grams": ("{:.3f}", "share of the runs of four that repeat one of the same text "
                         "(Welleck et al. 2020)"),
    "in the 16 before": ("{:.3f}", "share of the {unit} that stood among the 16 before"),
    "stuck in a loop": ("{:.0%}", "share of the texts that end in one (Holtzman et al. 2020)"),
    "Zipf exponent": ("{:.2f}", "how fast frequency falls with rank: about 1 for the words of a "
                      "language"),
}  # fmt: skip


def section() -> None:
    """Draw the whole section."""
    st.caption(
        "Likelihood alone rewards saying the same again. These count how varied several texts are "
        "together and how often each repeats itself; text by people, as many pieces as long, "
        "stands beside, for no figure is good or bad by itself. Compare equal numbers of equal "
        "length: all of these depend on both."
    )
    cards = models.cards_of("text")
    left, right = st.columns([2, 3], gap="large")
    with left:
        texts = evaluate_texts.choose("variety", cards, samples=8, length=200)
    with right:
        if texts is None:
            st.info("Write or paste texts first: two or more, to be compared with each other.",
                    icon=":material/notes:")  # fmt: skip
            return
        name_strangers("unit", COUNTED)
        unit = st.segmented_control("Counted are", COUNTED, default=COUNTED[0], required=True,
                                    key="unit", bind="query-params")  # fmt: skip
        _figures(texts, cards, unit)
    with st.expander(f"The texts ({len(texts.texts)})"):
        for text in texts.texts:
            more = "…" if len(text) > SHOWN else ""
            st.code(text[:SHOWN] + more, language=None, wrap_lines=True)


def _figures(texts: Texts, cards: dict[str, ModelCard], unit: str) -> None:
    name = texts.model if texts.model else "pasted"
    columns = {name: variety(texts.texts, unit)}
    human, of = _human(texts, cards)
    if human:
        columns["people's text"] = variety(human, unit)
    st.table(table_of(columns, unit), border="horizontal", hide_index=True,
             alt="How varied the texts are, figure by figure")  # fmt: skip
    if of:
        pieces_of = "a piece" if len(human) == 1 else f"{len(human)} pieces"
        st.caption(f"People's text: {pieces_of} of {plain(of)}, as long in characters. An empty "
                   "figure is not defined for so few or so short texts.")  # fmt: skip
    rows = [{"figure": key, **{who: found[key] for who, found in columns.items()}} for key in ROWS]
    views.offer({"Figures (CSV)": ("variety.csv", lambda: inside_data.table_csv(rows))}, "variety")


def table_of(columns: dict[str, dict[str, Any]], unit: str) -> pd.DataFrame:
    """Return the figures as they are read, in Markdown, each with what it is."""
    rows = []
    for key, (form, what) in ROWS.items():
        told = {who: found[key] for who, found in columns.items()}
        rows.append(
            {"figure": f"**{key}**: {plain(what.format(unit=unit))}"}
            | {plain(who): _written(form, value) for who, value in told.items()}
        )
    return pd.DataFrame(rows)


def _written(form: str, value: float | None) -> str:
    return "" if value is None else form.format(value).replace("-0.00", "0.00")


def variety(texts: Sequence[str], unit: str) -> dict[str, Any]:
    """Return the figures of texts, by the names of ROWS; None where one is not defined."""
    samples = numbered(texts, unit)
    loops = [suffix_loop(sample) for sample in samples]
    found = [
        len(samples), mean(map(len, samples)), *(distinct(samples, n) for n in (1, 2, 3)),
        self_bleu(samples), mean(seq_rep(sample, 4) for sample in samples),
        mean(rep(sample, 16) for sample in samples), mean(loop.is_stuck for loop in loops),
        zipf(samples),
    ]  # fmt: skip
    return dict(zip(ROWS, found, strict=True))


def _human(texts: Texts, cards: dict[str, ModelCard]) -> tuple[list[str], str]:
    """Return pieces of a held-out text as long as the texts, and what it is of."""
    sets = models.held_out_sets(cards)
    own = models.corpus_of(cards[texts.model]) if texts.model in cards else ""
    chosen = sets.get(own) or next(iter(sets.values()), None)
    if chosen is None:
        return [], ""
    try:
        return pieces(chosen.text(), [len(text) for text in texts.texts]), chosen.corpus
    except PlaygroundError as error:
        st.warning(plain(str(error)))
        return [], ""
