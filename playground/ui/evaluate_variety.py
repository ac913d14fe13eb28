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
ROWS = {  # name: what it is
    "texts": "how many",
    "length": "mean, in what is counted",
    "distinct-1": "share of different ones among all",
    "distinct-2": "share of different pairs (Li et al. 2016)",
    "distinct-3": "share of different triples",
    "self-BLEU": "0 to 100: how alike the texts are (Zhu et al. 2018)",
    "repeated 4-grams": "share within a text (Welleck et al. 2020)",
    "in the 16 before": "share that came among the last 16",
    "stuck in a loop": "share of texts that end in one (Holtzman et al. 2020)",
    "Zipf exponent": "about 1 for words of a language",
}


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
    told = {who: list(found.values()) for who, found in columns.items()}
    table = pd.DataFrame({"figure": list(ROWS), **told, "what it is": list(ROWS.values())})
    st.dataframe(
        table, hide_index=True, width="stretch", key="variety_table", height="content",
        column_config={who: st.column_config.NumberColumn(format="%.3f") for who in columns},
    )  # fmt: skip
    if of:
        st.caption(f"People's text: {len(human)} pieces of {plain(of)}, as long in characters.")
    rows = [{"figure": key, **{who: found[key] for who, found in columns.items()}} for key in ROWS]
    views.offer({"Figures (CSV)": ("variety.csv", lambda: inside_data.table_csv(rows))}, "variety")


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
