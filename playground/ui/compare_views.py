"""What the Compare page shows of a comparison: lanes, what happened inside them, the details."""

from __future__ import annotations

import math

import pandas as pd
import streamlit as st

from playground.devices import describe_device
from playground.traces.trace import Step
from playground.ui import (
    charts,
    compare_components,
    compare_pictures,
    compare_sounds,
    components,
    controls,
)
from playground.ui import compare_actions as actions
from playground.ui.compare_data import (
    DRAFTED,
    PROMPT_SHOWN,
    Drawn,
    piece,
    result_rows,
    saving,
    score_name,
    summary,
    tree,
    weighed_rows,
)
from playground.ui.compare_state import CompareSession, Entry, Outcome, Settings
from playground.ui.resources import Loaded

LIVE_COLUMNS = 48  # of a tree that grows; all of it is drawn once it is whole
ALL = "all"
TITLES = {  # by modality
    "text": "One prompt, many ways to decode",
    "image": "One model of pictures, many ways to draw",
    "audio": "One model of sound, many ways to decode",
}
DOES = {  # by modality: what a lane will do, and is doing
    "text": ("continues the prompt", "Writing"),
    "image": ("draws", "Drawing"),
    "audio": ("makes sounds", "Making sounds"),
}
SHOWN = {"image": compare_pictures, "audio": compare_sounds}  # what draws lanes that are no texts


def run_button(session: CompareSession, settings: Settings, cards) -> None:
    """Run, or Stop while texts grow."""
    if session.pace != "run":
        st.button("Run", type="primary", icon=":material/play_arrow:", key="run",
                  shortcut="Ctrl+Enter", on_click=actions.start,
                  args=(session, settings, cards))  # fmt: skip
    else:
        st.button("Stop", type="primary", icon=":material/stop:", key="stop", shortcut="Esc",
                  on_click=actions.stop, args=(session,))  # fmt: skip


def sample_picker(session: CompareSession) -> str:
    """Choose which sample of the lanes is shown, where there are several; others than texts all."""
    if session.kind.name in SHOWN:
        return ALL
    most = max((entry.spec.samples for entry in session.entries), default=1)
    if most == 1:
        return "1"
    options = [str(i + 1) for i in range(most)] + [ALL]
    return st.segmented_control("Sample shown", options, default="1", required=True,
                                key="sample_shown") or "1"  # fmt: skip


def status(session: CompareSession, settings: Settings) -> None:
    """Say how far the run is, and on what it ran."""
    outcome = session.outcome
    does, writing = DOES[session.kind.name]
    if outcome is None:
        st.caption(f"Press **Run**: every lane {does} in its own way. The pencil of a lane changes "
                   "it.")  # fmt: skip
        return
    made = (
        f"position {min(outcome.positions, outcome.settings.length)} of {outcome.settings.length}"
    )
    where = controls.plain(describe_device(outcome.settings.device))
    of = "by tensors" if outcome.settings.device != "cpu" else "by the whole app"
    memory = f", {outcome.memory / 2**20:,.0f} MB in use {of}" if outcome.memory else ""
    doing = {"run": writing, "still": "Ran"}.get(session.pace, "Computing the figures, ran")
    st.caption(f"{doing} on **{where}**{memory} · {made}")
    if session.pace == "still" and _is_stale(session, settings):
        st.info("Settings have changed since this run. Press Run to see what they do.",
                icon=":material/update:")  # fmt: skip


def _is_stale(session: CompareSession, settings: Settings) -> bool:
    outcome = session.outcome
    changed = [e for e in session.entries if outcome.index_of(e) is None]
    return bool(changed) or outcome.settings != settings


def lanes(session: CompareSession, loaded: Loaded, prompt: str, shown: str) -> None:
    """Draw all lanes side by side: texts in one component, others each in a frame."""
    if session.kind.name in SHOWN:
        SHOWN[session.kind.name].lanes(session, loaded)
        return
    data = lanes_data(session, loaded, prompt, shown)
    compare_components.lanes(
        key="lanes_view", data=data,
        on_pick_change=lambda: actions.from_lanes(session),
        on_edit_change=lambda: actions.from_lanes(session),
    )  # fmt: skip


