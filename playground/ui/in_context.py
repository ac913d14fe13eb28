"""Learn from examples: the same task with ever more examples in the prompt, and heads that copy."""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st

from playground.errors import PlaygroundError
from playground.inspection.attention import has_attention
from playground.inspection.in_context import Answer, curve, prompts
from playground.inspection.induction import SEQUENCES
from playground.inspection.tasks import TASKS, Task, task_from_text
from playground.ui import in_context_charts as charts
from playground.ui import inside_charts, inside_data, views
from playground.ui.controls import name_bad_number, name_strangers, plain
from playground.ui.in_context_run import ask, score_heads, together
from playground.ui.inside_components import head_grid
from playground.ui.jobs import Job, buttons, job, ticking
from playground.ui.text_setting import TextSetting
from playground.ui.translation import has_source

OWN = "your own"
COUNTS = (0, 1, 2, 3, 4, 6, 8, 12, 16)
MOST_TRIALS = 16
STARTING = "sun = moon\nwinter = summer\nsalt = pepper\nquestion = answer"


def section(setting: TextSetting) -> None:
    """Draw the whole section."""
    st.caption(
        "The same question is asked after 0, 1, 2, … solved examples, and the model's weights stay "
        "as they are: whatever it learns, it learns from the prompt (Brown et al. 2020). The chart "
        "shows how much examples help this model here. It does not show that it learned the task "
        "from them: often they only tell which task is meant (Min et al. 2022)."
    )
    if setting.loaded.card.remote is not None or has_source(setting.loaded.model):
        st.info(
            "This needs a model on this machine that goes on with a text: a server tells only the "
            "likeliest tokens, and an encoder-decoder writes about a source. Choose another model."
        )
        return
    found = job("in_context")
    left, right = st.columns([2, 3], gap="large")
    with left:
        try:
            task = _task()
            most, trials = _amount(task)
        except PlaygroundError as error:
            st.error(plain(str(error)))
            task = None
        if task is not None:
            identity = (id(setting.model), task, most, trials, setting.lane.seed)
            begin = partial(_begin, found, identity, setting, task, most, trials)
            buttons(found, "Ask", begin, "in_context")
    with right:
        _results(found, setting, identity if task is not None else None)
    if found.found:
        _prompts(found, setting)
    st.divider()
    _heads(setting)


def _task() -> Task:
    """Choose a task or write one.

    Raises:
        ConfigError: what was written is no task.
    """
    options = [*TASKS, OWN]
    name_strangers("task", options)
    name = st.selectbox("Task", options, key="task", bind="query-params")
    if name != OWN:
        return TASKS[name]
    text = st.text_area(
        "Pairs", STARTING, key="pairs", bind="query-params", height=130, max_chars=8000,
        help="One pair a line: question = answer.",
    )  # fmt: skip
    template = st.text_input(
        "How a question is written", "{question}:", key="template", bind="query-params",
        max_chars=500, help="{question} stands for the question; the answer follows at the end.",
    )  # fmt: skip
    return task_from_text(text, OWN, template)


def _amount(task: Task) -> tuple[int, int]:
    """Choose how many examples there are at most, and how many trials."""
    high = min(COUNTS[-1], len(task.pairs) - 1)
    name_bad_number("examples", 1, high)
    most = 1
    if high > 1:
        most = st.slider("Most examples", 1, high, min(8, high), key="examples",
                         bind="query-params")  # fmt: skip
    name_bad_number("trials", 2, MOST_TRIALS)
    trials = st.slider(
        "Trials", 2, MOST_TRIALS, 8, key="trials", bind="query-params",
        help="Each is another question after examples in another order; the interval is over them.",
    )  # fmt: skip
    return most, trials


def _begin(found: Job, identity: tuple, setting: TextSetting, task: Task, most: int, trials: int):
    counts = sorted({n for n in COUNTS if n < most} | {most})
    try:
        asked = prompts(task, counts, trials, setting.lane.seed)
        parts = ask(setting.model, setting.loaded.tokenizer, asked)
        found.begin(identity, parts, len(asked))
    except PlaygroundError as error:
        found.refuse(str(error))


def _results(found: Job, setting: TextSetting, identity: tuple | None) -> None:
    def draw() -> None:
        told = curve(found.found)
        st.vega_lite_chart(
            spec=charts.curve_chart(told, found.found).to_dict(), key="in_context_curve",
            width="stretch", alt=charts.finding(told),
        )  # fmt: skip
        if found.going is None:
            st.info(charts.finding(told), icon=":material/science:")

    if found.found and found.going is None and identity != found.identity:
        st.info("The model or settings have changed since. Press Ask to see what they do.",
                icon=":material/update:")  # fmt: skip
    elif not found.found and found.going is None and not found.problem:
        st.info("Press Ask: the model reads every prompt once, and its probability of the right "
                "answer is drawn against the number of examples.")  # fmt: skip
    ticking(found, draw, "prompts")
    if found.going is None and found.total > len(found.found) and found.found:
        st.caption(
            f"{len(found.found)} of {found.total} prompts were asked: it was stopped, or the "
            "others do not fit into the context of this model."
        )
    if found.found and found.going is None:
        _offer(found, setting)


