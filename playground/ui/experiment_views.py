"""What the Experiments page shows of one experiment, and how it is made again there.

The charts are built once for all sessions, as dictionaries that are sent as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from streamlit.errors import StreamlitAPIException

from playground.errors import DataError, PlaygroundError
from playground.experiments.findings import finding
from playground.experiments.results import FOLDER, NAMES, Result, load_result
from playground.experiments.summaries import AGREES, CONTRADICTS, UNDECIDED, Finding
from playground.running.trainings import SWITCH, is_allowed
from playground.ui import controls, experiment_rerun, state, views
from playground.ui.experiment_charts import charts
from playground.ui.experiment_marks import Drawn
from playground.ui.experiment_model_charts import family_table, strategy_table
from playground.ui.experiment_rerun import Rerun, Reruns
from playground.ui.experiment_texts import TEXTS
from playground.ui.image_controls import MODES

BADGES = {  # by verdict: icon, colour
    AGREES: (":material/check:", "green"),
    CONTRADICTS: (":material/error:", "orange"),
    UNDECIDED: (":material/question_mark:", "gray"),
}
TABLES: dict[str, Callable] = {"families": family_table, "quality": strategy_table}
ORDER = MODES[-1]  # of the Image page
TICK_S = 1.0  # between two looks at a process


@dataclass(frozen=True)
class Telling:
    """What is told of one result; made once for all sessions."""

    result: Result
    finding: Finding
    drawn: tuple[tuple[Drawn, dict], ...]  # a chart, and as it is sent


def picker() -> str:
    """Choose an experiment; its title is in the link. Return its name."""
    names = {TEXTS[name].title: name for name in NAMES}
    controls.name_strangers("experiment", list(names))
    title = st.pills(
        "Experiment", list(names), default=next(iter(names)), required=True, key="experiment",
        bind="query-params", label_visibility="collapsed",
    )  # fmt: skip
    return names[title]


def kept(name: str) -> Telling | None:
    """Draw the finding of the result that is kept and what is chosen of it; say if there is none.

    Return what is told of it.
    """
    try:
        told = telling(name, FOLDER)
        found(told)
        steps = steps_slider(told.result)
        return told if steps is None else telling(name, FOLDER, steps)
    except DataError as error:
        st.warning(controls.plain(str(error)), icon=":material/science:")
        return None


def telling(name: str, folder: Path, steps: int | None = None) -> Telling:
    """Return what is told of a result, made again only if its file changes.

    Raises:
        DataError: there is no such file, or it is not one of these.
    """
    try:
        stamp = (folder / f"{name}.json").stat().st_mtime_ns
    except OSError:
        stamp = 0
    return _telling(name, folder, stamp, steps)


@st.cache_resource(max_entries=32, show_spinner="Drawing …")
def _telling(name: str, folder: Path, stamp: int, steps: int | None) -> Telling:
    result = load_result(name, folder)
    drawn = tuple((d, d.chart.to_dict()) for d in charts(result, steps))
    return Telling(result, finding(result), drawn)


def question(name: str) -> None:
    text = TEXTS[name]
    st.subheader(text.title, anchor=False)
    st.markdown(text.question)
    if text.claim:
        st.caption(f"The lesson: *{text.claim}*")


def found(told: Telling) -> None:
    """Say the finding, and how it stands to the lesson."""
    st.info(controls.plain(told.finding.text), icon=":material/science:")
    if told.finding.verdict:
        icon, color = BADGES[told.finding.verdict]
        st.badge(told.finding.verdict, icon=icon, color=color)


def steps_slider(result: Result) -> int | None:
    """Choose after how many steps of fine-tuning the matrix is; None where nothing is tuned."""
    if result.name != "transfer":
        return None
    steps = sorted(result.values("steps"))
    return st.select_slider(
        "Steps of fine-tuning on what is read", steps, key="tuned", bind="query-params",
        help="0: the model as it was trained, on a text it has never seen the like of.",
    )  # fmt: skip


def pictures(told: Telling, prefix: str, columns: int = 2) -> None:
    """Draw the charts of a result, so many beside each other; one left over has a whole row."""
    for first in range(0, len(told.drawn), columns):
        row = told.drawn[first : first + columns]
        for column, (drawn, spec) in zip(st.columns(len(row), gap="large"), row, strict=True):
            with column:
                st.markdown(f"**{drawn.title}**")
                st.caption(drawn.caption)
                st.vega_lite_chart(
                    spec=spec, key=f"{prefix}_{drawn.name}", width="stretch", alt=drawn.alt
                )


def table(told: Telling) -> None:
    make = TABLES.get(told.result.name)
    if make is not None:
        st.markdown("**As numbers**")
        st.dataframe(make(told.result), hide_index=True, width="stretch", placeholder="–",
                     key=f"table_{told.result.name}")  # fmt: skip


def limits(told: Telling) -> None:
    """Say what the result does not show, who made it, and how to make it again."""
    result = told.result
    seeds = f"{result.seeds} seed{'s' if result.seeds != 1 else ''}"
    st.markdown("**Limits**")
    st.markdown("\n".join(f"- {limit}" for limit in TEXTS[result.name].limits))
    st.markdown("**Make it again**")
    st.code(result.command, language="bash")
    minutes = math.ceil(result.seconds / 60)
    st.caption(
        controls.plain(
            f"{result.data}. {seeds}, {len(result.rows)} rows, {minutes} "
            f"minute{'s' if minutes != 1 else ''} of training and measuring ({result.machine})."
        )
    )


def downloads(told: Telling, prefix: str = "") -> None:
    """Offer the rows and the charts; `prefix` tells the files of two results apart."""
    result = told.result
    files = {
        "Rows (CSV)": (f"{prefix}{result.name}.csv", result.to_csv),
        "Rows (JSON)": (f"{prefix}{result.name}.json", result.to_json),
    }
    for drawn, _ in told.drawn:
        named = views.chart_files(drawn.title, lambda drawn=drawn: drawn.chart)
        files |= {
            title: (f"{prefix}{drawn.name}.{name.rpartition('.')[2]}", make)
            for title, (name, make) in named.items()
        }
    with st.expander("Downloads", key=f"downloads_{prefix}{result.name}"):
        views.offer(files, "experiment")


# -- making it again -------------------------------------------------------------------------------


@st.cache_resource
def reruns() -> Reruns:
    """Return what this server makes again."""
    return Reruns()


def again(name: str) -> Telling | None:
    """Draw the button that makes an experiment again, how far it is, and what went wrong.

    Return what is told of a result that was made here before, if there is one.
    """
    st.subheader("Make it here, at a reduced size", anchor=False)
    if not is_allowed():
        st.caption(f"Training is switched off on this server ({SWITCH}=off). On your own machine:")
        st.code(f"python -m train.experiment {name} --reduced", language="bash")
        return None
    here = reruns()
    st.caption(
        "Few steps and one seed, in a process of its own: some minutes. It shows how the "
        "experiment is made, not what is true; nothing kept is replaced. You may close the tab."
    )
    running = here.current
    _watched(here, name, running)
    last = here.last(name)
    if last is not None and last.problem:
        st.error(controls.plain(last.problem))
    elif last is not None and last.is_stopped and running is not last:
        st.caption("It was stopped. What it has trained so far is kept: it goes on there.")
    if here.result(name) is None:
        return None
    try:
        return telling(name, here.folder(name))
    except DataError as error:
        st.error(controls.plain(str(error)))
        return None


def _watched(here: Reruns, name: str, running: Rerun | None) -> None:
    """Draw what changes by itself; the page is drawn anew when the process begins or ends."""

    @st.fragment(run_every=TICK_S if running is not None else None)
    def watched() -> None:
        if here.current is not running:
            st.rerun()
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                "Make it", icon=":material/play_arrow:", key="make", on_click=_start,
                args=(here, name), disabled=running is not None,
            )  # fmt: skip
            if running is not None:
                st.button("Stop", icon=":material/stop:", key="stop", on_click=_stop,
                          args=(running,), disabled=running.is_stopped)  # fmt: skip
        if running is not None:
            done, of = running.progress
            title = TEXTS[running.name].title
            says = f"{title}: {done} of {of}" if of else f"{title}: begins …"
            st.progress(min(1.0, done / of) if of else 0.0,
                        "Stopping …" if running.is_stopped else says)  # fmt: skip

    watched()


def _start(here: Reruns, name: str) -> None:
    try:
        here.start(name)
    except PlaygroundError as error:
        state.tell(str(error))


def _stop(rerun: Rerun) -> None:
    experiment_rerun.stop(rerun)


def beside(told: Telling | None, reduced: Telling) -> None:
    """Draw the reduced result beside the kept one, or alone where none is kept."""
    if told is None:
        found(reduced)
        pictures(reduced, "reduced")
    else:
        left, right = st.columns(2, gap="large")
        for column, title, telling_, prefix in (
            (left, "Kept", told, "again"), (right, "Reduced, made here", reduced, "reduced"),
        ):  # fmt: skip
            with column:
                st.markdown(f"**{title}**")
                found(telling_)
                pictures(telling_, prefix, 1)
    downloads(reduced, "reduced-")


def other_experiments() -> None:
    """Lead to the experiment that has a page of its own."""
    try:
        st.page_link(
            "pages/2_Image.py", label="Does the order of the pixels matter? On the Image page",
            icon=":material/grid_on:", query_params={"do": ORDER},
        )  # fmt: skip
    except StreamlitAPIException:
        return  # a page that is run by itself, as tests do, has no others
