"""Sounds in memory: silence cut off, texts made plain, a part held out."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from playground.errors import DataError

MAX_TOTAL_SECONDS = 7200
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NUMBERS = {
    *DIGITS, "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
    "eighteen", "nineteen", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty",
    "ninety", "hundred", "thousand", "million", "billion",
}  # fmt: skip
MISSPELT = {"exclaimation": "exclamation", "fourtieth": "fortieth"}  # in Asterisk's transcripts
QUIETEST = 1e-3  # of full scale: what is never louder is all silence


@dataclass(frozen=True, eq=False)
class Sounds:
    """Clips (T_i,) of float32 in [-1, 1], with what a model card must say about them."""

    name: str
    train: tuple[np.ndarray, ...]
    train_labels: np.ndarray  # (N,) of `classes`
    train_texts: tuple[str, ...]  # what is said in each; () where nothing says so
    test: tuple[np.ndarray, ...]
    test_labels: np.ndarray
    test_texts: tuple[str, ...]
    classes: tuple[str, ...]  # empty: all of one kind
    sample_rate: int
    split: str  # how the test clips were chosen
    licence: str
    source: str


class Total:
    """How much sound has been read; more than fits in memory is refused."""

    def __init__(self, what: str, sample_rate: int):
        self.what, self.left = what, MAX_TOTAL_SECONDS * sample_rate

    def add(self, clip: np.ndarray) -> None:
        """Count samples (T,).

        Raises:
            DataError: they are too many.
        """
        self.left -= len(clip)
        if self.left < 0:
            raise DataError(
                f"{self.what} has more than {MAX_TOTAL_SECONDS // 60} minutes of sound, the most "
                "that is read. Name a smaller set, or a folder with a part of it."
            )


def trimmed(
    clip: np.ndarray, sample_rate: int, *, before: float, after: float, threshold: float = 0.01
) -> np.ndarray:
    """Cut off the silence at both ends of samples (T,), but for `before` and `after` seconds.

    Silent is what stays below `threshold` of the loudest sample. Empty if all is silent.
    """
    loudness = np.abs(clip)
    loud = np.flatnonzero(loudness > max(threshold * loudness.max(initial=0), QUIETEST))
    if not len(loud):
        return clip[:0]
    start, end = loud[0] - round(before * sample_rate), loud[-1] + 1 + round(after * sample_rate)
    return clip[max(start, 0) : end]


def plain_words(transcript: str) -> str:
    """Return a transcript in the letters a-z, spaces and apostrophes.

    Digits are written out. Empty if it cannot be known how it is read: an abbreviation (SIP), a
    longer number, a letter with an accent.
    """
    text = re.sub(r"\[.*?\]", " ", transcript)  # how it is written: "dash [-]"
    if re.search(r"\b[A-Z]{2,}\b|\d\d", text) or not text.isascii():
        return ""
    text = re.sub(r"\d", lambda digit: f" {DIGITS[int(digit[0])]} ", text.lower())
    words = re.sub(r"[^a-z']+", " ", text).split()
    return " ".join(MISSPELT.get(word, word) for word in words)


def hold_out(groups: Sequence[Hashable], keep: Iterable[Hashable] = ()) -> np.ndarray:
    """Return which of the sounds (N,) are held out: every tenth group, in order.

    A group (of the same text) is held out whole, so that none of it is heard before. Groups of
    `keep` are trained on, and not counted.
    """
    kept = set(keep)
    counted = [group for group in dict.fromkeys(groups) if group not in kept]
    chosen = set(counted[9::10])
    return np.array([group in chosen for group in groups], bool)


def hold_out_of_classes(labels: np.ndarray) -> np.ndarray:
    """Return which of the sounds (N,) are held out: one in ten of a class, one of a small one.

    None of a class of fewer than five. Where a class begins to count depends on its number, so
    that not all are of one speaker where each has spoken every class.
    """
    is_test = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) >= 5:
            is_test[members[(4 + label) % min(len(members), 10) :: 10]] = True
    return is_test


def split_sounds(
    name: str,
    clips: Sequence[np.ndarray],
    sample_rate: int,
    *,
    licence: str,
    source: str,
    labels: Sequence[int] = (),
    classes: tuple[str, ...] = (),
    texts: Sequence[str] = (),
    keep: Iterable[str] = (),
    official: tuple[np.ndarray, str] | None = None,
) -> Sounds:
    """Hold a part of the clips out: by text where there are texts, else by class, else by order.

    `official` says which (N,) are held out where somebody has decided it, and who.
    """
    labels = np.array(labels or [0] * len(clips), np.int64)
    is_test, split = hold_out(range(len(clips))), "every tenth sound"
    if official:
        is_test, split = official
    elif texts and (by_text := hold_out(texts, keep)).any():  # none of fewer than ten texts
        is_test, split = by_text, "every tenth text"
        split += " that is no number (all numbers are trained on)" if keep else ""
    elif classes and (by_class := hold_out_of_classes(labels)).any():
        is_test, split = by_class, "one sound in ten of each class, at least one"
    both = []
    for part in (~is_test, is_test):
        chosen = np.flatnonzero(part)
        both.append(tuple(np.asarray(clips[i], np.float32) for i in chosen))
        both.append(labels[chosen])
        both.append(tuple(texts[i] for i in chosen) if texts else ())
    return Sounds(name, *both, classes, sample_rate, split, licence, source)
