"""What a finished comparison tells: the table of figures, two charts, and everything as files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from playground.comparison import Real
from playground.devices import describe_device
from playground.traces.trace import Step
from playground.ui import charts, compare_charts, controls, report
from playground.ui import compare_state as state
from playground.ui.compare_state import CompareSession, Entry, Outcome
from playground.ui.compare_table import table_rows, to_csv, told_columns, written
from playground.ui.compare_views import SHOWN
from playground.ui.report_story import Story

SCATTERS = {  # by modality: title, and what is said of it
    "text": (
        "Perplexity against repetition",
        "What is too likely repeats itself, what is too unlikely rambles; good text is near what "
        "people write (Holtzman et al. 2020, fig. 1).",
    ),
    "image": (
        "Likelihood against variety",
        "What is too likely is empty and always the same; what is too unlikely is noise. Lanes of "
        "one picture have no distance and are left out.",
    ),
    "audio": (
        "Likelihood against silence",
        "What is too likely is silent: at every sample the levels around zero share their "
        "probability with all others, but no other level alone is likelier. What is too unlikely "
        "is noise.",
    ),
}
LINES = {  # by modality: what is made, and what is said of its surprisal
    "text": ("text", "A text that loops becomes certain of itself: its line sinks to 0."),
    "image": (
        "picture",
        "The mean of as many values as a row has: empty rows cost nothing, edges and patterns do.",
    ),
    "audio": (
        "sound",
        "The mean of 10 ms: silence costs little, a hit or a hiss does. A lane that has fallen "
        "silent stays at the bottom.",
    ),
}
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
    if session.kind.name in SHOWN:
        SHOWN[session.kind.name].results(session, kept)
    _downloads(outcome, kept, told)


def _telling(outcome: Outcome, kept: Kept) -> Telling:
    key = tuple((entry.number, entry.spec.label) for entry, _ in kept)
    if outcome.telling[:1] != (key,):
        labels = [entry.spec.label for entry, _ in kept]
        found = [outcome.comparison.result(i) for _, i in kept]
        figures = [outcome.figures[i] for _, i in kept]
        rows = table_rows(found, labels, figures, outcome.human)
        by_judge = bool(outcome.settings.judge and not outcome.judge_problem)
        modality, first = outcome.settings.modality, [r.traces[0].steps for r in found]
        points = compare_charts.scatter_rows(
            labels, figures, outcome.human, by_judge=by_judge, modality=modality
        )
        drawn = [_scatter(points, labels, by_judge, modality),
                 _lines(first, labels, modality, outcome.loaded.tokenizer)]  # fmt: skip
        outcome.telling = (key, Telling(rows, drawn))
    return outcome.telling[1]


def _scatter(points: list[dict], labels: list[str], by_judge: bool, modality: str) -> Chart:
    title, says = SCATTERS[modality]
    plot = compare_charts.PLOTS[modality]
    told = "; ".join(
        f"{p['lane']}: {plot.y_title} {p[plot.y]:.2f}, {plot.x_title} {p[plot.x]:.2f}"
        for p in points
    )
    real = compare_charts.REAL[modality]
    dashed = f"Dashed: {real}. " if any(p["kind"] == "human" for p in points) else ""

    def build() -> Any:
        who = "the judge" if by_judge else "the model itself"
        return compare_charts.scatter_chart(points, labels, who, modality)

    return Chart(title, dashed + says, f"Scatter chart. {told}", build, build().to_dict())


def _lines(first: list[Sequence[Step]], labels: list[str], modality: str, tokenizer: Any) -> Chart:
    """Draw the surprisal of the first sample of each lane, smoothed over a piece of it."""
    what, says = LINES[modality]
    band, every, token = compare_charts.BAND, 1, "token"
    if modality == "image":
        band, token = tokenizer.width * tokenizer.channels, "value"
    elif modality == "audio":
        band, token = tokenizer.sample_rate // 100, "sample"
        every = max(1, band // 4)
    lines = compare_charts.line_rows(labels, first, band, every)

    def build() -> Any:
        return compare_charts.line_chart(lines, labels, band, token)

    return Chart(
        f"Surprisal along the {what}", says,
        f"Line chart of the surprisal of {len(labels)} lanes, the first {what} of each",
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
    if outcome.settings.modality in SHOWN:
        files |= SHOWN[outcome.settings.modality].files(story)
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