def lanes_data(session: CompareSession, loaded: Loaded, prompt: str, shown: str) -> dict:
    """Return what the component draws; lanes that have changed since the run are empty."""
    outcome, told, seen = session.outcome, [], set()
    if outcome is not None:
        loaded, prompt = outcome.loaded, outcome.settings.prompt
    for entry in session.entries:
        index = outcome.index_of(entry) if outcome else None
        drawn = outcome.drawn[index] if index is not None else []
        wanted = range(len(drawn)) if shown == ALL else [min(int(shown), max(1, len(drawn))) - 1]
        texts = [
            drawn[i].data(f"sample {i + 1} of {len(drawn)}" if len(drawn) > 1 else "", i)
            for i in wanted
            if i < len(drawn)
        ]
        seen.update(token for i in wanted if i < len(drawn) for token in drawn[i].tokens)
        told.append(
            {
                "number": entry.number,
                "label": entry.spec.label,
                "note": summary(entry.spec),
                "status": _status(outcome, index, texts),
                "texts": texts or [_EMPTY],
            }
        )
    written = {piece(t, loaded.tokenizer): loaded.tokenizer.label(t) for t in seen}
    cut = prompt[-PROMPT_SHOWN:]
    return {
        "prompt": ("…" if len(cut) < len(prompt) else "") + cut,
        "lanes": told,
        "names": {text: label for text, label in written.items() if text != label},
        "picked": list(session.picked) if session.picked else None,
        "running": session.pace == "run",
        "drafts": any(entry.spec.strategy in DRAFTED for entry in session.entries),
    }


_EMPTY = Drawn().data("", 0)


def _status(outcome: Outcome | None, index: int | None, texts: list[dict]) -> str:
    if index is None or not texts:
        return ""
    bits = [b for text in texts for b in text["bits"]]
    if not bits:
        return "looking ahead …"
    return f"{len(bits)} tokens · {math.fsum(bits) / len(bits):.2f} bits each"


def details(session: CompareSession) -> None:
    """Show what was clicked: a token, or a picture or sound with one of its values."""
    if session.kind.name in SHOWN:
        SHOWN[session.kind.name].details(session, lambda: picked(session))
    else:
        picked(session)


def picked(session: CompareSession) -> None:
    """Show the candidates of the token that was clicked, through every processor."""
    found = _picked_step(session)
    if found is None:
        if session.outcome is not None and session.pace == "still":
            st.caption(":material/ads_click: Click a token: what else could have come, and what "
                       "each processor made of it.")  # fmt: skip
        return
    entry, index, step = found
    outcome, label = session.outcome, session.outcome.loaded.tokenizer.label
    what = f"token {session.picked[2] + 1}"
    if session.kind.name in SHOWN:
        what, step = SHOWN[session.kind.name].decision(step, outcome.loaded.tokenizer)
    rows = charts.candidate_rows(step, label)
    who = {"draft": "an accepted draft", "strategy": entry.spec.strategy.replace("_", " ")}
    data = charts.candidate_bars([row | {"sid": ""} for row in rows], step.stages) | {
        "title": f"{entry.spec.label}: {what}",
        "facts": f"{label(step.token)} was chosen by {who.get(step.chosen_by, step.chosen_by)}: "
        f"surprisal {step.surprisal:.2f} bits, probability {math.exp(step.logprob):.2%}, rank "
        f"{step.rank}\nentropy {step.entropy_bits:.2f} bits, {step.kept} "
        f"token{'s' if step.kept != 1 else ''} possible{_draft_says(step, label)}",
        "alt": f"Probabilities; the most likely was {rows[0]['name']}, "
        f"{rows[0]['probability']:.0%}",
    }
    trace = outcome.comparison.result(index).traces[session.picked[1]]
    weighed = weighed_rows(trace, session.picked[2], label)
    columns = st.columns([3, 2] if weighed else [1], gap="large")
    with columns[0]:
        components.candidate_bars(key="picked", data=data, on_take_change=lambda: None)
    if weighed:
        with columns[1]:
            st.markdown("**What the search weighed here**")
            table = pd.DataFrame(weighed).rename(columns={"score": score_name(entry.spec.strategy)})
            st.dataframe(
                table, hide_index=True, key="weighed", height=min(420, 38 + 35 * len(table))
            )


