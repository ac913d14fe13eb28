"""A training as it goes on: how far it is, its curves, what it writes, and how it ended."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from streamlit.errors import StreamlitAPIException

from playground.errors import PlaygroundError
from playground.running import trainings
from playground.running.metrics import Metrics
from playground.running.snapshots import snapshots
from playground.running.trainings import Training
from playground.ui import state, train_charts
from playground.ui.controls import plain
from playground.ui.train_controls import Wish

TICK_S = 2.0
SAMPLES = 3  # of the last ones
STATES = {  # of a run: its icon and colour
    "running": (":material/play_circle:", "blue"), "finished": (":material/check_circle:", "green"),
    "stopped": (":material/pause_circle:", "gray"), "ended": (":material/error:", "red"),
}  # fmt: skip


@dataclass
class TrainSession:
    """What one visitor sees of the trainings of this server."""

    metrics: Metrics | None = None  # of the run that is shown
    problem: str = ""  # of the last click


def train_session() -> TrainSession:
    """Return what this visitor sees."""
    return st.session_state.setdefault("_train", TrainSession())


def start(session: TrainSession, runs: Path, wish: Wish) -> None:
    """Begin a training and show it; what stands against it is told."""
    session.problem = ""
    if not wish.data and wish.upload is None:
        session.problem = "Upload a text to learn from, or choose one that is here."
        return
    try:
        flags = wish.order.flags(wish.data, wish.characters)
        training = trainings.start(runs, wish.name, flags, wish.upload)
    except PlaygroundError as error:
        session.problem = str(error)
        return
    state.set_widget("run", training.name)


def _resume(session: TrainSession, training: Training) -> None:
    session.problem = ""
    try:
        trainings.resume(training)
    except PlaygroundError as error:
        session.problem = str(error)


def run_picker(found: list[Training]) -> Training:
    """Choose which run is shown; the last that was begun, if none is."""
    by_name = {training.name: training for training in found}
    name = st.selectbox("Run", list(by_name), key="run")
    return by_name[name]


def buttons(session: TrainSession, training: Training) -> None:
    """Say how a run is, and draw what can be done with it."""
    icon, color = STATES[training.state]
    st.badge(training.state, icon=icon, color=color)
    if not trainings.is_allowed():
        return
    if training.state == "running":
        st.button("Stop and save", icon=":material/stop:", key="train_stop",
                  on_click=trainings.stop, args=(training,),
                  help="It ends after the step it is at; Resume goes on from there.")  # fmt: skip
    elif training.can_resume:
        st.button(
            "Resume", icon=":material/resume:", key="train_resume", on_click=_resume,
            args=(session, training), help="Go on from the last step that was saved.",
        )  # fmt: skip


def watch(session: TrainSession, training: Training) -> None:
    """Draw a run, again and again while it goes on."""
    if session.metrics is None or session.metrics.folder != training.folder:
        session.metrics = Metrics(training.folder)
    is_going = training.state == "running"
    kept = len(snapshots(training.folder))

    @st.fragment(run_every=TICK_S if is_going else None)
    def board() -> None:
        now = trainings.read(training.folder)
        is_same = now is not None and now.state == training.state
        if not is_same or len(snapshots(training.folder)) != kept:
            st.rerun()  # buttons, the list of runs and the slider are the page's
        session.metrics.update()
        _status(session.metrics, training)
        _curves(session.metrics)
        _samples(session.metrics)

    board()
    _end(training)
    with st.expander("Command, and what it printed", key="train_log"):
        st.code(training.command, language="bash", wrap_lines=True)
        st.code("\n".join(trainings.said(training.folder)[-40:]) or "nothing yet", language=None)


def _status(metrics: Metrics, training: Training) -> None:
    total = metrics.planned or _whole(training.flag("--steps"))
    done, judged = metrics.step, metrics.judged
    if training.state == "running":
        st.progress(
            min(1.0, done / total) if total and done else 0.0,
            f"step {done:,} of {total:,}" if total and done
            else "Beginning: the first steps tell how many fit into the minutes …",
        )  # fmt: skip
    if not metrics.steps:
        return
    last = metrics.steps[-1]
    figures = {
        "Steps": f"{done:,}",
        "Held out": f"{judged[-1]['bits']:.3f} bits" if judged else "…",
        "Throughput": f"{last['speed']:,.0f} tokens/s" if last["speed"] else "…",
        "Time": f"{int(last['seconds']) // 60}:{int(last['seconds']) % 60:02}",
    }
    with st.container(horizontal=True, key="train_figures"):
        for title, value in figures.items():
            st.metric(title, value, width="content")


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _curves(metrics: Metrics) -> None:
    if not metrics.steps:
        return
    st.vega_lite_chart(
        train_charts.loss_rows(metrics), train_charts.loss_spec(), key="train_loss",
        width="stretch", alt="Bits per character of training batches and of the held-out text "
        f"against steps; the last is {metrics.steps[-1]['bits']:.3f}",
    )  # fmt: skip
    rows = train_charts.step_rows(metrics)
    columns = st.columns(3, gap="medium")
    for column, (title, spec) in zip(columns, train_charts.curve_specs().items(), strict=True):
        with column:
            st.markdown(f"**{title}**")
            st.vega_lite_chart(rows, spec, key=f"train_{title}", width="stretch",
                               alt=f"{title} against steps")  # fmt: skip


def _samples(metrics: Metrics) -> None:
    """Show what it writes of itself, always with the same noise: the last ones, and the first."""
    judged = [point for point in metrics.judged if point["sample"]]
    if not judged:
        return
    st.markdown("**What it writes**")
    shown = judged[-SAMPLES:][::-1] + ([judged[0]] if len(judged) > SAMPLES else [])
    for point in shown:
        st.caption(f"after {point['step']:,} steps · {point['bits']:.3f} bits per character")
        st.code(point["sample"], language=None, wrap_lines=True)


def _end(training: Training) -> None:
    """Say how a run ended, and where its model is."""
    if training.state == "ended":
        st.error(plain(training.message), icon=":material/error:")
    elif training.state == "stopped":
        st.info(plain(training.message[0].upper() + training.message[1:]) + ".",
                icon=":material/pause_circle:")  # fmt: skip
    elif training.state == "finished" and training.message:
        st.success(plain(training.message.rpartition(": ")[2]), icon=":material/check_circle:")
    if training.has_model and training.state != "running":
        with suppress(StreamlitAPIException):  # a page that is run by itself has no others
            st.page_link(
                "pages/1_Text.py", label=f"Step through what {plain(training.name)} writes",
                icon=":material/notes:", query_params={"model": training.name},
            )  # fmt: skip
