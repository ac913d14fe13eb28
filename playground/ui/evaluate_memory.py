"""Memorisation: what of a text stands word for word in the text that a model was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from playground.data.text import CORPORA, load_corpus
from playground.errors import DataError, PlaygroundError
from playground.evaluation.memorisation import Copied, copied
from playground.evaluation.words import pieces
from playground.registry import ModelCard
from playground.ui import evaluate_charts as charts
from playground.ui import evaluate_models as models
from playground.ui import evaluate_texts, inside_data, views
from playground.ui.arena_data import counted
from playground.ui.controls import name_strangers, plain
from playground.ui.evaluate_texts import Texts
from playground.ui.jobs import Job, buttons, job, ticking

NAMES = {  # of corpora, as checkpoints tell them: the name to load it by
    "King James Bible": "king-james", "Moby-Dick": "moby-dick",
    "State of the Union": "state-of-the-union",
    "Moby-Dick and State of the Union": "prose", "Python source": "python-source",
    "German prose": "german",
}  # fmt: skip
EDGES = (0, 5, 10, 15, 20, 30, 50, 100)  # of the histogram, in characters
LONG = 30  # characters: what is told as a share
STEPS = 100  # of the progress bar
HUMAN = "people's text that was held out"


@dataclass(frozen=True, eq=False)
class Look:
    """How far it is, and at the end what was found: of the texts, then of people's."""

    share: float
    texts: tuple[Copied, ...] = ()
    human: tuple[Copied, ...] = ()
    training: int = 0  # characters of it


def section() -> None:
    """Draw the whole section."""
    st.caption(
        "For every character of a text: the longest piece ending there that stands in the training "
        "text, word for word. Short ones stand everywhere, so people's text from the same corpus, "
        "which was held out, is looked up too: what a model copies beyond that, it has memorised "
        "(Carlini et al. 2021, McCoy et al. 2023)."
    )
    cards = models.cards_of("text")
    left, right = st.columns([2, 3], gap="large")
    found = job("memorisation")
    with left:
        texts = evaluate_texts.choose("memory", cards, samples=4, length=500)
        corpus = _corpus(texts, cards)
        if texts is None:
            right.info("Write or paste texts first: their copies are looked for in the training "
                       "text.", icon=":material/notes:")  # fmt: skip
            return
        held_out = models.held_out_sets(cards).get(corpus)
        share = held_out_characters(cards, corpus)
        identity = (texts.texts, corpus)

        def begin() -> None:
            human = ""
            try:
                human = held_out.text() if held_out is not None else ""
                found.begin(identity, look(texts, corpus, human, share), STEPS)
            except PlaygroundError as error:
                found.refuse(str(error))

        buttons(found, "Look for copies", begin, "memorisation")
    with right:
        _results(found, identity, texts)


def _corpus(texts: Texts | None, cards: dict[str, ModelCard]) -> str:
    """Choose the training text: that of the model which wrote, to begin with."""
    own = models.corpus_of(cards[texts.model]) if texts and texts.model in cards else ""
    names = list(NAMES)
    name_strangers("corpus", names)
    return st.selectbox(
        "Training text", names, names.index(own) if own in names else 0, key="corpus",
        bind="query-params", help="It must be installed on this machine.",
    )  # fmt: skip


def held_out_characters(cards: dict[str, ModelCard], corpus: str) -> int:
    """Return how much of the end of a corpus its models have not read; 5 % where none tells."""
    told = [
        models.info_of(card).get("held_out_characters")
        for card in cards.values()
        if models.corpus_of(card) == corpus
    ]
    known = [n for n in told if type(n) is int and n >= 0]
    return min(known) if known else -1


