"""BLEU and chrF: a candidate against references, with every match, clip and penalty shown."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from playground.errors import PlaygroundError
from playground.evaluation.bleu import MAX_REFERENCES, SMOOTHINGS, Bleu, Order, bleu, chrf
from playground.ui import evaluate_charts as charts
from playground.ui import inside_data, state, views
from playground.ui.controls import name_strangers, plain

EXAMPLES = {  # name: candidate, references, what it shows
    "Two paraphrases, BLEU near 0": (
        "No doctor could have kept him alive.",
        ("The physician was unable to save the old man.",),
        "Both say the same, and share no word but the full stop: **BLEU sees words, not meaning**.",
    ),
    "A shuffled sentence": (
        "save the old man The physician was unable to.",
        ("The physician was unable to save the old man.",),
        "No sentence at all, and yet its pieces match: most n-grams survive a shuffle of phrases.",
    ),
    "Why matches are clipped": (
        "the the the the the the the",
        ("the cat is on the mat", "there is a cat on the mat"),
        "Every word stands in a reference, but no reference has “the” more than twice: 2 of 7 "
        "count (Papineni et al. 2002).",
    ),
    "Why short ones are penalised": (
        "the cat",
        ("the cat sat on the mat",),
        "Everything it says is right, and most is missing: precision alone would be 100 %.",
    ),
}
FIRST = next(iter(EXAMPLES))
SHOWN = 40  # n-grams of a table
NEGATED = "The physician was able to save the old man."


def section() -> None:
    """Draw the whole section."""
    st.caption(
        "BLEU counts which n-grams (n words in a row) of a sentence, the candidate, stand in what "
        "people wrote, the references (Papineni et al. 2002); chrF the same with letters (Popović "
        "2015). Both are computed by sacrebleu, whose signature, below, says which variant it is: "
        "scores without one do not compare (Post 2018)."
    )
    left, right = st.columns([2, 3], gap="large")
    with left:
        candidate, references, smoothing = _sentences()
    with right:
        try:
            found, letters = bleu(candidate, references, smoothing), chrf(candidate, references)
        except PlaygroundError as error:
            st.error(plain(str(error)))
            return
        _scores(found, letters.score)
        _example_told(candidate, references, found)
        st.markdown(_formula(found))
    _tables(found)
    st.caption(f"BLEU: `{found.signature}`  \nchrF: `{letters.signature}`")
    rows = [row for order in found.orders for row in _rows(order)]
    if rows:
        views.offer({"n-grams (CSV)": ("n-grams.csv", lambda: inside_data.table_csv(rows))}, "bleu")


def _sentences() -> tuple[str, list[str], str]:
    """Write the candidate and its references."""
    with st.container(horizontal=True):
        for number, name in enumerate(EXAMPLES):
            st.button(name, key=f"bleu_example_{number}", on_click=_take, args=(name,))
    candidate, references, _ = EXAMPLES[FIRST]
    candidate = st.text_area("Candidate", candidate, key="candidate", bind="query-params",
                             height=80, max_chars=5000)  # fmt: skip
    written = st.text_area(
        "References, one a line", "\n".join(references), key="references", bind="query-params",
        height=110, max_chars=20_000, help=f"At most {MAX_REFERENCES}.",
    )  # fmt: skip
    name_strangers("smoothing", SMOOTHINGS)
    smoothing = st.segmented_control(
        "Smoothing", SMOOTHINGS, default="exp", required=True, key="smoothing",
        bind="query-params",
        help="**exp**: an n without a match counts as half a match, the next such n as a quarter. "
        " \n**none**: one n without a match makes the whole score 0.",
    )  # fmt: skip
    return candidate, [line for line in written.splitlines() if line.strip()], smoothing


def _take(name: str) -> None:
    candidate, references, _ = EXAMPLES[name]
    state.set_widget("candidate", candidate)
    state.set_widget("references", "\n".join(references))


def _scores(found: Bleu, letters: float) -> None:
    with st.container(horizontal=True, gap="medium"):
        st.metric("BLEU", f"{found.score:.1f}", width="content",
                  help="0 to 100: the geometric mean of the precisions of 1 to 4 words, times the "
                  "brevity penalty.")  # fmt: skip
        st.metric("chrF2", f"{letters:.1f}", width="content",
                  help="0 to 100: precision and recall of 1 to 6 letters in a row, recall counting "
                  "twice as much.")  # fmt: skip
        st.metric(
            "Brevity penalty", f"{found.brevity_penalty:.3f}", width="content",
            help="1 for a candidate as long as the closest reference or longer, else exp(1 − r/c).",
        )  # fmt: skip


def _example_told(candidate: str, references: list[str], found: Bleu) -> None:
    for own, others, told in EXAMPLES.values():
        if (candidate, tuple(references)) == (own, others):
            st.info(told, icon=":material/lightbulb:")
            if own == EXAMPLES[FIRST][0]:
                against = bleu(NEGATED, references)
                st.caption(
                    f"“{NEGATED}” says the opposite and scores {against.score:.0f}, against "
                    f"{found.score:.0f} for the paraphrase."
                )


def _formula(found: Bleu) -> str:
    """Tell how the score comes about, in numbers."""
    used = [order for order in found.orders if order.precision is not None]
    parts = " · ".join(f"{order.precision:.3f}" for order in used)
    c, r = found.candidate_length, found.reference_length
    penalty = "1, as it is not shorter" if c >= r else f"exp(1 − {r}/{c})"
    return (
        f"BLEU = 100 · penalty · ({parts})^(1/{len(used)}) = 100 · "
        f"{found.brevity_penalty:.3f} · {_mean(used):.3f} = **{found.score:.2f}**  \n"
        f"penalty = {penalty} = {found.brevity_penalty:.3f}: the candidate has {c} words "
        f"and signs, the reference closest in length {r}"
    )


def _mean(used: list[Order]) -> float:
    product = 1.0
    for order in used:
        product *= order.precision
    return product ** (1 / len(used)) if used else 0.0


def _tables(found: Bleu) -> None:
    """Draw what matched, by n, and every n-gram with its counts."""
    shares = [order for order in found.orders if order.total]
    st.dataframe(
        pd.DataFrame(
            {
                "n": [order.n for order in shares],
                "in the candidate": [order.total for order in shares],
                "in a reference": [order.unclipped for order in shares],
                "after clipping": [order.matched for order in shares],
                "precision": [order.matched / order.total for order in shares],
                "as smoothed": [order.precision for order in shares],
            }
        ),
        hide_index=True, width="stretch", key="bleu_orders",
        column_config={
            name: st.column_config.NumberColumn(format="%.3f")
            for name in ("precision", "as smoothed")
        },
    )  # fmt: skip
    n = st.segmented_control("n-grams of length", [order.n for order in shares],
                             default=shares[0].n, required=True, key="bleu_n")  # fmt: skip
    order = next((order for order in shares if order.n == n), shares[0])
    rows = _rows(order)
    st.vega_lite_chart(
        spec=charts.ngrams_chart(rows[:SHOWN]).to_dict(), key="bleu_ngrams", width="stretch",
        alt=f"{order.matched} of {order.total} {order.n}-grams match after clipping",
    )  # fmt: skip
    with st.expander("As a table"):
        st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", key="bleu_grams")


def _rows(order: Order) -> list[dict]:
    return [
        {"n-gram": " ".join(gram.words), "in the candidate": gram.count,
         "most in a reference": gram.most, "counted (clipped)": gram.clipped}
        for gram in order.grams
    ]  # fmt: skip
