"""The results of the Arena: ratings, who won against whom, agreement, and the votes as a file."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from playground.errors import DataError, PlaygroundError
from playground.ui import arena_charts, arena_state, controls, state
from playground.ui.arena_data import (
    ALL,
    Standing,
    agreement_rows,
    agreements,
    counted,
    criteria_of,
    drawn_of,
    rating_rows,
    standing,
    warnings_of,
)
from playground.ui.arena_state import ArenaSession
from playground.votes.table import MAX_BYTES, from_csv, merged, to_csv
from playground.votes.vote import Vote

HERE, FILE, BOTH = "votes given here", "votes of the file", "both"
SHARES = ("the same", "alpha", "kappa")


def section(session: ArenaSession, modality: str) -> None:
    """Draw the results for one modality."""
    try:
        store, publisher = arena_state.votes()
        here = _stored(str(store.path), store.count(), modality)
    except PlaygroundError as error:
        st.error(controls.plain(str(error)))
        here, publisher = [], None
    shown = _chosen(session, here, modality)
    if not shown:
        st.info("There are no votes on this yet. Give some under Vote, or choose a file below.")
    else:
        _figures(shown, modality)
    _files(session, here, modality)
    if told := arena_state.pushed(publisher):
        st.caption(controls.plain(told))


@st.cache_data(max_entries=8, show_spinner=False)
def _stored(path: str, count: int, modality: str) -> list[Vote]:
    """Return the votes of the database; votes are only ever added, so their number names them."""
    return arena_state.votes()[0].votes(modality)


@st.cache_data(max_entries=32, show_spinner="Rating …")
def _standing(_votes: list[Vote], marks: tuple, criterion: str) -> Standing:
    return standing(_votes, criterion)


def _chosen(session: ArenaSession, here: list[Vote], modality: str) -> list[Vote]:
    """Return the votes that are rated: those given here, those of a file, or both."""
    if session.imported is None:
        return here
    own = [vote for vote in session.imported[1] if vote.modality == modality]
    which = st.segmented_control("Which votes", (HERE, FILE, BOTH), default=FILE, required=True,
                                 key="arena_which")  # fmt: skip
    return {HERE: here, FILE: own}.get(which, merged([here, own]))


def _figures(votes: list[Vote], modality: str) -> None:
    criteria = criteria_of(modality)
    criterion = st.segmented_control("By", criteria, default=ALL, required=True,
                                     key=f"arena_by_{modality}")  # fmt: skip
    found = _standing(votes, tuple((v.pair, v.judge, v.at) for v in votes), criterion)
    judges, pairs = (len({getattr(v, name) for v in votes}) for name in ("judge", "pair"))
    together = " An answer to each question counts as a verdict." if criterion == ALL else ""
    st.caption(
        f"{counted(len(votes), 'vote')} on {counted(pairs, 'pair')} by {counted(judges, 'judge')}; "
        f"{found.verdicts} verdicts are rated; “both bad” counts as a tie.{together} A rating says "
        "how often one wins: 400 points more are odds of 10 to 1, none are even odds. Intervals: "
        f"95 %, bootstrap {drawn_of(found.judges)}.",
        help="Bradley–Terry with ties (Davidson 1970), fitted by the MM algorithm (Hunter 2004). "
        "The bootstrap rates again and again what is drawn anew, with replacement, from all "
        "that was given; whole judges are drawn (Davison & Hinkley 1997): who was rated by few "
        "judges is less sure than by many, however many votes each gave.",
    )
    if found.model:
        st.caption(f"All are by **{controls.plain(found.model)}**.")
    for told in warnings_of(found):
        st.warning(controls.plain(told))
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Ratings**")
        st.altair_chart(arena_charts.rating_chart(found), key="arena_ratings")
    with right:
        st.markdown("**Won by the row against the column**")
        st.altair_chart(arena_charts.matrix_chart(found), key="arena_matrix")
    table = pd.DataFrame(rating_rows(found))
    if found.table.is_connected:
        table = table.drop(columns="group")
    st.dataframe(table, hide_index=True, key="arena_table")
    st.markdown("**Do judges agree?**")
    rows = agreement_rows(agreements(votes, modality))
    if not rows[0]["shared pairs"]:
        st.caption("No pair was judged by two yet, so nothing can be said. Send somebody the link "
                   "below: whoever opens it judges the same pairs.")  # fmt: skip
    else:
        config = {name: st.column_config.NumberColumn(format="%.2f") for name in SHARES}
        st.dataframe(pd.DataFrame(rows), hide_index=True, key="arena_agreement",
                     column_config=config,
                     column_order=("criterion", *SHARES, "shared pairs", "judges"))  # fmt: skip
        st.caption(
            "“The same”: how often two judges of a pair said the same. Alpha and kappa take off "
            "what chance would give: 1, they always agree; 0, no more often than by chance. Empty: "
            "not defined, as where all verdicts are the same.",
            help="Alpha is Krippendorff's (2011), of all shared pairs. Kappa is Cohen's (1960) of "
            "two judges, else Fleiss' (1971) of the pairs with the commonest number of judges.",
        )
    st.caption("The same pairs for another judge:")
    st.code(arena_state.link_for_another(), language=None, wrap_lines=True)


def _files(session: ArenaSession, here: list[Vote], modality: str) -> None:
    left, right = st.columns(2, gap="large", vertical_alignment="bottom")
    with left:
        st.download_button("Votes (CSV)", lambda: to_csv(here), f"votes-{modality}.csv", "text/csv",
                           icon=":material/download:", key="arena_csv", on_click="ignore",
                           disabled=not here)  # fmt: skip
    with right:
        st.file_uploader(
            "Votes of a file (CSV)",
            ["csv"],
            key="arena_file",
            on_change=_import,
            args=(session,),
            help=f"As it is downloaded here, at most {MAX_BYTES >> 20} MB.",
        )
    if session.import_problem:
        st.error(controls.plain(session.import_problem))
    elif session.imported is not None:
        name, votes, again = session.imported
        twice = f"; {again} lines said again what another had said" if again else ""
        st.caption(controls.plain(f"{name}: {counted(len(votes), 'vote')}{twice}."))


def _import(session: ArenaSession) -> None:
    """Read the file that was chosen; it is compared with, and never added to the database."""
    file = state.value("arena_file")
    session.imported, session.import_problem = None, ""
    if file is None:
        return
    try:
        if file.size > MAX_BYTES:
            raise DataError(f"The file is larger than {MAX_BYTES >> 20} MB. Export fewer votes.")
        votes, again = from_csv(file.getvalue())
    except PlaygroundError as error:
        session.import_problem = str(error)
        return
    session.imported = (file.name[:80], votes, again)
