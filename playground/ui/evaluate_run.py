"""What the Evaluate page measures of models, one unit of one model after another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from playground.errors import PlaygroundError
from playground.evaluation.bootstrap import paired_interval
from playground.evaluation.held_out import (
    Measured,
    Unit,
    picture_units,
    sound_units,
    text_units,
    why_not,
    windows_of,
)
from playground.registry import ModelCard
from playground.ui.condition_controls import class_names
from playground.ui.evaluate_models import load
from playground.ui.resources import Loaded

Label = int | str | None


@dataclass(frozen=True, eq=False)
class Things:
    """What is measured: a text, or pictures or sounds with what each is of, where that is known."""

    modality: str
    text: str = ""
    arrays: tuple[np.ndarray, ...] = ()
    labels: tuple[int | None, ...] = ()  # classes
    texts: tuple[str, ...] = ()  # said in sounds
    classes: tuple[str, ...] = ()  # names of the classes

    @property
    def windows(self) -> list[str]:
        """Raises: DataError: the text is empty or too long."""
        return windows_of(self.text)

    def told(self, loaded: Loaded) -> list[Label]:
        """Return what `loaded` is told of each: its class if it knows the same ones."""
        names, alphabet = class_names(loaded), getattr(loaded.model.config, "alphabet", "")
        if names and tuple(names) == self.classes and self.labels:
            return list(self.labels)
        if alphabet and self.texts:
            return [text if text and set(text) <= set(alphabet) else None for text in self.texts]
        return [None] * len(self.arrays)


@dataclass(frozen=True)
class Found:
    """A unit under a model, or why the model is left out."""

    model: str
    unit: Unit | None
    problem: str = ""


@dataclass
class Row:
    """All that is known of one model."""

    model: str
    units: list[Unit] = field(default_factory=list)
    problem: str = ""


def measure(
    cards: Mapping[str, ModelCard], names: Sequence[str], things: Things, tell: bool
) -> Iterator[Found]:
    """Yield every unit under every model, model after model; who cannot take part says why.

    `tell`: models that know classes or words are told those of each picture or sound.
    """
    reference = None
    for name in names:
        try:
            loaded = load(cards[name])
            reference = loaded.tokenizer if reference is None else reference
            reason = why_not(things.modality, loaded.tokenizer, reference, things.text)
            if reason:
                yield Found(name, None, reason)
                continue
            for unit in _units(loaded, things, tell):
                yield Found(name, unit)
        except PlaygroundError as error:
            yield Found(name, None, str(error))


def _units(loaded: Loaded, things: Things, tell: bool) -> Iterator[Unit]:
    if things.modality == "text":
        return text_units(loaded.model, loaded.tokenizer, things.windows)
    told = things.told(loaded) if tell else [None] * len(things.arrays)
    units = picture_units if things.modality == "image" else sound_units
    return units(loaded.model, loaded.tokenizer, things.arrays, told)


def rows_of(found: Sequence[Found]) -> list[Row]:
    """Return what was found, by model."""
    rows: dict[str, Row] = {}
    for one in found:
        row = rows.setdefault(one.model, Row(one.model))
        row.problem = one.problem or row.problem
        if one.unit is not None:
            row.units.append(one.unit)
    return list(rows.values())


def table_rows(rows: Sequence[Row], seed: int = 0) -> list[dict[str, Any]]:
    """Return one row a model that was measured, the best first, with all intervals.

    `more` is by how much it needs more than the best, its interval paired over the same units.
    """
    whole = [row for row in rows if row.units and not row.problem]
    if not whole:
        return []
    most = max(len(row.units) for row in whole)
    found = []
    for row in whole:
        measured = Measured(tuple(row.units))
        bits, perplexity = measured.per_size(seed), measured.perplexity(seed)
        found.append({
            "model": row.model, "bits": bits.value, "low": bits.low, "high": bits.high,
            "perplexity": perplexity.value, "perplexity_low": perplexity.low,
            "perplexity_high": perplexity.high, "units": len(row.units),
            "is_whole": len(row.units) == most, "tokens": measured.tokens, "size": measured.size,
            "own": row.units,
        })  # fmt: skip
    found.sort(key=lambda row: (not row["is_whole"], row["bits"]))
    best = found[0]["own"]
    for row in found:
        own = row.pop("own")
        row["more"] = row["more_low"] = row["more_high"] = None
        if own is not best and len(own) == len(best):
            by = paired_interval(
                [unit.bits for unit in own], [unit.bits for unit in best],
                [unit.size for unit in own], seed=seed,
            )  # fmt: skip
            row |= {"more": by.value, "more_low": by.low, "more_high": by.high}
    return found
