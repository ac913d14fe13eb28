"""What a page shows of a session: the buttons, the text, the charts, and what hides in expanders.

Every function draws from values and reports through callbacks; the order of a page is the order
of these functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import streamlit as st

from playground.decoding.lane import Lane
from playground.decoding.window import dropped_tokens
from playground.inspection.attention import has_attention
from playground.traces import metrics
from playground.traces.trace import Step
from playground.ui import actions, charts, components, inside_data, state
from playground.ui.inside_data import drawn
from playground.ui.resources import Loaded
from playground.ui.state import Session

MOST_BITS = 99.0  # a token of probability 0 is drawn as so surprising
COLORS = {  # what the text can be coloured by: title, end of the scale
    "surprisal": ("surprisal", "8 bits or more"),
    "entropy": ("entropy", "6 bits or more"),
    "rank": ("rank", "100 or more"),
    "attention": ("attention of the token before the cursor", "strongest"),
}


def step_buttons(
    session: Session, lane: Lane, on_step: Callable[[Session, Lane], None] = actions.step
) -> None:
    """Step and Back, with their keys: the buttons that every step draws again."""
    stepper = session.stepper
    st.button("Step", type="primary", icon=":material/skip_next:", key="step",
              shortcut="Ctrl+Right", on_click=on_step, args=(session, lane),
              disabled=stepper.has_ended)  # fmt: skip
    st.button("Back", icon=":material/undo:", key="back", shortcut="Ctrl+Left",
              on_click=actions.back, args=(session,), disabled=stepper.cursor == 1,
              help="Undo one decision; it stays in its branch.")  # fmt: skip


def pace_buttons(
    session: Session,
    on_reset: Callable[[Session], None] = actions.reset,
    until: str = "up to the tokens set in the sidebar",
    start: str = "the prompt",
) -> None:
    """Play, Run and Reset."""
    playing, running = session.pace == "play", session.pace == "run"
    st.button("Pause" if playing else "Play", key="play",
              icon=":material/pause:" if playing else ":material/play_arrow:",
              on_click=actions.set_pace, args=(session, "play"),
              help="One after another, at the speed set in the sidebar.")  # fmt: skip
    st.button("Stop" if running else "Run to end", key="run",
              icon=":material/stop:" if running else ":material/fast_forward:",
              on_click=actions.set_pace, args=(session, "run"),
              help=f"As fast as it goes, {until}.")  # fmt: skip
    st.button("Reset", icon=":material/restart_alt:", key="reset", on_click=on_reset,
              args=(session,), disabled=playing or running,
              help=f"Start again from {start}; branches are forgotten.")  # fmt: skip


def color_of(loaded: Loaded) -> str:
    """Return what the text is coloured by; every model has its surprisal."""
    color = state.value("color")
    has = color in COLORS and (color != "attention" or has_attention(loaded.model))
    return color if has else "surprisal"


def color_picker(has_attention: bool) -> None:
    options = [name for name in COLORS if name != "attention" or has_attention]
    st.segmented_control(
        "Colour the text by", options, default="surprisal", required=True, key="color",
        help="**surprisal**: how unlikely the token was, −log₂ p.  \n**entropy**: how open the "
        "choice was.  \n**rank**: 1 is the model's most likely token.",
    )  # fmt: skip


def text(session: Session, loaded: Loaded, written: dict, color: str) -> None:
    """Draw the tokens of the branch; hovering tells the numbers, a click goes there."""
    weights, of = None, ""
    if color == "attention":
        seen = inside_data.attention_seen(session)
        head = inside_data.chosen_head(session, *seen.row.shape[:2])
        weights = inside_data.weights_of(seen, session.stepper.cursor, head)
        of = f", {inside_data.head_name(head)}"
    stepper = session.stepper
    first = 1 + dropped_tokens(stepper.cursor, stepper.model.context_length)
    data = strip_data(written, color, stepper.cursor, first, weights)
    data["title"] += of
    components.token_strip(key="strip", data=data, on_go_change=lambda: actions.from_strip(session))


def written(steps: list[Step], tokenizer) -> dict:
    """Return what strip and timeline say of every token after BOS, one list a figure.

    Numbers instead of sentences, and each name once: a text of 1,000 tokens is 25 kB a step.
    """
    shown = {token: drawn(token, tokenizer) for token in {s.token for s in steps}}
    names = {text: tokenizer.label(token) for token, text in shown.items()}
    return {
        "texts": [shown[s.token] for s in steps],
        "names": {text: name for text, name in names.items() if name != text},
        "surprisal": [round(min(MOST_BITS, s.surprisal), 4) for s in steps],
        "entropy": [round(s.entropy_bits, 4) for s in steps],
        "rank": [s.rank for s in steps],
        "by": "".join(s.chosen_by[0] for s in steps),  # strategy, prompt, user or draft
        "slid": {s.position: s.slid for s in steps if s.slid},
        "wrong": {
            s.position: tokenizer.label(s.draft.token)
            for s in steps
            if s.draft is not None and not s.draft.accepted
        },
    }


def strip_data(written: dict, color: str, cursor: int, first: int = 1, weights=None) -> dict:
    """Return what the token strip draws; `weights` are attention over all positions.

    `first` is the position of the oldest token after BOS that the model still sees.
    """
    title, high = COLORS[color]
    return written | {
        "color": color,
        "title": f"Colour: {title}",
        "low": {"rank": "1", "attention": "none"}.get(color, "0"),
        "high": high,
        "weights": None if weights is None else [round(float(w), 4) for w in weights],
        "cursor": cursor,
        "first": first,
    }


def candidates(session: Session, loaded: Loaded, lane: Lane, step: Step) -> None:
    """Draw the distribution at the cursor through every processor; a click takes a token."""
    label = loaded.tokenizer.label
    count = getattr(loaded.model, "n_listed", loaded.model.vocab_size)
    verb = "would be taken" if session.stepper.at_end else "was taken"
    rows = charts.candidate_rows(step, label)
    data = charts.candidate_bars(rows, step.stages) | {
        "title": f"What can come at position {step.position}",
        "facts": f"{label(step.token)} {verb}: probability {math.exp(step.logprob):.2%}, "
        f"rank {step.rank} of {count}\nentropy {step.entropy_bits:.2f} bits, "
        f"{step.kept} token{'s' if step.kept != 1 else ''} possible",
        "alt": f"Probabilities of the next token; the most likely is {rows[0]['name']}, "
        f"{rows[0]['probability']:.0%}",
    }
    components.candidate_bars(
        key="candidates", data=data, on_take_change=lambda: actions.from_chart(session, lane)
    )
    names = {f"{step.position}:{c.token}": f"{label(c.token)}   {math.exp(c.logprobs[0]):.2%}"
             for c in step.candidates}  # fmt: skip
    st.selectbox(
        "Take another token", list(names), index=None, format_func=names.get, key="other",
        on_change=actions.from_list, args=(session, lane), label_visibility="collapsed",
        placeholder="Click a bar, or choose a token here to take it instead",
    )  # fmt: skip


def timeline(session: Session, written: dict) -> None:
    """Draw surprisal and entropy over the text; a click goes there."""
    stepper = session.stepper
    made = stepper.branch.trace.steps
    bits, entropy = metrics.bits_per_token(made), metrics.mean_entropy(made)
    data = {
        name: written[name] for name in ("texts", "names", "surprisal", "entropy", "rank", "by")
    }
    data |= {
        "cursor": stepper.cursor,
        "title": "How surprising the text is",
        "facts": f"{stepper.current}: {len(made)} tokens generated, {bits:.2f} bits each, "
        f"perplexity {metrics.perplexity(made):.1f}\nmean entropy {entropy:.2f} bits, "
        f"{metrics.share_top(made):.0%} were the model's first choice"
        if made
        else "Nothing generated yet: press Step, or click a bar.\n",
        "alt": f"Surprisal and entropy of {len(written['rank'])} tokens",
    }
    components.timeline_bars(
        key="timeline", data=data, on_go_change=lambda: actions.from_timeline(session)
    )


def branch_switch(session: Session, on_change: Callable = actions.from_branches) -> None:
    others = [name for name in session.stepper.branches if name != session.stepper.current]
    st.selectbox(
        "Go on with another branch", others, index=None, key="branch",
        on_change=on_change, args=(session,), disabled=not others,
        placeholder="Take another token somewhere to make a branch" if not others else "Choose …",
    )  # fmt: skip


def branch_name(session: Session) -> None:
    st.text_input("Rename this branch", key="rename", on_change=actions.rename,
                  args=(session,), placeholder=session.stepper.current)  # fmt: skip


Files = dict[str, tuple[str, Callable[[], str | bytes]]]  # on the button: name, what makes it


def trace_files(session: Session, loaded: Loaded, step: Step | None) -> Files:
    """Return what every page offers: the trace, and its charts."""
    stepper, label = session.stepper, loaded.tokenizer.label
    trace = stepper.branch.trace
    steps = stepper.steps_by_position()

    def candidates_chart():
        return charts.candidates_chart(charts.candidate_rows(step, label), step.stages)

    def timeline_chart():
        names = [label(s.token) for s in steps]
        return charts.timeline_chart(charts.timeline_rows(steps, names, stepper.cursor))

    files: Files = {
        "Trace (JSON)": ("trace.json", lambda: trace.to_json(label)),
        "Trace (CSV)": ("trace.csv", lambda: trace.to_csv(label)),
    }
    if step is not None:
        files |= chart_files("Candidates", candidates_chart)
    return files | chart_files("Timeline", timeline_chart)


def chart_files(title: str, chart: Callable) -> Files:
    """Return what offers a chart in two formats."""
    return {
        f"{title} ({kind.upper()})": (
            f"{title.lower()}.{kind}",
            lambda kind=kind: charts.render(chart(), kind),
        )
        for kind in ("png", "svg")
    }


def offer(files: Files, model: str) -> None:
    """Draw a button for every file; each is made when it is asked for."""
    with st.container(horizontal=True):
        for title, (name, make) in files.items():
            st.download_button(title, make, f"{model}-{name}", key=f"get-{name}",
                               on_click="ignore")  # fmt: skip
