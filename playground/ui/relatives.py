"""Models whose tokens mean the same: which can draft for a model, and which can judge it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import streamlit as st

from playground.checkpoints import read_config
from playground.data.hub import PREFIX
from playground.errors import PlaygroundError
from playground.registry import ModelCard

PUBLISHED = "tokenizer.json"  # of models that are not our own


def kin_of(model: str, cards: dict[str, ModelCard]) -> list[str]:
    """Return the other models whose tokens mean the same, the smallest first."""
    own = _tokens_of(cards[model])
    kin = [name for name, card in cards.items() if name != model and _tokens_of(card) == own]
    return sorted(kin, key=lambda name: _size(cards[name])) if own else []


def draft_of(kin: list[str], cards: dict[str, ModelCard]) -> str:
    """Return the model that was made to be a draft, or else the cheapest: counts, the smallest."""
    named = [name for name in kin if name.endswith("-draft")]
    counted = [name for name in kin if _family(cards[name]) == "ngram"]
    return next(iter([*named, *counted, *kin]), "")


def judge_of(model: str, kin: list[str], cards: dict[str, ModelCard]) -> str:
    """Return another neural model of the same tokens that is not much smaller; none without."""
    least = _size(cards[model]) / 3
    judges = [n for n in kin if _family(cards[n]) != "ngram" and _size(cards[n]) >= least]
    return judges[-1] if judges else ""


def _tokens_of(card: ModelCard) -> str:
    """Return a fingerprint of a model's tokenizer; empty if it cannot be read."""
    return _facts(card)[0]


def _family(card: ModelCard) -> str:
    return _facts(card)[1]


def _size(card: ModelCard) -> int:
    path = card.folder / "model.safetensors"
    return path.stat().st_size if path.is_file() else 0


def _facts(card: ModelCard) -> tuple[str, str]:
    if card.name.startswith(PREFIX) and (card.folder / PUBLISHED).is_file():
        return _published(str(card.folder)), ""
    path = card.folder / "config.json"
    written = path.stat().st_mtime_ns if path.is_file() else 0
    return _facts_of(str(card.folder), written)


@st.cache_data(max_entries=64, show_spinner=False)
def _published(folder: str) -> str:
    """Return the fingerprint of a tokenizer as the Hub has it; a snapshot is never changed."""
    try:
        with open(Path(folder) / PUBLISHED, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:  # it has just been removed
        return ""


@st.cache_data(max_entries=64, show_spinner=False)
def _facts_of(folder: str, written: int) -> tuple[str, str]:
    try:
        config = read_config(Path(folder))
    except PlaygroundError:
        return "", ""  # told when somebody wants to use it
    tokens = json.dumps(config.get("tokenizer"), sort_keys=True)
    return hashlib.sha256(tokens.encode()).hexdigest(), str(config.get("family"))
