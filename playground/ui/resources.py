"""What all sessions share: the models, and the turn to compute with them."""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st
import torch

from playground.checkpoints import load, read_config
from playground.errors import PlaygroundError
from playground.models.base import ARModel, count_parameters, warm_up
from playground.registry import ModelCard

MAX_MODELS = 6  # at once in memory, for all sessions; a comparison takes up to three
WAIT_S = 20.0
READING = "Reading the model … the first one on a machine is compiled, which takes some seconds"

# Small models are bound by the dispatch of operations: a second thread makes a step slower, and
# two sessions that compute at once fill two cores anyway (`python -m bench decode`).
torch.set_num_threads(1)

_TURNS = threading.BoundedSemaphore(int(os.environ.get("CPU_CORES", 0)) or os.cpu_count() or 2)


class BusyError(PlaygroundError):
    """All turns to compute are taken."""


@dataclass(frozen=True)
class Loaded:
    """A model with all that a page needs to know of it; shared, so never changed."""

    card: ModelCard
    model: ARModel
    tokenizer: Any
    info: dict
    parameters: int


@contextmanager
def turn() -> Iterator[None]:
    """Hold one of as many turns as there are cores, for one token or one chunk of them.

    Raises:
        BusyError: none came free in 20 seconds.
    """
    if not _TURNS.acquire(timeout=WAIT_S):
        raise BusyError("Many people are generating just now. Wait a moment, then try again.")
    try:
        yield
    finally:
        _TURNS.release()


def load_model(card: ModelCard, device: str = "cpu") -> Loaded:
    """Return the model of a card on a device, read once for all sessions.

    A checkpoint that was trained anew since is read anew.

    Raises:
        CheckpointError: the checkpoint cannot be used; nothing is cached.
    """
    files = [card.folder / "model.safetensors", card.folder / "config.json"]
    written = max((file.stat().st_mtime_ns for file in files if file.exists()), default=0)
    return _load(card.name, str(card.folder), written, device, card)


@st.cache_resource(max_entries=MAX_MODELS, show_spinner=READING)
def _load(name: str, folder: str, written: int, device: str, _card: ModelCard) -> Loaded:
    model, tokenizer = load(Path(folder), device)
    info = read_config(Path(folder)).get("info")
    info = info if isinstance(info, dict) else {}  # what it tells beside the model is optional
    warm_up(model)  # no click shall pay for it
    loaded = Loaded(_card, model, tokenizer, info, count_parameters(model))
    # What lives as long as the server need not be visited by every garbage collection.
    gc.collect()
    gc.freeze()
    logging.getLogger(__name__).info("loaded %s", name)
    return loaded
