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
    "text": "**Bits per character**: how surprised a model is by a text it has not read; each bit "
    "halves the probability. They compare models whatever their tokens are. Perplexity, the "
    "number of equally likely tokens that would surprise as much, compares only models of the "
    "same tokens. The interval is over windows of the text: what another text of the same kind "
    "would have given.",
    "image": "**Bits per dimension**: how surprised a model is by each value of a pixel; each bit "
    "halves the probability. They compare only models of the same size and levels. The interval "
    "is a bootstrap: what other pictures of the same kind would have given.",
    "audio": "**Bits per sample**: how surprised a model is by each sample of a sound; each bit "
    "halves the probability. They compare only models of the same rate and levels. The interval "
    "is a bootstrap: what other sounds of the same kind would have given.",
}
TELL = {"image": "Tell the class", "audio": "Tell the class or the words"}
FEW = 10  # units whose interval is rough


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
            TELL[modality], key="tell", bind="query-params",
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
    on = st.selectbox("On which text", options, key="on", bind="query-params",
                      help="Of a corpus: its last part, which no model that was trained on it has "
                      "read.")  # fmt: skip
    if on == OWN:
        text = st.text_area(
            "Your text", key="evaluate_own", height=160, max_chars=20_000,
            placeholder="Paste some text here",
        )  # fmt: skip
        if not text:
            st.caption("Nothing is pasted yet.")
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
    unit, noun = models.UNITS[modality], _noun(found.identity or identity)

    def draw() -> None:
        rows = rows_of(found.found)
        for problem in dict.fromkeys(row.problem for row in rows if row.problem):
            names = [f"**{plain(row.model)}**" for row in rows if row.problem == problem]
            is_are = "is" if len(names) == 1 else "are"
            st.warning(f"{', '.join(names)} {is_are} left out. {plain(problem)}")
        told = table_rows(rows)
        if told:
            st.vega_lite_chart(
                spec=charts.intervals_chart(told, unit).to_dict(), key=f"{modality}_intervals",
                width="stretch",
                alt="Bits per " + unit + ": "
                + ", ".join(f"{row['model']} {row['bits']:.3f}" for row in told),
            )  # fmt: skip
        if told and found.going is None:
            _table(told, cards, modality, noun)

    if found.found and found.going is None and identity != found.identity:
        st.info("The models or what is measured have changed since. Press Measure again.",
                icon=":material/update:")  # fmt: skip
    elif not found.found and found.going is None and not found.problem:
        st.info("Press Measure: every model reads the same things, and what each needs is drawn "
                "with its 95 % interval.", icon=":material/straighten:")  # fmt: skip
    ticking(found, draw, f"{noun}, each once a model")


def _noun(identity: tuple) -> str:
    """Return what the units are called; a single picture or sound is cut into parts."""
    modality, _, arrays = identity[1]
    return (models.PART_NOUNS if len(arrays) == 1 else models.UNIT_NOUNS)[modality]


def _table(told: list[dict], cards: dict[str, ModelCard], modality: str, noun: str) -> None:
    unit = models.UNITS[modality]
    rows = [_row(row, cards, modality) for row in told]
    shown = [
        {
            "model": row["model"], f"bits per {unit}": f"{row['bits']:.3f}",
            "95 % interval": _span(row["low"], row["high"]),
            "more than the best": "" if row["more"] is None
            else f"{row['more']:.3f} ({_span(row['more_low'], row['more_high'])})",
        }
        | ({"perplexity per token": f"{row['perplexity']:.2f}"} if modality == "text" else {})
        | {"trained on": full["trained on"]}
        for row, full in zip(told, rows, strict=True)
    ]  # fmt: skip
    st.dataframe(pd.DataFrame(shown), hide_index=True, width="stretch", key=f"{modality}_measured")
    st.info(_finding(told, unit, noun), icon=":material/science:")
    count = told[0]["units"]
    if count == 1:
        st.caption("There is a single unit only, so there is no interval.")
    elif noun in models.PART_NOUNS.values():
        st.caption(f"The interval is over the {count} {noun}: what other such parts would have "
                   "given, not other pictures or sounds.")  # fmt: skip
    elif count < FEW:
        st.caption(f"Only {count} {noun}: the interval is rough.")
    files = views.chart_files("Bits", lambda: charts.intervals_chart(told, unit))
    files["Table (CSV)"] = ("measured.csv", lambda: inside_data.table_csv(rows))
    views.offer(files, "evaluate")


def _span(low: float | None, high: float | None) -> str:
    return "none" if low is None else f"{low:.3f} to {high:.3f}"


def _row(row: dict, cards: dict[str, ModelCard], modality: str) -> dict:
    """Return all that is known of a model, as it is written into the file."""
    full = {
        "model": row["model"], f"bits per {models.UNITS[modality]}": row["bits"],
        "95 % from": row["low"], "95 % to": row["high"], "more than the best": row["more"],
        "more, from": row["more_low"], "more, to": row["more_high"],
    }  # fmt: skip
    if modality == "text":
        full |= {
            "perplexity per token": row["perplexity"],
            "perplexity, from": row["perplexity_low"], "perplexity, to": row["perplexity_high"],
            "characters per token": row["size"] / row["tokens"],
        }  # fmt: skip
    corpus = models.corpus_of(cards[row["model"]]) if row["model"] in cards else ""
    return full | {"units": row["units"], "trained on": corpus}


def _finding(told: list[dict], unit: str, noun: str) -> str:
    """Say what the table bears, and no more."""
    best = told[0]
    if len(told) == 1:
        return f"{best['model']} needs {best['bits']:.3f} bits per {unit}."
    second = told[1]
    says = f"{best['model']} needs the fewest bits per {unit}, {best['bits']:.3f}; next is "
    says += f"{second['model']} with {second['bits']:.3f}"
    if second["more_low"] is None:
        return f"{says}."
    span = _span(second["more_low"], second["more_high"])
    if second["more_low"] > 0:
        return (
            f"{says}. On the same {noun} it needs {second['more']:.3f} more (95 % interval "
            f"{span}): more than chance explains."
        )
    return (
        f"{says}. The interval of the difference, {span}, holds 0: these {noun} do not tell which "
        "is better."
    )