def _offer(found: Job, setting: TextSetting) -> None:
    told, label = curve(found.found), setting.loaded.tokenizer.label
    files = views.chart_files("In-context", lambda: charts.curve_chart(told, found.found))
    files["Means (CSV)"] = (
        "in-context-means.csv",
        lambda: inside_data.table_csv(charts.curve_rows(told)),
    )
    files["Answers (CSV)"] = (
        "in-context-answers.csv",
        lambda: inside_data.table_csv(charts.answer_rows(found.found, label)),
    )
    views.offer(files, setting.loaded.card.name)


def _prompts(found: Job, setting: TextSetting) -> None:
    """Show what was asked, for every number of examples."""
    with st.expander("The prompts as they were read", key="in_context_prompts",
                     on_change="rerun") as part:  # fmt: skip
        if not part.open:
            return
        counts = sorted({a.prompt.examples for a in found.found})
        trials = sorted({a.prompt.trial for a in found.found})
        with st.container(horizontal=True):
            count = st.segmented_control("Examples", counts, default=counts[-1], required=True,
                                         key="in_context_count")  # fmt: skip
            trial = st.selectbox("Trial", trials, format_func=lambda n: f"{n + 1}",
                                 key="in_context_trial", width=110)  # fmt: skip
        shown = [a for a in found.found if (a.prompt.examples, a.prompt.trial) == (count, trial)]
        if shown:
            _prompt(shown[0], setting)


def _prompt(answer: Answer, setting: TextSetting) -> None:
    st.code(answer.prompt.text, language=None, wrap_lines=True)
    label = setting.loaded.tokenizer.label(answer.top)
    likely = charts.percent(answer.prob)
    st.markdown(
        f"The right answer is “{plain(answer.prompt.answer)}”: probability **{likely}** "
        f"({answer.tokens} token{'s' if answer.tokens > 1 else ''}; its first has rank "
        f"**{answer.rank}**). Likeliest: “{plain(label)}”."
    )


def _heads(setting: TextSetting) -> None:
    """Draw which heads copy what followed before."""
    st.subheader("Heads that copy what followed before", anchor=False)
    st.caption(
        "Random tokens are read twice. At the second time an induction head looks from each token "
        "to the one that followed it the first time (Olsson et al. 2022). The scores show which "
        "heads look that way on noise. They do not show that these heads bring the better guesses "
        "about (leave them out under “Look inside” for that), nor what they do in real text."
    )
    if not has_attention(setting.model):
        st.info("This model has no attention heads that can be read. Choose a Transformer.")
        return
    found = job("induction")
    identity = (id(setting.model), setting.lane.seed)

    def begin() -> None:
        parts = score_heads(setting.model, setting.loaded.tokenizer, setting.lane.seed)
        found.begin(identity, parts, SEQUENCES)

    buttons(found, "Score every head", partial(begin), "induction")
    if found.identity != identity and found.going is None:
        return
    ticking(found, lambda: _draw_heads(found), "sequences of noise")
    if found.found and found.going is None:
        told = together(found.found)
        st.info(charts.induction_finding(told), icon=":material/science:")
        files = views.chart_files(
            "Induction",
            lambda: inside_charts.heads_chart(told.induction, "Induction heads", "score"),
        )
        files |= views.chart_files("Repeats", lambda: charts.repeat_chart(told))
        files["Heads (CSV)"] = (
            "induction-heads.csv",
            lambda: inside_data.table_csv(charts.head_rows(told)),
        )
        views.offer(files, setting.loaded.card.name)


def _draw_heads(found: Job) -> None:
    told = together(found.found)
    n_layer, n_head = told.induction.shape
    left, right = st.columns([2, 3], gap="large")
    rows = charts.head_rows(told)
    tips = [
        f"induction {r['induction']:.1%} ± {r['spread']:.1%}\nprevious token "
        f"{r['previous_token']:.1%}"
        for r in rows
    ]
    (layer, head, score), *_ = told.strongest(1)
    with left:
        head_grid(
            key="induction_grid",
            data=inside_data.grid_data(
                n_layer, n_head, np.asarray(told.induction), tips, chosen=(layer, head),
                title="Induction score of every head", low="0", high=f"{score:.0%}", scale=score,
                facts=f"Best: layer {layer + 1}, head {head + 1}, {score:.0%} of its attention.",
            ),
        )  # fmt: skip
    with right:
        st.markdown("**How surprising the noise is**")
        st.vega_lite_chart(
            spec=charts.repeat_chart(told).to_dict(), key="induction_repeats", width="stretch",
            alt=f"Surprisal of noise: {told.first_bits:.1f} bits when new, "
            f"{told.second_bits:.1f} when it comes again",
        )  # fmt: skip
