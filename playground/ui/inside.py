"""Look inside: what a model read for one decision, and what each of its layers already believes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st

from playground.errors import PlaygroundError
from playground.inspection.ablation import can_be_ablated
from playground.inspection.attention import has_attention
from playground.inspection.logit_lens import has_layers
from playground.inspection.recurrent import has_internals
from playground.inspection.saliency import can_be_differentiated
from playground.traces.trace import Step
from playground.ui import inside_heads, inside_memory, inside_views, state, translation
from playground.ui.controls import plain
from playground.ui.inside_views import Seen
from playground.ui.resources import Loaded
from playground.ui.state import Session

ELSEWHERE = {  # where pictures and sounds have what a text has here
    "image": "Attention and gradient are laid over the picture, above.",
    "audio": "Attention and gradient are marked on the wave, above.",
}
TITLE = "Look inside: what it read and what each layer already believes"
KEY = "inside_open"


@dataclass(frozen=True)
class Lens:
    """One way to look inside: for which models, what it shows and what it does not."""

    name: str
    can: Callable[[Any], bool]
    lacks: str  # of a model that cannot be looked at so
    says: str
    draw: Callable[[Seen], None]
    text_only: bool = False  # pictures and sounds have it over themselves, or not at all


LENSES = (
    Lens(
        "The source", translation.has_source, "",
        "How the heads that read the source weigh it for the decision at the cursor. It does not "
        "say what is used of it: weights are no alignment that anybody was taught.",
        translation.look,
    ),
    Lens(
        "Attention", has_attention, "it has no attention",
        "What each head reads to decide what comes next. It does not say what is used of it: "
        "other weights often give the same prediction (Jain & Wallace 2019).",
        inside_views.attention, text_only=True,
    ),
    Lens(
        "What mattered", can_be_differentiated, "counts have no gradient",
        "How strongly a small change of each token would change log p of the choice. Where the "
        "model is certain anyway it is small everywhere, and it says nothing of larger changes.",
        inside_views.mattered, text_only=True,
    ),
    Lens(
        "Layer by layer", has_layers, "its layers cannot be read one by one",
        "What the model would say if it stopped after each layer (logit lens). Nonsense early on "
        "means “not yet in the output's language”, not “nothing known”.",
        inside_views.layers,
    ),
    Lens(
        "Memory", lambda model: True, "",
        "What the model keeps of what it has read, and what that weighs. Not its own weights, "
        "which all visitors share, and not the time it takes.",
        inside_memory.memory,
    ),
    Lens(
        "Heads left out", can_be_ablated, "it has no heads that can be left out",
        "How far the next token's distribution moves without a head. A head that others stand in "
        "for changes little, and what the head does is not said.",
        inside_heads.left_out,
    ),
    Lens(
        "Recurrent state", has_internals, "it has no recurrent units that can be read",
        "What each unit holds over time, and the unit that goes along with a property of the text. "
        "Going along is not using: the best of many units is compared with chance.",
        inside_memory.recurrent, text_only=True,
    ),
)  # fmt: skip


def lenses(model: Any, modality: str = "text") -> list[Lens]:
    """Return the lenses that there are for a model."""
    is_text = modality == "text"
    return [lens for lens in LENSES if (is_text or not lens.text_only) and lens.can(model)]


def section(session: Session, loaded: Loaded, step: Step | None, modality: str = "text") -> None:
    """Draw the expander, and while it is open one lens on the decision at the cursor."""
    with st.expander(TITLE, key=KEY, on_change="rerun") as part:
        if part.open:
            _content(session, loaded, step, modality)


def _content(session: Session, loaded: Loaded, step: Step | None, modality: str) -> None:
    model = session.stepper.model
    offered = {lens.name: lens for lens in lenses(model, modality)}
    if state.value("lens") not in (None, *offered):
        state.forget_widget("lens")  # the last model had another one
    name = st.segmented_control("Lens", list(offered), default=next(iter(offered)), required=True,
                                key="lens", label_visibility="collapsed")  # fmt: skip
    if modality in ELSEWHERE:
        st.caption(f":gray[{ELSEWHERE[modality]}]")
    others = [o for o in LENSES if not (o.text_only and modality in ELSEWHERE)]
    absent = [f"{o.name} ({o.lacks})" for o in others if o.lacks and not o.can(model)]
    if absent:
        st.caption(f":gray[Not for this model: {', '.join(absent)}.]")
    st.caption(offered[name].says)
    if session.pace != "still":
        st.caption("Drawn when it stands still.")
        return
    if step is None:
        st.caption("There is no decision here to look at.")
        return
    try:
        with st.spinner("Looking inside …"):
            offered[name].draw(Seen(session, loaded, step))
    except PlaygroundError as error:
        st.error(plain(str(error)))
