"""What hides in expanders below a text: a look inside, its branches, and what can be downloaded."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from playground.traces import metrics
from playground.traces.trace import Step
from playground.ui import components, inside, views
from playground.ui.inside_data import drawn
from playground.ui.resources import Loaded
from playground.ui.state import Session


def details(session: Session, loaded: Loaded, step: Step | None, color: str) -> None:
    """Draw what hides in expanders; what is closed costs nothing."""
    inside.section(session, loaded, step)
    with st.expander("Branches: keep, compare, go back to", key="branches_open",
                     on_change="rerun") as part:  # fmt: skip
        if part.open:
            branches(session, loaded, color)
    with st.expander("Download the trace and the charts", key="downloads_open",
                     on_change="rerun") as part:  # fmt: skip
        if part.open and step is not None:
            views.offer(views.trace_files(session, loaded, step), loaded.card.name)


def branches(session: Session, loaded: Loaded, color: str) -> None:
    """List the branches with their figures, and switch, rename or compare them."""
    stepper, tokenizer = session.stepper, loaded.tokenizer
    rows = []
    for b in stepper.branches.values():
        steps = b.trace.steps
        own = b.trace.tokens[b.forked_at or len(b.trace.prompt) :]
        rows.append(
            {
                "branch": ("▸ " if b.name == stepper.current else "") + b.name,
                "left": f"{b.origin} at {b.forked_at}" if b.origin else "the prompt",
                "tokens": len(steps),
                "bits a token": metrics.bits_per_token(steps) if steps else None,
                "perplexity": metrics.perplexity(steps) if steps else None,
                "its own text": "".join(drawn(t, tokenizer) for t in own)[:500],
            }
        )  # fmt: skip
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", key="branch_table")
    left, middle, right = st.columns(3)
    others = [name for name in stepper.branches if name != stepper.current]
    with left:
        views.branch_switch(session)
    other = middle.selectbox("Compare with", others, index=None, key="compare",
                             placeholder="Choose a branch to see beside this one",
                             disabled=not others)  # fmt: skip
    with right:
        views.branch_name(session)

    if other is not None:
        steps = stepper.steps_by_position(other)
        color = color if color != "attention" else "surprisal"
        data = views.strip_data(views.written(steps, tokenizer), color, len(steps) + 1)
        components.token_strip(key="strip_other", data=data)
