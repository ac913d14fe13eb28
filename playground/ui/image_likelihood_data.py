"""How likely a picture is under a model, told nothing or each of its classes: the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
import torch

from playground.errors import PlaygroundError
from playground.evaluation.bits_per_dim import finite, share_less_likely, surprisal_of_pictures
from playground.evaluation.posterior import class_posterior
from playground.registry import available
from playground.tokenizers.image import ImageTokenizer
from playground.ui.condition_controls import class_names
from playground.ui.image_setting import ImageSetting
from playground.ui.picture_input import PictureChoice
from playground.ui.relatives import kin_of
from playground.ui.resources import Loaded, load_model, turn

MAX_CLASSES = 64  # that a picture is judged under
MAX_OTHERS = 5  # models beside the chosen one: what is kept in memory for all visitors is 6
REMEMBERED = 256  # pictures, each under a model


@dataclass(frozen=True)
class Told:
    """Which class a model is told, and why that one."""

    label: int | None
    reason: str


@dataclass(frozen=True, eq=False)
class Likelihood:
    """What a model makes of a picture, or of the first T of its values."""

    surprisal: np.ndarray  # (T,) bits of every value, told `told`
    told: Told
    names: tuple[str, ...]  # K classes; none: it knows none
    by_class: np.ndarray  # (K,) bits per dimension
    posterior: np.ndarray  # (K,) p(class | picture)
    blank: float | None  # bits per dimension of an empty picture; None: only a part is judged
    rank: float | None  # share of the test pictures that are less likely
    blank_rank: float | None

    @property
    def bits(self) -> float:
        """Bits per dimension."""
        return float(self.surprisal.mean())


@dataclass(frozen=True)
class Judged:
    """A picture under one of several models."""

    model: str
    bits: float
    told: str
    usual: float | None  # bits per dimension of its test pictures
    problem: str = ""


def told_of(setting: ImageSetting, choice: PictureChoice) -> Told:
    """Return the class to tell: the picture's own, else the sidebar's, else none."""
    names = class_names(setting.loaded)
    if not names:
        return Told(None, "this model knows no classes")
    if setting.label is not None:
        return Told(setting.label, f"told “{names[setting.label]}”, the class in the sidebar")
    label = own_label(setting.loaded, choice)
    if label is not None:
        return Told(label, f"told “{names[label]}”, which it is")
    return Told(None, "told no class")


def own_label(loaded: Loaded, choice: PictureChoice) -> int | None:
    """Return the true class of a picture as the model counts its classes."""
    of_examples = (loaded.info.get("examples") or {}).get("classes")
    is_same = of_examples == loaded.info.get("classes")
    known = choice.label is not None and choice.label < len(class_names(loaded))
    return choice.label if known and is_same else None


def judge(setting: ImageSetting, choice: PictureChoice, ground: int) -> Likelihood:
    """Return how likely a picture is; of one that is not whole, how likely what there is of it.

    Raises:
        PlaygroundError: all turns to compute are taken.
    """
    loaded = setting.loaded
    tokenizer, names = loaded.tokenizer, class_names(loaded)
    told = told_of(setting, choice)
    tokens = tokenizer.encode(choice.pixels)[: choice.decided]
    labels: list[int | None] = [told.label]
    judged = names[:MAX_CLASSES]
    labels += range(len(judged))
    surprisal = surprisals(loaded, tokens, tuple(labels))
    totals = surprisal[1:].sum(1)
    blank = blank_rank = rank = None
    if choice.decided is None:
        empty = tokenizer.encode(blank_picture(tokenizer, ground))
        blank = float(surprisals(loaded, empty, (told.label,)).mean())
        rank = rank_of(loaded, told, float(surprisal[0].mean()))
        blank_rank = rank_of(loaded, told, blank)
    return Likelihood(
        surprisal[0], told, tuple(judged), surprisal[1:].mean(1),
        class_posterior(totals) if judged else totals, blank, rank, blank_rank,
    )  # fmt: skip


def blank_picture(tokenizer: ImageTokenizer, ground: int) -> np.ndarray:
    """Return a picture (H, W, channels) of nothing but background."""
    return np.full(tokenizer.shape, ground, np.uint8)


def rank_of(loaded: Loaded, told: Told, bits: float) -> float | None:
    """Return the share of the test pictures that are less likely; None if the checkpoint does not
    list how likely they are."""
    untold = class_names(loaded) and told.label is None
    name = "test_bits_percentiles" + ("_without_class" if untold else "")
    percentiles = loaded.info.get(name)
    return share_less_likely(percentiles, bits) if isinstance(percentiles, list) else None


def surprisals(loaded: Loaded, tokens: Sequence[int], labels: tuple[int | None, ...]) -> np.ndarray:
    """Return the bits (K, T) of every value of one picture (T,), told each of K labels.

    All are judged in one batch. What one visitor asks is kept for all.

    Raises:
        BusyError: all turns to compute are taken.
    """
    weights = loaded.card.folder / "model.safetensors"
    written = weights.stat().st_mtime_ns if weights.exists() else 0
    return _surprisals(str(weights), written, tuple(tokens), labels, loaded)


@st.cache_data(max_entries=REMEMBERED, show_spinner=False)
def _surprisals(
    weights: str, written: int, tokens: tuple[int, ...], labels: tuple, _loaded: Loaded
) -> np.ndarray:
    n_class = len(class_names(_loaded))
    told = None
    if n_class:  # one more than there are stands for none in particular
        told = torch.tensor([n_class if label is None else label for label in labels])
    pictures = torch.tensor([tokens]).expand(len(labels), -1)
    with turn():
        bits = surprisal_of_pictures(_loaded.model, pictures, _loaded.tokenizer.bos_token, told)
    return bits.double().numpy()


def others_of(setting: ImageSetting) -> list[str]:
    """Return the names of other models that draw pictures of the same tokens, small ones first."""
    cards = available("image")
    name = setting.loaded.card.name
    return kin_of(name, cards)[:MAX_OTHERS] if name in cards else []


def judge_by(setting: ImageSetting, choice: PictureChoice, name: str) -> Judged:
    """Return how likely the picture is under another model of the same tokens."""
    try:
        loaded = load_model(available("image")[name])
        return judged(loaded, setting, choice)
    except PlaygroundError as error:
        return Judged(name, np.nan, "", None, str(error))


def judged(loaded: Loaded, setting: ImageSetting, choice: PictureChoice) -> Judged:
    """Return how likely the picture is under a model, told the class if it knows the same ones.

    Raises:
        PlaygroundError: all turns to compute are taken.
    """
    names, told = class_names(loaded), told_of(setting, choice)
    label = told.label if names == class_names(setting.loaded) else None
    tokens = loaded.tokenizer.encode(choice.pixels)[: choice.decided]
    bits = float(surprisals(loaded, tokens, (label,)).mean())
    untold = names and label is None
    usual = loaded.info.get("test_bits_per_dim" + ("_without_class" if untold else ""))
    says = f"told “{names[label]}”" if label is not None else "told no class"
    return Judged(loaded.card.name, bits, says, finite(usual) if choice.decided is None else None)
