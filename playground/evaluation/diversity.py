"""How varied samples are, and how much each repeats itself: counts over tokens of any modality.

A sample is a sequence of tokens without its prompt. What is not defined (the 4-grams of three
tokens, the likeness of one sample to the others) is None.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

Sample = Sequence[int]

ORDERS = (1, 2, 3, 4)  # of the n-grams of BLEU
LOOP_TOKENS, LOOP_TIMES = 2, 3  # a text is stuck if 2 tokens or more come 3 times at its end
ZIPF_RANKS = 5000


def ngrams(tokens: Sample, n: int) -> list[tuple[int, ...]]:
    """Return the n-grams of one sample, in order."""
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def distinct(samples: Sequence[Sample], n: int) -> float | None:
    """Return the share of different ones among the n-grams of all samples.

    Distinct-n, Li et al. 2016, arXiv:1510.03055, except that it is divided by the number of
    n-grams, not of tokens: 1 then means that none comes twice, however short the samples are.
    """
    found = [gram for tokens in samples for gram in ngrams(tokens, n)]
    return len(set(found)) / len(found) if found else None


def self_bleu(samples: Sequence[Sample]) -> float | None:
    """Return how alike the samples are, 0 to 100: the mean BLEU-4 of each against all the others.

    Zhu et al. 2018, arXiv:1802.01886. Sentence BLEU as sacrebleu has it: an n-gram order without a
    match counts as half a match, a quarter the second time (smoothing "exp"); a sample of fewer
    than 4 tokens is compared in the orders it has. Empty samples are left out; None when fewer
    than two remain. It grows with the number of samples: compare equal numbers.
    """
    from sacrebleu.metrics import BLEU

    samples = [tokens for tokens in samples if tokens]
    if len(samples) < 2:
        return None
    counts = [Counter(g for n in ORDERS for g in ngrams(tokens, n)) for tokens in samples]
    most = _two_largest(counts)
    scores = []
    for i, (own, tokens) in enumerate(zip(counts, samples, strict=True)):
        correct, total = [0] * len(ORDERS), [0] * len(ORDERS)
        for gram, count in own.items():
            largest, second = most[gram]
            in_others = second if count == largest else largest
            correct[len(gram) - 1] += min(count, in_others)
            total[len(gram) - 1] += count
        lengths = [len(other) for j, other in enumerate(samples) if j != i]
        closest = min(lengths, key=lambda length: (abs(length - len(tokens)), length))
        scores.append(
            BLEU.compute_bleu(
                correct, total, len(tokens), closest, smooth_method="exp", effective_order=True
            ).score
        )
    return min(100.0, sum(scores) / len(scores))  # 100 comes out a rounding above itself


def _two_largest(counts: Sequence[Counter]) -> dict[tuple[int, ...], tuple[int, int]]:
    """Return the two largest counts of each n-gram in a sample, which are all that BLEU asks for.

    The largest in all samples but one is the second if that one has the largest. So the cost grows
    with the number of samples, not with its square as when each is compared with each.
    """
    most: dict[tuple[int, ...], tuple[int, int]] = {}
    for own in counts:
        for gram, count in own.items():
            largest, second = most.get(gram, (0, 0))
            most[gram] = (count, largest) if count > largest else (largest, max(second, count))
    return most


def seq_rep(tokens: Sample, n: int = 4) -> float | None:
    """Return the share of n-grams that are repetitions: 1 - different ones / all.

    seq-rep-n, Welleck et al. 2020, arXiv:1908.04319.
    """
    found = ngrams(tokens, n)
    return 1 - len(set(found)) / len(found) if found else None


def rep(tokens: Sample, window: int = 16) -> float | None:
    """Return the share of tokens that are among the `window` tokens before them.

    rep/l of Welleck et al. 2020, of the tokens that were chosen; the paper also takes it of the
    most likely token at each position of a human text.
    """
    if not tokens:
        return None
    again = sum(token in tokens[max(0, i - window) : i] for i, token in enumerate(tokens))
    return again / len(tokens)


@dataclass(frozen=True)
class Loop:
    """What a sample ends in: its last `period` tokens, which came `times` times in a row."""

    period: int = 0
    times: int = 0

    @property
    def length(self) -> int:
        """Tokens that the loop covers, those of an unfinished first round left out."""
        return self.period * self.times

    @property
    def is_stuck(self) -> bool:
        """Whether a phrase of two tokens or more comes three times, as in "ababab" or "aaaaaa".

        What Holtzman et al. 2020, arXiv:1904.09751, count as repetition.
        """
        return self.length >= LOOP_TOKENS * LOOP_TIMES


def suffix_loop(tokens: Sample) -> Loop:
    """Return the loop of three rounds or more that covers most of the end of a sample.

    Of several that cover as much the one with the shortest period; `Loop()` if there is none.
    """
    best = Loop()
    for period, match in enumerate(_prefix_matches(tokens[::-1])):
        times = 1 + match // period if period else 0
        if times >= LOOP_TIMES and period * times > best.length:
            best = Loop(period, times)
    return best


def _prefix_matches(tokens: Sample) -> list[int]:
    """Return, for each i, how many tokens from i on are those that the sequence begins with.

    The Z-algorithm (Gusfield 1997, ch. 1): linear, because the interval [left, right) is known
    to repeat the beginning, and what is inside it need not be compared again.
    """
    matches, left, right = [0] * len(tokens), 0, 0
    for i in range(1, len(tokens)):
        match = min(right - i, matches[i - left]) if i < right else 0
        while i + match < len(tokens) and tokens[match] == tokens[i + match]:
            match += 1
        matches[i] = match
        if i + match > right:
            left, right = i, i + match
    return matches


def zipf(samples: Sequence[Sample]) -> float | None:
    """Return s of the fit frequency ~ rank^-s to the most common tokens, by least squares.

    About 1 for the words of a language (Zipf 1949); compared with that of generated text by
    Holtzman et al. 2020. None for fewer than two different tokens.
    """
    counts = Counter(token for tokens in samples for token in tokens)
    common = [count for _, count in counts.most_common(ZIPF_RANKS)]
    if len(common) < 2:
        return None
    ranks, common = np.log(np.arange(1, len(common) + 1)), np.log(common)
    ranks -= ranks.mean()
    return float(-(ranks @ common) / (ranks @ ranks))


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of those that are defined, None if none is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def pairwise_distance(values: np.ndarray) -> float | None:
    """Return how far two of the rows (N, T) are apart: the mean over pairs and values of |a - b|.

    0: all are the same; of pictures of 0..255, 255: any two are each other's negative. None for
    fewer than two rows or none of their values.

    The sum over pairs is a sum over the sorted values of each column, so the cost grows with the
    number of rows, not with its square.
    """
    count, length = values.shape
    if count < 2 or not length:
        return None
    ranked = np.sort(values.astype(np.float64), axis=0)
    weights = 2.0 * np.arange(count) - (count - 1)  # how often a value is the larger of two
    return float((weights @ ranked).sum() / (count * (count - 1) / 2) / length)
