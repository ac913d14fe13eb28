"""A model on a server, as pages show it: what there is to choose, and what it cannot tell."""

from __future__ import annotations

import streamlit as st

from playground.decoding.offered import REMOTE_TEXTS, TEXTS, Offer
from playground.models.remote import RemoteModel
from playground.ui.resources import Loaded


def offer_of(loaded: Loaded) -> Offer:
    """Return what there is to choose for texts of this model."""
    return REMOTE_TEXTS if isinstance(loaded.model, RemoteModel) else TEXTS


def note(loaded: Loaded) -> None:
    """Say in one line what a server does not tell, if the model is on one."""
    if isinstance(loaded.model, RemoteModel):
        st.caption(told_of(loaded.model), help=HELP)


HELP = (
    "A server tells the probabilities of its likeliest tokens. All others together are "
    "“⟨everything else⟩” in the charts, with what is left of the probability: they are never "
    "chosen, so the first stage, **listed**, takes them out. Ranks and entropies are at least what "
    "is said; of a prompt's token that is not listed, the surprisal too."
)


def told_of(model: RemoteModel) -> str:
    """Return the line."""
    engine = model.engine
    listed = "all tokens" if engine.is_whole else f"the {engine.n_listed} likeliest tokens"
    scores = "" if engine.has_echo else "; of a long prompt only the newest tokens are scored"
    ids = "" if engine.has_ids else ", by their text"
    return (
        f"Computed on a server, which tells {listed}{ids}{scores}. Attention, layers, gradients, "
        "the compression of texts and other models' help it cannot give."
    )
