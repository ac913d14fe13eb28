"""Likelihood: perplexity and bits of several models on the same things, with intervals."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

from playground.errors import PlaygroundError
from playground.evaluation.held_out import units_of
from playground.registry import ModelCard
from playground.ui import evaluate_charts as charts
from playground.ui import evaluate_models as models
from playground.ui import inside_data, picture_input, sound_input, views
from playground.ui.controls import name_strangers, plain
from playground.ui.evaluate_run import Things, measure, rows_of, table_rows
from playground.ui.jobs import Job, buttons, job, ticking

OWN = "your own text"
SIZES = (2_000, 5_000, 10_000, 20_000)  # characters of a held-out text
SET, ONE = "Held-out set", "One of your choice"
TAUGHT = {
    "text": "**Bits per character** compare models whatever their tokens are; perplexity is per "
    "token, so it compares only those of the same tokens. The interval is over windows of the "
    "text: what another text of the same kind would have given.",
    "image": "**Bits per dimension**: per value of a pixel. They compare only models of the same "
    "size and levels. The interval is over pictures.",
    "audio": "**Bits per sample**. They compare only models of the same rate and levels. The "
    "interval is over sounds.",
}


def section() -> None:
    """Draw the whole section."""
    name_strangers("kind", list(models.KINDS))
    kind = st.segmented_control(
        "What is measured", list(models.KINDS), default="Text", required=True, key="kind",
        bind="query-params", label_visibility="collapsed",
    )  # fmt: skip
    modality = models.KINDS[kind]
    cards = models.cards_of(modality)
    if not cards:
        st.info(f"There is no model of this kind here: {kind.lower()}.")
        return
    st.caption(TAUGHT[modality])
    left, right = st.columns([2, 3], gap="large")
    found = job(f"evaluate_{modality}")
    with left:
        names = models.models_picker(f"{modality}_models", cards, models.FIRST[modality])
        if not names:
            st.info("Choose at least one model.")
            return
        try:
            things = _things(modality, cards, names[0])
        except PlaygroundError as error:
            st.error(plain(str(error)))
            things = None
        if things is None:
            return
        tell = modality != "text" and st.toggle(
            "Tell the class or the words", key="tell", bind="query-params",
            help="Models that know classes or words are told those of each picture or sound, where "
            "they are known. Off: all models are told nothing.",
        )  # fmt: skip
        identity = (tuple(names), _mark(things), tell)
        begin = partial(_begin, found, identity, cards, names, things, tell)
        buttons(found, "Measure", begin, f"evaluate_{modality}")
    with right:
        _results(found, cards, modality, identity)


def _mark(things: Things) -> tuple:
    """What tells things apart, small enough to be kept."""
    arrays = tuple((array.shape, hash(array.tobytes())) for array in things.arrays)
    return (things.modality, things.text, arrays)


def _things(modality: str, cards: dict[str, ModelCard], first: str) -> Things | None:
    """Choose what is measured; None until there is something.

    Raises:
        PlaygroundError: the first model, whose size or rate counts, cannot be used.
    """
    if modality == "text":
        return _text(cards)
    name_strangers(f"{modality}_on", (SET, ONE))
    which = st.segmented_control(
        "On what", (SET, ONE), default=SET, required=True, key=f"{modality}_on",
        bind="query-params", label_visibility="collapsed",
    )  # fmt: skip
    loaded = models.load(cards[first])
    folder, tokenizer = loaded.card.folder, loaded.tokenizer
    if modality == "image":
        examples = picture_input.examples_of(folder, tokenizer)
        if which == SET:
            told = f"{len(examples.pixels)} held-out pictures"
            whole = Things(modality, arrays=tuple(examples.pixels), labels=examples.labels,
                           classes=examples.names)  # fmt: skip
            return _whole(whole, told, first)
        choice = picture_input.choose(tokenizer, "evaluate_picture", folder)
        return choice and Things(modality, arrays=(choice.pixels,), labels=(choice.label,),
                                 classes=examples.names)  # fmt: skip
    examples = sound_input.examples_of(folder, tokenizer)
    if which == SET:
        seconds = sum(map(len, examples.clips)) / tokenizer.sample_rate
        told = f"{len(examples.clips)} held-out sounds, {seconds:.1f} seconds in all,"
        whole = Things(modality, arrays=examples.clips, labels=examples.labels,
                       texts=examples.texts, classes=examples.names)  # fmt: skip
        return _whole(whole, told, first)
    choice = sound_input.choose(tokenizer, "evaluate_sound", folder)
    return choice and Things(modality, arrays=(choice.samples,), labels=(choice.label,),
                             texts=(choice.text,), classes=examples.names)  # fmt: skip


def _whole(things: Things, told: str, first: str) -> Things | None:
    if not things.arrays:
        st.info(f"{plain(first)} keeps no held-out examples. Choose one of your own.")
        return None
    st.caption(f"{told} of {plain(first)}, the first model.")
    return things


def _text(cards: dict[str, ModelCard]) -> Things | None:
    """Choose a held-out text or write one."""
    sets = models.held_out_sets(cards)
    options = [*sets, OWN]
    name_strangers("on", options)
    on = st.selectbox("On held-out text of", options, key="on", bind="query-params",
                      help="The last part of a corpus, which no model that was trained on it has "
                      "read.")  # fmt: skip
    if on == OWN:
        text = st.text_area(
            "Text", key="evaluate_own", height=160, max_chars=20_000,
            placeholder="Paste some text here",
        )  # fmt: skip
        return Things("text", text=text) if text else None
    name_strangers("size", [str(size) for size in SIZES])
    size = st.select_slider("Characters", SIZES, SIZES[1], key="size", bind="query-params")
    return Things("text", text=sets[on].text()[:size])


def _begin(found: Job, identity, cards, names, things: Things, tell: bool) -> None:
    try:
        if things.modality == "text":
            count = len(things.windows)
        else:
            tokenizer = models.load(cards[names[0]]).tokenizer
            lengths = [len(array) for array in things.arrays]
            count = units_of(things.modality, len(things.arrays), tokenizer, lengths)
        found.begin(identity, measure(cards, names, things, tell), count * len(names))
    except PlaygroundError as error:
        found.refuse(str(error))


def _results(found: Job, cards: dict[str, ModelCard], modality: str, identity) -> None:
    unit = models.UNITS[modality]

    def draw() -> None:
        rows = rows_of(found.found)
        for row in rows:
            if row.problem:
                st.warning(f"**{plain(row.model)}** is left out. {plain(row.problem)}")
        told = table_rows(rows)
        if told:
            st.vega_lite_chart(
                spec=charts.intervals_chart(told, unit).to_dict(), key=f"{modality}_intervals",
                width="stretch",
                alt="Bits per " + unit + ": "
                + ", ".join(f"{row['model']} {row['bits']:.3f}" for row in told),
            )  # fmt: skip
        if told and found.going is None:
            _table(told, cards, modality)

    if found.found and found.going is None and identity != found.identity:
        st.info("The models or what is measured have changed since. Press Measure again.",
                icon=":material/update:")  # fmt: skip
    elif not found.found and found.going is None and not found.problem:
        st.info("Press Measure: every model reads the same things, and what each needs is drawn "
                "with its 95 % interval.", icon=":material/straighten:")  # fmt: skip
    ticking(found, draw, "units")


def _table(told: list[dict], cards: dict[str, ModelCard], modality: str) -> None:
    unit, noun = models.UNITS[modality], models.UNIT_NOUNS[modality]
    rows = []
    for row in told:
        corpus = models.corpus_of(cards[row["model"]]) if row["model"] in cards else ""
        shown = {
            "model": row["model"], f"bits per {unit}": row["bits"], "95 % from": row["low"],
            "95 % to": row["high"], "more than the best": row["more"],
            "more, from": row["more_low"], "more, to": row["more_high"],
        }  # fmt: skip
        if modality == "text":
            shown |= {
                "perplexity per token": row["perplexity"],
                "perplexity, from": row["perplexity_low"],
                "perplexity, to": row["perplexity_high"],
                "characters per token": row["size"] / row["tokens"],
            }
        rows.append(shown | {"units": row["units"], "trained on": corpus})
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, width="stretch", key=f"{modality}_measured",
        column_config={
            name: st.column_config.NumberColumn(format="%.3f")
            for name in rows[0]
            if name not in ("model", "units", "trained on")
        },
    )  # fmt: skip
    best = told[0]
    st.info(_finding(told, unit), icon=":material/science:")
    if best["units"] < 10:
        st.caption(f"Only {best['units']} {noun}: the interval is rough.")
    files = views.chart_files(f"Bits-{modality}", lambda: charts.intervals_chart(told, unit))
    files["Table (CSV)"] = ("measured.csv", lambda: inside_data.table_csv(rows))
    views.offer(files, "evaluate")


def _finding(told: list[dict], unit: str) -> str:
    """Say what the table bears, and no more."""
    best = told[0]
    if len(told) == 1:
        return f"{best['model']} needs {best['bits']:.3f} bits per {unit}."
    second = told[1]
    says = f"{best['model']} needs the fewest bits per {unit}, {best['bits']:.3f}; next is "
    says += f"{second['model']} with {second['bits']:.3f}"
    if second["more_low"] is None:
        return f"{says}."
    if second["more_low"] > 0:
        return (
            f"{says}. On the same units it needs {second['more']:.3f} more (95 % interval "
            f"{second['more_low']:.3f} to {second['more_high']:.3f}): the difference is no chance."
        )
    return (
        f"{says}. The interval of the difference, {second['more_low']:.3f} to "
        f"{second['more_high']:.3f}, holds 0: these units do not tell which is better."
    )
