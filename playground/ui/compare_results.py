"""What a finished comparison tells: the table of figures, two charts, and everything as files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from playground.comparison import Real
from playground.devices import describe_device
from playground.ui import charts, compare_charts, compare_pictures, controls, report
from playground.ui import compare_state as state
from playground.ui.compare_state import CompareSession, Entry, Outcome
from playground.ui.compare_table import table_rows, to_csv, told_columns, written
from playground.ui.report import Story

Kept = list[tuple[Entry, int]]  # lanes that are as they were run, and which of the run's they are


@dataclass(frozen=True)
class Chart:
    """A chart, what is said above it, and what is said to who cannot see it."""

    title: str
    says: str
    alt: str
    build: Callable[[], Any]
    spec: dict

    @property
    def short(self) -> str:
        return self.title.split()[0]


@dataclass(frozen=True)
class Telling:
    """What the page tells of a run; made once, since it takes longer than a click should."""

    rows: list[dict]
    charts: list[Chart]


def results(session: CompareSession) -> None:
    """Draw table, charts and downloads of the lanes that are still as they were run."""
    outcome = session.outcome
    if outcome is None or session.pace != "still" or not outcome.is_weighed:
        return
    kept = [(e, i) for e in session.entries if (i := outcome.index_of(e)) is not None]
    kept = [(e, i) for e, i in kept if outcome.figures[i] and outcome.figures[i].mean_length]
    if not kept:
        return
    told = _telling(outcome, kept)
    st.subheader("Figures", anchor=False)
    _table(told.rows)
    for problem in filter(None, (outcome.judge_problem, outcome.human_problem)):
        st.caption(f":material/info: {controls.plain(problem)}")
    for column, chart in zip(st.columns(2, gap="large"), told.charts, strict=True):
        with column:
            st.markdown(f"**{chart.title}**")
            st.caption(chart.says)
            st.vega_lite_chart(spec=chart.spec, key=f"chart_{chart.short.lower()}", alt=chart.alt,
                               width="stretch")  # fmt: skip
    if session.kind.name == "image":
        compare_pictures.results(session, kept)
    _downloads(outcome, kept, told)


def _telling(outcome: Outcome, kept: Kept) -> Telling:
    key = tuple((entry.number, entry.spec.label) for entry, _ in kept)
    if outcome.telling[:1] != (key,):
        labels = [entry.spec.label for entry, _ in kept]
        found = [outcome.comparison.result(i) for _, i in kept]
        figures = [outcome.figures[i] for _, i in kept]
        rows = table_rows(found, labels, figures, outcome.human)
        by_judge = bool(outcome.settings.judge and not outcome.judge_problem)
        first = [r.traces[0].steps for r in found]
        if outcome.settings.modality == "image":
            tokenizer = outcome.loaded.tokenizer
            a_row = tokenizer.width * tokenizer.channels
            points = compare_charts.picture_scatter_rows(
                labels, figures, outcome.human, by_judge=by_judge
            )
            lines = compare_charts.line_rows(labels, first, a_row)
            drawn = [_picture_scatter(points, labels, by_judge),
                     _picture_lines(lines, labels, a_row)]  # fmt: skip
        else:
            lines = compare_charts.line_rows(labels, first)
            points = compare_charts.scatter_rows(labels, figures, outcome.human, by_judge=by_judge)
            drawn = [_scatter(points, labels, by_judge), _lines(lines, labels)]
        outcome.telling = (key, Telling(rows, drawn))
    return outcome.telling[1]


def _scatter(points: list[dict], labels: list[str], by_judge: bool) -> Chart:
    told = "; ".join(
        f"{p['lane']}: perplexity {p['perplexity']:.1f}, repetition {p['repetition']:.0%}"
        for p in points
    )
    person = "Dashed: human text. " if any(p["kind"] == "human" for p in points) else ""

    def build() -> Any:
        who = "the judge" if by_judge else "the model itself"
        return compare_charts.scatter_chart(points, labels, who)

    return Chart(
        "Perplexity against repetition",
        f"{person}What is too likely repeats itself, what is too unlikely rambles; good text "
        "is near what people write (Holtzman et al. 2020, fig. 1).",
        f"Scatter chart. {told}", build, build().to_dict(),
    )  # fmt: skip


def _picture_scatter(points: list[dict], labels: list[str], by_judge: bool) -> Chart:
    told = "; ".join(
        f"{p['lane']}: {p['bits']:.2f} bits per dimension, distance {p['distance']:.0f}"
        for p in points
    )
    real = "Dashed: real pictures. " if any(p["kind"] == "human" for p in points) else ""

    def build() -> Any:
        who = "the judge" if by_judge else "the model itself"
        return compare_charts.picture_scatter_chart(points, labels, who)

    return Chart(
        "Likelihood against variety",
        f"{real}What is too likely is empty and always the same; what is too unlikely is noise. "
        "Lanes of one picture have no distance and are left out.",
        f"Scatter chart. {told}", build, build().to_dict(),
    )  # fmt: skip


def _picture_lines(lines: list[dict], labels: list[str], a_row: int) -> Chart:
    def build() -> Any:
        return compare_charts.line_chart(lines, labels, a_row, "value")

    return Chart(
        "Surprisal along the picture",
        "The mean of as many values as a row has: empty rows cost nothing, edges and patterns do.",
        f"Line chart of the surprisal of {len(labels)} lanes, the first picture of each",
        build, build().to_dict(),
    )  # fmt: skip


def _lines(lines: list[dict], labels: list[str]) -> Chart:
    def build() -> Any:
        return compare_charts.line_chart(lines, labels)

    return Chart(
        "Surprisal along the text",
        "A text that loops becomes certain of itself: its line sinks to 0.",
        f"Line chart of the surprisal of {len(labels)} lanes, the first sample of each",
        build, build().to_dict(),
    )  # fmt: skip


def _table(rows: list[dict]) -> None:
    """One row a figure with what it means, one column a lane: so names have room."""
    columns = told_columns(rows)
    table = {"figure": [c.title for c in columns]}
    config = {"figure": st.column_config.TextColumn("", pinned=True, width=135)}
    for i, row in enumerate(rows):
        table[str(i)] = [written(row[c.name], c) for c in columns]
        config[str(i)] = st.column_config.TextColumn(row["lane"], alignment="right", width=110)
    table["meaning"] = [c.help for c in columns]
    config["meaning"] = st.column_config.TextColumn("what it means", width="large")
    st.dataframe(
        pd.DataFrame(table), hide_index=True, column_config=config, key="figures_table",
        height=38 + 35 * len(columns),
    )  # fmt: skip


def _downloads(outcome: Outcome, kept: Kept, told: Telling) -> None:
    """Offer the whole comparison and each chart; files are made when they are asked for."""
    link = state.address(outcome.settings, [entry.spec for entry, _ in kept])

    def story(*drawn: Chart) -> Story:
        return Story(
            settings=outcome.settings, labels=[entry.spec.label for entry, _ in kept],
            results=[outcome.comparison.result(i) for _, i in kept], rows=told.rows,
            tokenizer=outcome.loaded.tokenizer, prompt=outcome.settings.prompt, link=link,
            device=describe_device(outcome.settings.device),
            charts=[(c.title, charts.render(c.build(), "svg").decode()) for c in drawn],
            real=outcome.real if isinstance(outcome.real, Real) else None,
            label=outcome.comparison.label,
        )  # fmt: skip

    files: dict[str, tuple[str, Callable]] = {
        "Report (HTML)": ("report.html", lambda: report.to_html(story(*told.charts))),
        "Figures (CSV)": ("figures.csv", lambda: to_csv(told.rows)),
        "Everything (JSON)": ("comparison.json", lambda: report.to_json(story())),
    }
    if outcome.settings.modality == "image":
        files["Contact sheet (PNG)"] = ("sheet.png", lambda: report.sheet_of(story()))
    for chart in told.charts:
        for kind in ("png", "svg"):
            files[f"{chart.short} ({kind.upper()})"] = (
                f"{chart.short.lower()}.{kind}",
                lambda chart=chart, kind=kind: charts.render(chart.build(), kind),
            )
    st.markdown("**Take it with you**")
    with st.container(horizontal=True):
        for title, (name, make) in files.items():
            st.download_button(title, make, name, key=f"get-{name}", on_click="ignore",
                               icon=":material/download:")  # fmt: skip
