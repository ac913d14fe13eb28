"""What all sessions share: the models, and the turn to compute with them."""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import streamlit as st
import torch

from playground.checkpoints import read_config
from playground.errors import ConfigError, PlaygroundError
from playground.hub import memory
from playground.hub.load import is_pretrained, load, needed_bytes
from playground.models.base import ARModel, count_parameters, warm_up
from playground.models.remote import RemoteModel
from playground.models.remote_client import RemoteSettings, stoppable
from playground.registry import ModelCard
from playground.tokenizers.remote import RemoteTokenizer
from playground.ui.remote_wait import stopped_by_visitor
from playground.ui.shelf import Shelf

BUDGET = "PLAYGROUND_MODEL_GB"  # environment variable: memory for the models of all sessions
BUDGET_SHARE = 0.5  # of the machine's memory, where it is not set
MAX_MODELS = 64  # at once in memory, however small
WAIT_S = 20.0
READING = "Reading the model … the first one on a machine is compiled, which takes some seconds"

# Small models are bound by the dispatch of operations: a second thread makes a step slower, and
# two sessions that compute at once fill two cores anyway (`python -m bench decode`).
torch.set_num_threads(1)

_TURNS = threading.BoundedSemaphore(int(os.environ.get("CPU_CORES", 0)) or os.cpu_count() or 2)


def budget() -> int:
    """Return the bytes that the models of all sessions may take together.

    Raises:
        ConfigError: the environment variable is no number above 0.
    """
    text = os.environ.get(BUDGET, "")
    try:
        gigabytes = float(text) if text else memory.total() * BUDGET_SHARE / memory.GB
        if not 0 < gigabytes < 10**6:
            raise ValueError
    except ValueError as error:
        raise ConfigError(
            f"{BUDGET} is {text[:40]!r}; it must be a number of GB above 0."
        ) from error
    return int(gigabytes * memory.GB)


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
        with stoppable(stopped_by_visitor(), _while_another_computes):
            yield
    finally:
        _TURNS.release()


@contextmanager
def _while_another_computes() -> Iterator[None]:
    """Give the turn away while a model server computes for us."""
    _TURNS.release()
    try:
        yield
    finally:
        _TURNS.acquire()


MODELS: Shelf[Loaded] = Shelf(budget, lambda: int(memory.available() * memory.SHARE), MAX_MODELS)


def load_model(card: ModelCard, device: str = "cpu") -> Loaded:
    """Return the model of a card on a device, read once for all sessions.

    A checkpoint that was trained anew since is read anew.

    Raises:
        CheckpointError: it cannot be used, or there is no memory for it; nothing is kept.
        RemoteError: the model server cannot be used; nothing is cached.
    """
    if card.remote is not None:
        loaded = _load_remote(repr(card.remote), card.remote, card)
        if loaded.model.engine.is_replaced:
            _load_remote.clear()
            loaded = _load_remote(repr(card.remote), card.remote, card)
        return loaded
    files = [card.folder / "config.json", *card.folder.glob("*.safetensors")]
    written = tuple(file.stat().st_mtime_ns for file in sorted(files) if file.exists())
    key = (card.name, str(card.folder), device, written)
    if key in MODELS:
        return MODELS.get(key, lambda: 0, lambda: _load(card, device))
    with st.spinner(READING):
        loaded = MODELS.get(
            key, lambda: needed_bytes(card.folder, device), lambda: _load(card, device)
        )
    MODELS.drop(lambda other: other[:3] == key[:3] and other != key)
    return loaded


def _load(card: ModelCard, device: str) -> tuple[Loaded, int]:
    model, tokenizer = load(card.folder, device)
    info = {} if is_pretrained(card.folder) else read_config(card.folder).get("info")
    info = info if isinstance(info, dict) else {}  # what it tells beside the model is optional
    warm_up(model)  # no click shall pay for it
    loaded = Loaded(card, model, tokenizer, info, count_parameters(model))
    # What lives as long as the server need not be visited by every garbage collection.
    gc.collect()
    gc.freeze()
    logging.getLogger(__name__).info("loaded %s", card.name)
    parts = (*model.parameters(), *model.buffers())
    weights = sum(part.numel() * part.element_size() for part in parts)
    return loaded, max(weights, needed_bytes(card.folder, device))  # kernels keep copies


@st.cache_resource(max_entries=1, show_spinner="Asking the model server what it can do …")
def _load_remote(settings: str, _settings: RemoteSettings, _card: ModelCard) -> Loaded:
    model = RemoteModel.connect(_settings)
    return Loaded(_card, model, RemoteTokenizer(model.engine), {}, 0)
