"""One vote: what was shown, who made it, and which of the two was preferred by what measure."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from playground.errors import DataError

FIRST, SECOND, TIE, BAD = VERDICTS = ("first", "second", "tie", "both bad")
CRITERIA = {  # by modality: what a pair is compared by
    "text": ("fluency", "coherence", "relevance"),
    "image": ("quality", "coherence", "fit"),
    "audio": ("quality", "coherence", "fit"),
}
ALL_CRITERIA = ("fluency", "quality", "coherence", "relevance", "fit")
MEANS = {
    "fluency": "which reads more like language: its words, spelling and grammar",
    "quality": "which is made better: fewer specks, less noise",
    "coherence": "which holds together better from its beginning to its end",
    "relevance": "which fits better to what it was given to continue",
    "fit": "which fits better to what was told: the class, the text, the beginning",
}
LIMITS = {  # characters that are kept of a text
    "prompt": 500, "told": 100, "first_name": 130, "second_name": 130, "first_spec": 2000,
    "second_spec": 2000, "first_text": 2000, "second_text": 2000,
}  # fmt: skip
_MARK = re.compile(r"[0-9a-f]{16,64}")
LATEST = 2**33  # seconds since 1970: a time that a vote may name


def new_judge() -> str:
    """Return a random name for whoever judges; it says nothing of them."""
    return secrets.token_hex(8)


def digest(*parts: Any) -> str:
    """Return a mark of plain data: the same for the same data."""
    told = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True)
class Vote:
    """A judgement of one pair. `pair` marks what was shown: all who saw the same name the same.

    Long texts are cut to LIMITS. `first` is what stood on the left or above.

    Raises:
        DataError: a field is not what it must be.
    """

    pair: str
    judge: str
    arena: str  # mark of the settings, and
    number: int  # which pair of theirs it was
    modality: str
    first_name: str
    second_name: str
    first_spec: str  # JSON of the way to decode, with its model: what is rated
    second_spec: str
    verdicts: Mapping[str, str] = field(default_factory=dict)  # by criterion
    first_text: str = ""  # of texts
    second_text: str = ""
    prompt: str = ""
    told: str = ""  # the class or the text that pictures or sounds were told
    at: float = field(default_factory=time.time)  # seconds since 1970

    def __post_init__(self):
        for name in ("pair", "judge", "arena"):
            if not isinstance(mark := getattr(self, name), str) or not _MARK.fullmatch(mark):
                raise DataError(
                    f"{name} must be 16 to 64 digits of base 16, got {str(mark)[:40]!r}."
                )
        for name, most in LIMITS.items():
            if not isinstance(text := getattr(self, name), str):
                raise DataError(f"{name} must be text, got {str(text)[:40]!r}.")
            clean = text.encode("utf-8", "replace").decode().replace("\0", "�")[:most]
            object.__setattr__(self, name, clean)
        if self.modality not in CRITERIA:
            raise DataError(
                f"modality must be one of {', '.join(CRITERIA)}, got {str(self.modality)[:40]!r}."
            )
        if not (isinstance(self.number, int) and 0 <= self.number < 2**31):
            raise DataError(f"number must be a whole number, got {str(self.number)[:40]!r}.")
        is_time = isinstance(self.at, int | float) and 0 <= self.at < LATEST
        if not is_time:
            raise DataError(f"at must be seconds since 1970, got {str(self.at)[:40]!r}.")
        if not self.first_name.strip() or not self.second_name.strip():
            raise DataError("A vote needs the names of both that were compared.")
        asked = CRITERIA[self.modality]
        if set(self.verdicts) != set(asked) or not set(self.verdicts.values()) <= set(VERDICTS):
            raise DataError(
                f"A vote on {self.modality} needs one of {', '.join(VERDICTS)} for each of "
                f"{', '.join(asked)}, got {str(dict(self.verdicts))[:120]}."
            )

    @property
    def first(self) -> str:
        """Mark of what is rated: the way to decode with its model, whatever it is called."""
        return competitor(self.first_name, self.first_spec)

    @property
    def second(self) -> str:
        return competitor(self.second_name, self.second_spec)

    def row(self) -> dict[str, str | int | float]:
        """Return the vote as one flat row; a criterion that was not asked is empty."""
        flat = {k: v for k, v in asdict(self).items() if k != "verdicts"}
        return flat | {name: self.verdicts.get(name, "") for name in ALL_CRITERIA}

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Vote:
        """Return the vote of a row.

        Raises:
            DataError: a field is missing or is not what it must be.
        """
        own = {f.name for f in fields(cls)} - {"verdicts"}
        if missing := sorted(own - set(row)):
            raise DataError(f"A vote has no {', '.join(missing[:8])}.")
        verdicts = {name: row[name] for name in ALL_CRITERIA if row.get(name)}
        try:
            number, at = int(row["number"]), float(row["at"])
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError("number and at of a vote must be numbers.") from error
        told = {name: row[name] for name in own - {"number", "at"}}
        return cls(**told, number=number, at=at, verdicts=verdicts)


def competitor(name: str, spec: str) -> str:
    """Return the mark of a way to decode: lanes that only differ in their label are one."""
    try:
        told = json.loads(spec)
    except (ValueError, RecursionError):
        return digest(name, spec)
    return digest({k: v for k, v in told.items() if k != "label"} if type(told) is dict else told)
