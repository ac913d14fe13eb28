"""BLEU and chrF as sacrebleu computes them, with everything that they are computed from.

BLEU, Papineni et al. 2002: the n-grams of a candidate that stand in a reference, each counted at
most as often as in the reference that has it most often (clipping), as a share of the candidate's
n-grams; the geometric mean of the shares for n = 1 to 4; times a penalty if the candidate is
shorter than the reference closest to it in length. chrF, Popovic 2015: the F-score (recall counts
twice as much) of n-grams of characters, n = 1 to 6. Tokens, smoothing and the signature that says
which variant it is are sacrebleu's: Post 2018, arXiv:1804.08771.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from playground.errors import ConfigError, DataError
from playground.evaluation.diversity import ORDERS, ngrams

MAX_CHARACTERS = 5_000
MAX_REFERENCES = 8
SMOOTHINGS = ("exp", "none")  # exp: an order without a match counts as half a match, then a quarter


@dataclass(frozen=True)
class Gram:
    """An n-gram of the candidate."""

    words: tuple[str, ...]
    count: int  # in the candidate
    most: int  # in the reference that has it most often

    @property
    def clipped(self) -> int:
        """How many of them count as matches."""
        return min(self.count, self.most)


@dataclass(frozen=True)
class Order:
    """The n-grams of one length."""

    n: int
    grams: tuple[Gram, ...]  # those that matched most first
    precision: float | None  # 0 to 1, smoothed where it would be 0; None: no n-gram is so long

    @property
    def matched(self) -> int:
        return sum(gram.clipped for gram in self.grams)

    @property
    def total(self) -> int:
        return sum(gram.count for gram in self.grams)

    @property
    def unclipped(self) -> int:
        """What would match if a word could match again and again."""
        return sum(gram.count for gram in self.grams if gram.most)


@dataclass(frozen=True)
class Bleu:
    """A score with all it is made of."""

    score: float  # 0 to 100
    tokens: tuple[str, ...]  # of the candidate
    references: tuple[tuple[str, ...], ...]
    orders: tuple[Order, ...]
    brevity_penalty: float
    candidate_length: int
    reference_length: int  # of the reference closest in length
    signature: str


@dataclass(frozen=True)
class Chrf:
    score: float  # 0 to 100
    signature: str


def bleu(candidate: str, references: Sequence[str], smoothing: str = "exp") -> Bleu:
    """Return the sentence BLEU of a candidate against one or several references.

    Orders that the candidate is too short for are left out ("effective order").

    Raises:
        DataError: the candidate or a reference is empty or too long.
        ConfigError: no such smoothing.
    """
    from sacrebleu.metrics import BLEU

    _check(candidate, references)
    if smoothing not in SMOOTHINGS:
        raise ConfigError(f"smoothing must be one of {', '.join(SMOOTHINGS)}, got {smoothing!r}.")
    metric = BLEU(smooth_method=smoothing, effective_order=True)
    found = metric.sentence_score(candidate, list(references))
    tokens, *others = (tuple(metric.tokenizer(text).split()) for text in (candidate, *references))
    return Bleu(
        found.score, tokens, tuple(others),
        tuple(_order(n, tokens, others, found) for n in ORDERS),
        found.bp, found.sys_len, found.ref_len, str(metric.get_signature()),
    )  # fmt: skip


def chrf(candidate: str, references: Sequence[str]) -> Chrf:
    """Return the sentence chrF2 of a candidate: the best over the references.

    Raises:
        DataError: the candidate or a reference is empty or too long.
    """
    from sacrebleu.metrics import CHRF

    _check(candidate, references)
    metric = CHRF()
    found = metric.sentence_score(candidate, list(references))
    return Chrf(found.score, str(metric.get_signature()))


def brevity_penalty(candidate_length: int, reference_length: int) -> float:
    """Return 1 for a candidate of the reference's length or more, exp(1 - r / c) for shorter."""
    if candidate_length == 0:
        return 0.0
    return math.exp(min(0.0, 1 - reference_length / candidate_length))


def _order(n: int, tokens: Sequence[str], references: Sequence[Sequence[str]], found) -> Order:
    most: Counter = Counter()
    for reference in references:
        most |= Counter(ngrams(reference, n))  # the larger count of each
    counts = Counter(ngrams(tokens, n))
    grams = [Gram(words, count, most[words]) for words, count in counts.items()]
    grams.sort(key=lambda gram: (-gram.clipped, -gram.count))
    return Order(n, tuple(grams), found.precisions[n - 1] / 100 if grams else None)


def _check(candidate: str, references: Sequence[str]) -> None:
    if not 1 <= len(references) <= MAX_REFERENCES:
        raise DataError(
            f"BLEU compares with 1 to {MAX_REFERENCES} references, got {len(references)}. Write "
            "at least one, a line each."
        )
    for name, text in [("candidate", candidate), *(("reference", text) for text in references)]:
        if not text.strip():
            raise DataError(f"The {name} is empty. Write a sentence.")
        if len(text) > MAX_CHARACTERS:
            raise DataError(
                f"The {name} has {len(text):,} characters; at most {MAX_CHARACTERS:,} are "
                "compared. Shorten it."
            )
