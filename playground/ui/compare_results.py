"""What a finished comparison tells: the table of figures, two charts, and everything as files."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import streamlit as st

from playground.devices import describe_device
from playground.ui import charts, compare_charts, controls, report
from playground.ui import compare_state as state
from playground.ui.compare_state import CompareSession, Entry, Outcome
from playground.ui.compare_table import table_rows, to_csv, told_columns, written
from playground.ui.report import Story

Told = tuple[str, str, Callable]  # what to say of a chart, its alternative text, how to build it
JUDGED, OWN = "the judge", "the model itself"


def results(session: CompareSession) -> None:
    """Draw table, charts and downloads of the lanes that are still as they were run."""
    outcome = session.outcome
    if outcome is None or session.pace != "still" or not outcome.is_weighed:
        return
    kept = [(e, i) for e in session.entries if (i := outcome.index_of(e)) is not None]
    kept = [
        (e, i) for e, i in kept if outcome.figures[i] is not None and outcome.figures[i].mean_length
    ]
    if not kept:
        return
    story = _story(outcome, kept)
    st.subheader("Figures", anchor=False)
    _table(story)
    for problem in filter(None, (outcome.judge_problem, outcome.human_problem)):
        st.caption(f":material/info: {controls.plain(problem)}")
    drawn = _charts(outcome, kept)
    columns = st.columns(2, gap="large")
    for column, (title, (says, alt, chart)) in zip(columns, drawn.items(), strict=True):
        with column:
            st.markdown(f"**{title}**")
            st.caption(says)
            built = chart()
            spec = built.to_dict()
            st.vega_lite_chart(spec=spec, key=f"chart_{title.split()[0].lower()}", alt=alt,
                               width="stretch")  # fmt: skip
    _downloads(story, drawn)


def _story(outcome: Outcome, kept: list[tuple[Entry, int]]) -> Story:
    labels = [entry.spec.label for entry, _ in kept]
    found = [outcome.comparison.result(i) for _, i in kept]
    rows = table_rows(found, labels, [outcome.figures[i] for _, i in kept], outcome.human)
    return Story(
        settings=outcome.settings, labels=labels, results=found, rows=rows,
        tokenizer=outcome.loaded.tokenizer, prompt=outcome.settings.prompt,
        link=state.address(outcome.settings, [entry.spec for entry, _ in kept]),
        device=describe_device(outcome.settings.device),
    )  # fmt: skip


def _table(story: Story) -> None:
    """One row a figure with what it means, one column a lane: so names have room."""
    columns = told_columns(story.rows)
    table = {"figure": [c.title for c in columns]}
    config = {"figure": st.column_config.TextColumn("", pinned=True, width=135)}
    for i, row in enumerate(story.rows):
        table[str(i)] = [written(row[c.name], c) for c in columns]
        config[str(i)] = st.column_config.TextColumn(row["lane"], alignment="right")
    table["meaning"] = [c.help for c in columns]
    config["meaning"] = st.column_config.TextColumn("what it means", width="large")
    st.dataframe(
        pd.DataFrame(table), hide_index=True, column_config=config, key="figures_table",
        height=38 + 35 * len(columns),
    )  # fmt: skip


def _charts(
    outcome: Outcome, kept: list[tuple[Entry, int]]
) -> dict[str, tuple[str, str, Callable]]:
    """Return what to say of each chart, its alternative text, and how to build it."""
    labels = [entry.spec.label for entry, _ in kept]
    found = [outcome.figures[i] for _, i in kept]
    by_judge = bool(outcome.settings.judge and not outcome.judge_problem)
    who = JUDGED if by_judge else OWN
    points = compare_charts.scatter_rows(labels, found, outcome.human, by_judge=by_judge)
    texts = [outcome.comparison.result(i).traces[0].steps for _, i in kept]
    lines = compare_charts.line_rows(labels, texts)
    told = "; ".join(
        f"{p['lane']}: perplexity {p['perplexity']:.1f}, repetition {p['repetition']:.0%}"
        for p in points
    )
    person = "Dashed: human text. " if outcome.human is not None else ""
    return {
        "Perplexity against repetition": (
            f"{person}What is too likely repeats itself, what is too unlikely rambles; good text "
            "is near what people write (Holtzman et al. 2020, fig. 1).",
            f"Scatter chart. {told}",
            lambda: compare_charts.scatter_chart(points, labels, who),
        ),
        "Surprisal along the text": (
            "A text that loops becomes certain of itself: its line sinks to 0.",
            f"Line chart of the surprisal of {len(labels)} lanes, the first sample of each",
            lambda: compare_charts.line_chart(lines, labels),
        ),
    }


def _downloads(story: Story, drawn: dict[str, tuple[str, str, Callable]]) -> None:
    """Offer the whole comparison and each chart; files are made when they are asked for."""

    def html() -> str:
        rendered = [
            (title, charts.render(chart(), "svg").decode())
            for title, (_, _, chart) in drawn.items()
        ]
        return report.to_html(_with_charts(story, rendered))

    files: dict[str, tuple[str, Callable]] = {
        "Report (HTML)": ("report.html", html),
        "Figures (CSV)": ("figures.csv", lambda: to_csv(story.rows)),
        "Everything (JSON)": ("comparison.json", lambda: report.to_json(story)),
    }
    for title, (_, _, chart) in drawn.items():
        short = title.split()[0]
        for kind in ("png", "svg"):
            files[f"{short} ({kind.upper()})"] = (
                f"{short.lower()}.{kind}",
                lambda chart=chart, kind=kind: charts.render(chart(), kind),
            )
    st.markdown("**Take it with you**")
    with st.container(horizontal=True):
        for title, (name, make) in files.items():
            st.download_button(title, make, name, key=f"get-{name}", on_click="ignore",
                               icon=":material/download:")  # fmt: skip


def _with_charts(story: Story, rendered: list[tuple[str, str]]) -> Story:
    return Story(**{**vars(story), "charts": rendered})
