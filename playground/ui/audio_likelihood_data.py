"""How likely a sound is under a model, told nothing, a text or each of its classes: the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
import torch

from playground.evaluation.bits_per_dim import finite, share_less_likely
from playground.evaluation.bits_per_sample import surprisal_of_sound
from playground.evaluation.posterior import class_posterior
from playground.registry import available
from playground.ui.audio_setting import AudioSetting
from playground.ui.condition_controls import alphabet_of, class_names
from playground.ui.relatives import kin_of
from playground.ui.resources import Loaded, load_model, turn
from playground.ui.sound_input import SoundChoice

MAX_CLASSES = 32  # that a sound is judged under
MAX_OTHERS = 4  # models beside the chosen one
REMEMBERED = 256  # sounds, each under a model and a condition


@dataclass(frozen=True)
class Told:
    """What a model is told, and why that."""

    what: int | str | None
    reason: str


@dataclass(frozen=True, eq=False)
class Likelihood:
    """What a model makes of a sound of T samples."""

    surprisal: np.ndarray  # (T,) bits of every sample, told `told`
    told: Told
    names: tuple[str, ...]  # K classes; none: it knows none
    by_class: np.ndarray  # (K,) bits per sample
    posterior: np.ndarray  # (K,) p(class | sound)
    silence: float  # bits per sample of as much silence
    rank: float | None  # share of the test sounds that are less likely
    silence_rank: float | None

    @property
    def bits(self) -> float:
        """Bits per sample."""
        return float(self.surprisal.mean())


def told_of(loaded: Loaded, wanted: int | str | None, choice: SoundChoice) -> Told:
    """Return what to tell: what the sidebar says, else what the sound is known to be, or nothing.

    Args:
        wanted: the class or text of the sidebar.
    """
    names, alphabet = class_names(loaded), alphabet_of(loaded)
    if not names and not alphabet:
        return Told(None, "this model is told nothing")
    if names:
        if isinstance(wanted, int):
            return Told(wanted, f"told “{names[wanted]}”, the class in the sidebar")
        if choice.label is not None and choice.label < len(names):
            return Told(choice.label, f"told “{names[choice.label]}”, which it is")
        return Told(None, "told no class")
    if choice.text and set(choice.text) <= set(alphabet):
        return Told(choice.text, f"told “{choice.text}”, which is said in it")
    if isinstance(wanted, str):
        return Told(wanted, f"told “{wanted}”, the text in the sidebar")
    return Told(None, "told no text")


def judge(setting: AudioSetting, choice: SoundChoice) -> Likelihood:
    """Return how likely a sound is.

    Raises:
        PlaygroundError: all turns to compute are taken.
    """
    loaded, tokenizer = setting.loaded, setting.tokenizer
    tokens = tokenizer.encode(choice.samples)
    told = told_of(loaded, setting.told, choice)
    names = class_names(loaded)[:MAX_CLASSES]
    own = surprisal(loaded, tokens, told.what)
    totals = np.array([surprisal(loaded, tokens, label).sum() for label in range(len(names))])
    quiet = tokenizer.encode(np.zeros(len(tokens), np.float32))
    silence = float(surprisal(loaded, quiet, told.what).mean())
    return Likelihood(
        own, told, tuple(names), totals / len(tokens),
        class_posterior(totals) if names else totals, silence,
        rank_of(loaded, told, float(own.mean())), rank_of(loaded, told, silence),
    )  # fmt: skip


def usual_of(loaded: Loaded, told: Told) -> float | None:
    """Return the bits per sample of the test sounds; None if the checkpoint does not tell."""
    return finite(loaded.info.get("test_bits_per_sample" + _untold(loaded, told)))


def rank_of(loaded: Loaded, told: Told, bits: float) -> float | None:
    """Return the share of the test sounds that are less likely; None if the checkpoint does not
    list how likely they are."""
    percentiles = loaded.info.get("test_bits_percentiles" + _untold(loaded, told))
    return share_less_likely(percentiles, bits) if isinstance(percentiles, list) else None


def _untold(loaded: Loaded, told: Told) -> str:
    if told.what is not None or not (class_names(loaded) or alphabet_of(loaded)):
        return ""
    return "_without_class" if class_names(loaded) else "_without_text"


def surprisal(loaded: Loaded, tokens: Sequence[int], told: int | str | None) -> np.ndarray:
    """Return the bits (T,) of every sample of a sound (T,). What one visitor asks is kept for all.

    Raises:
        BusyError: all turns to compute are taken.
    """
    weights = loaded.card.folder / "model.safetensors"
    written = weights.stat().st_mtime_ns if weights.exists() else 0
    return _surprisal(str(weights), written, tuple(tokens), told, loaded)


@st.cache_data(max_entries=REMEMBERED, show_spinner=False)
def _surprisal(
    weights: str, written: int, tokens: tuple[int, ...], told: int | str | None, _loaded: Loaded
) -> np.ndarray:
    with turn():
        bits = surprisal_of_sound(
            _loaded.model, torch.tensor(tokens), _loaded.tokenizer.bos_token, told
        )
    return bits.double().numpy()


def others_of(setting: AudioSetting) -> list[str]:
    """Return the names of other models that make sound of the same tokens, small ones first."""
    cards = available("audio")
    name = setting.loaded.card.name
    return kin_of(name, cards)[:MAX_OTHERS] if name in cards else []


def judged_by(name: str, setting: AudioSetting, choice: SoundChoice) -> dict:
    """Return a row of a table: the sound under another model, told what it is known to be.

    Raises:
        PlaygroundError: the model cannot be used, or all turns to compute are taken.
    """
    loaded = load_model(available("audio")[name])
    is_alike = class_names(loaded) == class_names(setting.loaded)
    known = choice if is_alike else SoundChoice(choice.samples, choice.source, text=choice.text)
    told = told_of(loaded, setting.told if is_alike and class_names(loaded) else None, known)
    tokens = loaded.tokenizer.encode(choice.samples)
    bits = float(surprisal(loaded, tokens, told.what).mean())
    return {"model": name, "bits per sample": bits, "test sounds": usual_of(loaded, told),
            "told": told.reason}  # fmt: skip