def look(texts: Texts, corpus: str, human: str, held_out: int) -> Iterator[Look]:
    """Yield how far the search through the training text is, at last what was found.

    Args:
        human: text of the corpus that is not in the training text, "" for none.
        held_out: characters at the end of the corpus that are no training text; below 0: 5 %.

    Raises:
        DataError: the corpus is not installed, or there is too much to look for.
    """
    yield Look(0.0)  # reading the corpus takes a moment too
    name = NAMES[corpus]
    if name not in CORPORA:
        raise DataError(f"There is no corpus {corpus!r}. Known: {', '.join(NAMES)}.")
    whole = load_corpus(name).text
    cut = held_out if held_out >= 0 else round(0.05 * len(whole))
    training = whole[: len(whole) - cut]
    compared = pieces(human, [len(text) for text in texts.texts]) if human else []
    count = len(texts.texts)
    for part in copied([*texts.texts, *compared], training):
        if isinstance(part, float):
            yield Look(part)
        else:
            yield Look(1.0, part[:count], part[count:], len(training))


def _results(found: Job, identity, texts: Texts) -> None:
    last = found.found[-1] if found.found else None
    if found.going is not None and last is not None:
        found.total = max(1, round(len(found.found) / max(0.01, last.share)))

    def draw() -> None:
        whole = found.found[-1]
        if found.going is None and whole.texts:
            _told(whole, texts)

    if found.found and found.going is None and identity != found.identity:
        st.info("The texts have changed since. Look for copies again.", icon=":material/update:")
        return
    if not found.found and found.going is None and not found.problem:
        st.info("Press Look for copies: the training text is read once, which takes some seconds.",
                icon=":material/find_in_page:")  # fmt: skip
    ticking(found, draw, "parts of the training text")


def _told(whole: Look, texts: Texts) -> None:
    kind = f"written by {texts.model}" if texts.model else "pasted"
    groups = {kind: whole.texts} | ({HUMAN: whole.human} if whole.human else {})
    with st.container(horizontal=True, gap="medium"):
        for name, group in groups.items():
            longest = max((one.longest for one in group), key=len)
            st.metric(f"Longest copy, {name}", f"{len(longest)} characters", width="content")
    for name, group in groups.items():
        longest = max((one.longest for one in group), key=len)
        words = counted(len(longest.split()), "word")
        st.markdown(f"**{name[:1].upper()}{plain(name[1:])}**: {share_of(group):.0%} of it stands "
                    f"in copies of {LONG} characters or more. The longest, {words}:")  # fmt: skip
        st.code(longest[:600] or "nothing", language=None, wrap_lines=True)
    rows = histogram_rows(groups)
    st.vega_lite_chart(
        spec=charts.lengths_chart(rows).to_dict(), key="copied_lengths", width="stretch",
        alt=f"Lengths of copies: {', '.join(groups)}",
    )  # fmt: skip
    alone = "" if whole.human else (
        " No checkpoint here keeps held-out text of this corpus, so no text by people stands "
        "beside: what any text of the language shares with it cannot be told."
    )  # fmt: skip
    st.caption(
        f"Looked up in {whole.training:,} characters of training text; the held-out end of the "
        f"corpus is left out.{alone}"
    )
    with st.expander("As a table"):
        st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", key="copied_table")
    files = views.chart_files("Copies", lambda: charts.lengths_chart(rows))
    files["Lengths (CSV)"] = ("copies.csv", lambda: inside_data.table_csv(rows))
    views.offer(files, "memorisation")


def share_of(group: Sequence[Copied], least: int = LONG) -> float:
    """Return the share of all characters that lie in copies of `least` or more."""
    total = sum(len(one.text) for one in group)
    return sum(one.share_in(least) * len(one.text) for one in group) / max(1, total)


def histogram_rows(groups: dict[str, Sequence[Copied]]) -> list[dict]:
    """Return, by kind of text and class of length, the share of characters in such copies."""
    rows = []
    for name, group in groups.items():
        within = [share_of(group, edge) if edge else 1.0 for edge in EDGES] + [0.0]
        for i, edge in enumerate(EDGES):
            says = f"{edge}–{EDGES[i + 1] - 1}" if i + 1 < len(EDGES) else f"{edge}+"
            share = round(within[i] - within[i + 1], 6)
            rows.append({"text": name, "length": says, "share": share})
    return rows