def _draft_says(step: Step, label) -> str:
    draft = step.draft
    if draft is None:
        return ""
    if draft.accepted:
        return "\nThe draft proposed it."
    dropped = "".join(map(label, draft.dropped))
    behind = f", and {dropped} behind it was dropped" if dropped else ""
    return f"\nThe draft had proposed {label(draft.token)}{behind}."


def _picked_step(session: CompareSession) -> tuple[Entry, int, Step] | None:
    if session.outcome is None or session.picked is None:
        return None
    number, sample, at = session.picked
    entry = session.entry(number)
    index = session.outcome.index_of(entry) if entry else None
    if index is None:
        return None
    traces = session.outcome.comparison.result(index).traces
    if not 0 <= sample < len(traces) or not 0 <= at < len(traces[sample].steps):
        return None
    return entry, index, traces[sample].steps[at]


def inside(session: CompareSession, shown: str) -> None:
    """Draw the tree, the results or the drafts of one lane."""
    outcome = session.outcome
    if outcome is None:
        return
    offered = {
        entry.number: entry
        for entry in session.entries
        if (index := outcome.index_of(entry)) is not None
        and (outcome.comparison.is_search(index) or entry.spec.strategy in DRAFTED)
    }
    if not offered:
        return
    st.subheader("Inside a lane", anchor=False)
    number = next(iter(offered))
    if len(offered) > 1:
        number = st.segmented_control(
            "Lane", list(offered), default=number, required=True, key="inside",
            format_func=lambda n: controls.plain(offered[n].spec.label) if n in offered else "",
            label_visibility="collapsed",
        )  # fmt: skip
    entry = offered.get(number) or next(iter(offered.values()))
    result = outcome.comparison.result(outcome.index_of(entry))
    sample = 0 if shown == ALL else min(int(shown), len(result.traces)) - 1
    trace, tokenizer = result.traces[sample], outcome.loaded.tokenizer
    drafts = saving(result)
    if drafts is not None:
        _drafts(drafts)
        return
    if entry.spec.strategy not in ("best_of_n", "minimum_bayes_risk") and trace.search:
        last = LIVE_COLUMNS if session.pace == "run" else 400
        _tree(entry, tree(trace, tokenizer.label, last=last))
    if len(trace.alternatives) < 2 or session.pace == "run":
        return
    name = score_name(entry.spec.strategy)
    st.markdown("**All results, the best first**")
    if session.kind.name in SHOWN:
        SHOWN[session.kind.name].alternatives(trace, tokenizer, name)
    else:
        rows = result_rows(trace, tokenizer)
        table = pd.DataFrame(rows).rename(columns={"score": name})
        config = {"text": st.column_config.TextColumn(width=560)}
        st.dataframe(table, hide_index=True, key="results", column_config=config)


def _tree(entry: Entry, found: dict) -> None:
    score = score_name(entry.spec.strategy)
    strategy = entry.spec.strategy
    groups = {"diverse_beam_search": "group", "constrained_beam_search": "constraint tokens met"}
    compare_components.tree(
        key="tree",
        data=found | {
            "title": f"{entry.spec.label}: what was weighed at each position",
            "facts": f"Hover, or use the arrow keys: sum of log p, and {score}.",
            "score": score,
            "groups": groups.get(strategy, ""),
            "alt": f"Tree of {len(found['columns'])} positions",
        },
    )  # fmt: skip


def _drafts(drafts: dict) -> None:
    columns = st.columns(4)
    rate = "–" if drafts["rate"] is None else f"{drafts['rate']:.0%}"
    told = (
        ("Tokens", drafts["tokens"], "Of one text."),
        ("Model calls", drafts["calls"], "Each checks all drafts of a round at once."),
        ("Calls saved", drafts["saved"], "Without drafts every token is a call."),
        ("Drafts accepted", rate,
         f"{drafts['accepted']} of the {drafts['looked_at']} that were looked at."),
    )  # fmt: skip
    for column, (name, value, help) in zip(columns, told, strict=True):
        column.metric(name, value, help=help)
