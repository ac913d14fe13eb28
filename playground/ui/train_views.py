"""A training as it goes on: how far it is, its curves, what it writes, and how it ended."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
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
FEW_STEPS = 60
STATES = {  # of a run: its icon and colour
    "running": (":material/play_circle:", "blue"), "finished": (":material/check_circle:", "green"),
    "stopped": (":material/pause_circle:", "gray"), "ended": (":material/error:", "red"),
}  # fmt: skip


@dataclass
class TrainSession:
    """What one visitor sees of the trainings of this server."""

    metrics: Metrics | None = None  # of the run that is shown
    problem: str = ""  # of the last click
    started: list[str] = field(default_factory=list)  # names of the runs that this tab began
    asked: str = ""  # another's run whose end was asked for, but not yet twice


def train_session() -> TrainSession:
    """Return what this visitor sees."""
    return st.session_state.setdefault("_train", TrainSession())


def launch(session: TrainSession, runs: Path, wish: Wish, going: Training | None) -> None:
    """Say what would be trained and by which command, and start it."""
    try:
        command = wish.command
    except PlaygroundError as error:
        st.error(plain(str(error)))
        return
    with st.container(horizontal=True, vertical_alignment="center", key="train_order"):
        st.markdown(f"**{plain(wish.name)}**  \n{plain(wish.summary)}")
        pressed = st.button(
            "Start training", type="primary", icon=":material/model_training:", key="train_start",
            disabled=going is not None or not wish.text.is_here,
        )  # fmt: skip
    if going is not None:
        st.caption(
            f"The run {plain(going.name)} is training now, and there is one at a time: stop it, or "
            "wait for its end."
        )
    elif not wish.text.is_here:
        st.caption("Upload a text to learn from in the sidebar, or choose one that is here.")
    with st.expander("The same on a command line", key="train_command"):
        st.code(command, language="bash", wrap_lines=True)
    if session.problem:
        st.error(plain(session.problem))
    if pressed:
        _start(session, runs, wish)
        st.rerun()


def _start(session: TrainSession, runs: Path, wish: Wish) -> None:
    """Begin a training and show it; what stands against it is told."""
    session.problem = ""
    try:
        training = trainings.start(runs, wish.name, wish.flags, wish.text.upload)
    except PlaygroundError as error:
        session.problem = str(error)
        return
    session.started.append(training.name)
    state.set_widget("run", training.name)


def _resume(session: TrainSession, training: Training) -> None:
    session.problem = ""
    try:
        trainings.resume(training)
    except PlaygroundError as error:
        session.problem = str(error)
        return
    session.started.append(training.name)


def _stop(session: TrainSession, training: Training) -> None:
    """Stop it if this visitor began it, or asks for the second time."""
    if training.name in (*session.started, session.asked):
        session.asked = ""
        trainings.stop(training)
    else:
        session.asked = training.name


def run_picker(found: list[Training]) -> Training:
    """Choose which run is shown; the last that was begun, if none is."""
    by_name = {training.name: training for training in found}
    name = st.selectbox("Run", list(by_name), key="run")
    return by_name[name]


def buttons(session: TrainSession, training: Training) -> None:
    """Say how a run is, and draw what can be done with it."""
    if session.asked != training.name:
        session.asked = ""
    icon, color = STATES[training.state]
    st.badge(training.state, icon=icon, color=color)
    if not trainings.is_allowed():
        return
    if training.state == "running":
        is_stopping, is_asked = trainings.is_stopping(training), session.asked == training.name
        st.button(
            "Stopping …" if is_stopping else "Stop it all the same" if is_asked
            else "Stop and save", icon=":material/stop:", key="train_stop", disabled=is_stopping,
            on_click=_stop, args=(session, training),
            help="It ends after the step it is at; Resume goes on from there.",
        )  # fmt: skip
        if is_asked:
            st.warning("Somebody else started this, or you did in another tab. Press again to "
                       "stop it all the same.", icon=":material/group:")  # fmt: skip
    elif training.can_resume:
        st.button(
            "Resume", icon=":material/resume:", key="train_resume", on_click=_resume,
            args=(session, training), help="Go on from the last step that was saved.",
        )  # fmt: skip


def watch(session: TrainSession, training: Training, going: Training | None) -> None:
    """Draw a run, again and again while one (not always this one) goes on."""
    if session.metrics is None or session.metrics.folder != training.folder:
        session.metrics = Metrics(training.folder)
    kept = len(snapshots(training.folder))

    @st.fragment(run_every=TICK_S if going else None)
    def board() -> None:
        if going is not None:
            now = trainings.read(going.folder)
            is_same = now is not None and now.state == going.state
            if not is_same or len(snapshots(training.folder)) != kept:
                st.rerun()  # buttons, the list of runs and the slider are the page's
        session.metrics.update()
        _status(session.metrics, training)
        _curves(session.metrics)
        _samples(session.metrics)

    board()
    _end(training, session.metrics)
    with st.expander("Command, and what it printed", key="train_log"):
        st.code(training.command, language="bash", wrap_lines=True)
        st.code("\n".join(trainings.said(training.folder)[-40:]) or "nothing yet", language=None)


def _status(metrics: Metrics, training: Training) -> None:
    total = metrics.planned or _whole(training.flag("--steps"))
    done, judged = metrics.step, metrics.judged
    last = metrics.steps[-1] if metrics.steps else None
    if training.state == "running":
        is_on = total and done and last
        left = last["seconds"] / done * (total - done) if is_on else 0.0
        st.progress(
            min(1.0, done / total) if is_on else 0.0,
            f"step {done:,} of {total:,}, about {_clock(left)} left" if is_on
            else _beginning(training),
        )  # fmt: skip
    if last is None:
        return
    bits = training.result[0] if training.result else judged[-1]["bits"] if judged else None
    part = training.flag("--judge-tokens")
    figures = {
        "Steps": (f"{done:,}", None),
        "Held out": (
            f"{bits:.3f} bits/char" if bits is not None else "…",
            "Surprise a character on all of the held-out text" if training.result or not part
            else f"Surprise a character on the first {_whole(part):,} held-out tokens",
        ),
        "Throughput": (f"{last['speed']:,.0f} tokens/s" if last["speed"] else "…", None),
        "Time": (_clock(last["seconds"]), None),
    }  # fmt: skip
    with st.container(horizontal=True, key="train_figures"):
        for title, (value, told) in figures.items():
            st.metric(title, value, width="content", help=told)


def _beginning(training: Training) -> str:
    """Say what a run does of which there is nothing to measure yet."""
    has_read = any("tokens to train on" in line for line in trainings.said(training.folder))
    if training.flag("--vocab-size") and not has_read:
        return "Reading the text and learning its byte pairs …"
    if training.flag("--family") == "ngram":
        return "Counting …" if has_read else "Reading the text …"
    return "Beginning: the first steps tell how many fit into the minutes …"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


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


def _end(training: Training, metrics: Metrics) -> None:
    """Say how a run ended, and where its model is."""
    if training.state == "ended":
        st.error(plain(training.message), icon=":material/error:")
        if " --" in training.message:
            st.caption("What begins with two hyphens is set under **Advanced** in the sidebar.")
    elif training.state == "stopped":
        st.info(f"Stopped at step {metrics.step:,}, and saved. **Resume** goes on from there; what "
                "it has learned so far can be tried.", icon=":material/pause_circle:")  # fmt: skip
    elif training.result is not None:
        bits, time = training.result
        st.success(f"Finished in {time}: **{bits:.3f} bits per character** on all of the held-out "
                   "text.", icon=":material/check_circle:")  # fmt: skip
        if metrics.planned and metrics.planned < FEW_STEPS:
            st.info(f"Only {metrics.planned} steps fitted into the minutes, too few to learn much. "
                    "Give more minutes, or choose a smaller size.",
                    icon=":material/hourglass:")  # fmt: skip
    if not training.has_model or training.state == "running":
        return
    name = plain(training.name)
    links = {
        "pages/1_Text.py": (f"Step through what {name} writes", ":material/notes:", "model"),
        "pages/5_Evaluate.py": ("Measure it beside others", ":material/straighten:", "text_models"),
        "pages/4_Compare.py": ("Compare ways to decode it", ":material/view_column:", "model"),
    }
    with st.container(horizontal=True), suppress(StreamlitAPIException):
        for page, (label, icon, key) in links.items():  # a page run by itself has no others
            st.page_link(page, label=label, icon=icon, query_params={key: training.name})
