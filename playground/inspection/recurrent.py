"""What the units of a recurrent network hold while it reads, and which of them follow the text.

Outputs, cells and gates over time, and the unit that goes most nearly along with a property of the
text, such as being inside quotes (Karpathy et al. 2015, arXiv:1506.02078). It shows that the
property can be read off one unit in this text. It does not show that the model uses the unit, and
among a thousand units some go along with anything: so the best correlation is told beside the best
that the same property reaches when it is shifted in time, where it can only be chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from playground.errors import ConfigError, PromptError, check_whole
from playground.models.base import ARModel, HasInternals, device_of
from playground.models.conditioned import unwrapped, without_wrappers

INTERNALS_TOKENS = 1024  # newest tokens that are told
MAX_VALUES = 2**24  # of one kind that are held, 64 MB
SHIFTS = 50  # of the property, to see what chance reaches
LEAST_TOKENS = 20  # below which a correlation says nothing

OPENING, CLOSING = "([{⟨«“", ")]}⟩»”"


@dataclass(frozen=True)
class Internals:
    """What the units hold after each of the newest T tokens of a text."""

    values: dict[str, np.ndarray]  # "hidden" and what else there is: (n_layer, T, n_hidden)
    first: int  # position in the whole sequence of the first of the T tokens


@dataclass(frozen=True)
class Unit:
    """A unit whose values go along with a property."""

    layer: int
    unit: int
    correlation: float  # Pearson's r in -1..1


@dataclass(frozen=True)
class Trackers:
    """The units that go most nearly along with a property, and what chance reaches."""

    units: tuple[Unit, ...]  # the strongest first
    chance: np.ndarray  # (shifts,): the best |r| of all units with the property shifted in time

    @property
    def is_beyond_chance(self) -> bool:
        """Whether the best unit is closer to the property than to any of its shifts."""
        return abs(self.units[0].correlation) > self.chance.max()


def has_internals(model: ARModel) -> bool:
    """True if the model, or the trained one inside of it, tells what its units hold."""
    return isinstance(without_wrappers(model), HasInternals)


@torch.inference_mode()
def internals(model: ARModel, prefix: Sequence[int], newest: int = INTERNALS_TOKENS) -> Internals:
    """Return what every unit holds after each of the `newest` last tokens of `prefix` (BOS first).

    Everything before is read as well; no more than MAX_VALUES of a kind are told.

    Raises:
        ConfigError: the model has no such units, or `newest` is below 1.
    """
    inner, condition = unwrapped(model)
    if not isinstance(inner, HasInternals):
        raise ConfigError(
            f"{type(inner).__name__} has no recurrent units. Choose an LSTM, GRU or RNN."
        )
    check_whole("newest", newest, 1, 2**20)
    config = inner.config
    room = max(1, MAX_VALUES // (config.n_layer * config.n_hidden))
    T = min(newest, room, len(prefix))
    device = device_of(inner)
    state = inner.initial_state(1, condition)
    if T < len(prefix):
        _, state = inner.step(torch.tensor([prefix[:-T]], device=device), state)
    values = inner.internals(torch.tensor([prefix[-T:]], device=device), state)
    told = {name: kind[:, 0].float().cpu().numpy() for name, kind in values.items()}
    return Internals(told, len(prefix) - T)


def trackers(values: np.ndarray, wanted: np.ndarray, k: int = 5, shifts: int = SHIFTS) -> Trackers:
    """Return the `k` units whose values (n_layer, T, n_hidden) go most nearly along with `wanted`.

    Chance is the property moved around a circle of T tokens by evenly spread steps, the same in
    every call. Unlike a shuffle it stays as smooth as it is, and smooth curves resemble each other
    more than noise does.

    Args:
        wanted: the property at each token (T,), of any unit of measurement.

    Raises:
        PromptError: the text is too short, or the property is the same everywhere in it.
    """
    _, T, n_hidden = values.shape
    if T < LEAST_TOKENS:
        raise PromptError(
            f"A correlation over {T} tokens says nothing. Take a text of at least {LEAST_TOKENS}, "
            "better some hundreds."
        )
    wanted = np.asarray(wanted, np.float64)
    if wanted.std() < 1e-9:
        raise PromptError(
            "This property is the same at every token of the text, so no unit can go along with "
            "it. Choose another property, or a text where it changes."
        )
    steps = np.unique(np.linspace(T / (shifts + 1), T * shifts / (shifts + 1), shifts).astype(int))
    moved = np.stack([np.roll(wanted, step) for step in (0, *steps)], axis=1)  # (T, 1 + shifts)
    moved = (moved - wanted.mean()) / (wanted.std() * T)
    found, chance = [], np.zeros(len(steps))
    for layer in values:
        centred = layer - layer.mean(axis=0)
        spread = centred.std(axis=0)  # (n_hidden,)
        alive = np.where(spread > 1e-7, spread, np.inf)  # a unit that never moves follows nothing
        r = (centred.T @ moved) / alive[:, None]  # (n_hidden, 1 + shifts)
        found.append(r[:, 0])
        chance = np.maximum(chance, np.abs(r[:, 1:]).max(axis=0))
    flat = np.concatenate(found)
    order = np.argsort(-np.abs(flat), kind="stable")[:k]
    units = (Unit(int(i) // n_hidden, int(i) % n_hidden, float(flat[i])) for i in order)
    return Trackers(tuple(units), chance)


def inside_quotes(text: str) -> np.ndarray:
    """Return 1 after every character of `text` that leaves a double quote open, 0 elsewhere."""
    marks = np.array([c == '"' for c in text], np.int64)
    curly = np.cumsum([(c in "“«") - (c in "”»") for c in text])
    return ((np.cumsum(marks) % 2 == 1) | (curly > 0)).astype(float)


def position_in_line(text: str) -> np.ndarray:
    """Return how many characters of its line have been read, 0 after a line break."""
    return _since(text, lambda c: c == "\n")


def position_in_word(text: str) -> np.ndarray:
    """Return how many letters of its word have been read, 0 after what is no letter."""
    return _since(text, lambda c: not c.isalpha())


def position_in_sentence(text: str) -> np.ndarray:
    """Return how many characters have been read since a full stop, question or exclamation mark."""
    return _since(text, lambda c: c in ".?!")


def bracket_depth(text: str) -> np.ndarray:
    """Return how many brackets are open."""
    depth, found = 0, []
    for c in text:
        depth = max(0, depth + (c in OPENING) - (c in CLOSING))
        found.append(depth)
    return np.array(found, float)


def word_ended(text: str) -> np.ndarray:
    """Return 1 where a word has just ended: at the first character behind its letters."""
    letters = np.array([c.isalpha() for c in text], bool)
    before = np.concatenate(([False], letters[:-1]))
    return (before & ~letters).astype(float)


def capitals(text: str) -> np.ndarray:
    """Return 1 at capital letters."""
    return np.array([c.isupper() for c in text], float)


PROPERTIES: dict[str, Callable[[str], np.ndarray]] = {
    "inside quotes": inside_quotes,
    "position in the line": position_in_line,
    "position in the word": position_in_word,
    "position in the sentence": position_in_sentence,
    "bracket depth": bracket_depth,
    "a word has just ended": word_ended,
    "capital letter": capitals,
}


def at_tokens(values: np.ndarray, ends: Sequence[int]) -> np.ndarray:
    """Return a property of each character (n,) as it is behind each token; 0 before the text.

    Args:
        ends: how many characters each token and those before it make up, 0 for BOS.
    """
    return np.concatenate(([0.0], values))[np.asarray(ends, int)]


def _since(text: str, starts: Callable[[str], bool]) -> np.ndarray:
    count, found = 0, []
    for c in text:
        count = 0 if starts(c) else count + 1
        found.append(count)
    return np.array(found, float)
