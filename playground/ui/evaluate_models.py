"""Which models are measured, and on what: held-out sets of the checkpoints, or what is brought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from playground.checkpoints import read_config
from playground.data.text import EXCERPT, held_out_excerpt
from playground.errors import ConfigError, PlaygroundError
from playground.registry import ModelCard, available
from playground.ui import hub_picker, state
from playground.ui.resources import Loaded, load_model
from playground.ui.translation import has_source

KINDS = {"Text": "text", "Pictures": "image", "Sounds": "audio"}
UNITS = {"text": "character", "image": "dimension", "audio": "sample"}
UNIT_NOUNS = {"text": "windows of the text", "image": "pictures", "audio": "sounds"}
PART_NOUNS = {"image": "rows of the picture", "audio": "quarter seconds of the sound"}  # of one
FIRST = {  # what is measured on a first visit
    "text": ("kjv-char-transformer", "kjv-char-lstm", "kjv-char-ngram"),
    "image": ("fashion-gated-pixelcnn", "fashion-pixelcnn", "fashion-transformer"),
    "audio": ("speech-wavenet", "speech-samplernn"),
}
MOST_MODELS = 16


@dataclass(frozen=True)
class HeldOut:
    """Text of a corpus that is kept in a checkpoint because its model has not read it."""

    corpus: str  # its name
    folder: Path

    def text(self) -> str:
        """Raises: DataError: it cannot be read."""
        return held_out_excerpt(self.folder)


def cards_of(modality: str) -> dict[str, ModelCard]:
    """Return the models that can be measured: all on this machine whose every token is known."""
    cards = hub_picker.with_hub(available(modality), modality)
    return {name: card for name, card in cards.items() if card.remote is None}


def models_picker(
    key: str, cards: dict[str, ModelCard], first: Sequence[str], label: str = "Models"
) -> list[str]:
    """Choose several models by name, the first of which decides what the others must fit."""
    strangers = [name for name in st.query_params.get_all(key) if name not in cards]
    for name in strangers[:3]:
        state.tell(f"The link names the model “{name[:60]}”, which is not here; it is left out.")
    default = [name for name in first if name in cards] or list(cards)[:1]
    return st.multiselect(
        label, list(cards), default=default, key=key, bind="query-params",
        max_selections=MOST_MODELS, wrap=True,
        help="Each is asked about the very same things. The checkpoints are read when they are "
        "needed.",
    )  # fmt: skip


def model_select(key: str, cards: dict[str, ModelCard], label: str = "Model") -> str:
    """Choose one model by name."""
    value = st.query_params.get(key)
    if value is not None and value not in cards:
        state.tell(f"The link names the model “{value[:60]}”, which is not here; another is shown.")
    return st.selectbox(label, list(cards), key=key, bind="query-params")


def load(card: ModelCard) -> Loaded:
    """Return a model that can be asked about anything.

    Raises:
        PlaygroundError: it cannot be read, or it only writes about a source text.
    """
    loaded = load_model(card)
    if has_source(loaded.model):
        raise ConfigError(
            "It writes about a source text, so there is no likelihood without one. Choose a model "
            "that goes on with a text."
        )
    return loaded


def held_out_sets(cards: dict[str, ModelCard]) -> dict[str, HeldOut]:
    """Return the held-out texts of the checkpoints, one a corpus, by its name."""
    found: dict[str, HeldOut] = {}
    for card in cards.values():
        if (card.folder / EXCERPT).is_file():
            corpus = corpus_of(card)
            found.setdefault(corpus, HeldOut(corpus, card.folder))
    return found


def corpus_of(card: ModelCard) -> str:
    """Return the name of what a model was trained on, "" where its checkpoint does not tell."""
    path = card.folder / "config.json"
    written = path.stat().st_mtime_ns if path.is_file() else 0
    told = _info_of(str(card.folder), written).get("data")
    return told[:80] if isinstance(told, str) else ""


def info_of(card: ModelCard) -> dict[str, Any]:
    """Return what a checkpoint tells beside its model, without reading the model."""
    path = card.folder / "config.json"
    return _info_of(str(card.folder), path.stat().st_mtime_ns if path.is_file() else 0)


@st.cache_data(max_entries=256, show_spinner=False)
def _info_of(folder: str, written: int) -> dict[str, Any]:
    try:
        info = read_config(Path(folder)).get("info")
    except PlaygroundError:
        return {}  # told when somebody wants to use it
    return info if isinstance(info, dict) else {}
