"""Shannon's game: guess what comes next until it is right, and be measured against a model.

Shannon 1951, "Prediction and Entropy of Printed English", Bell System Technical Journal 30. A
guesser who names symbols in the order of their probability, and an identical twin who knows only
the numbers of guesses, know the same text: so the numbers have its entropy. With q_r the share of
symbols that needed r guesses, eq. 17 of the paper bounds the entropy by

    sum_r r (q_r - q_(r+1)) log2 r  <=  F  <=  -sum_r q_r log2 q_r.

The lower bound holds for an ideal guesser, whose q never rises with r. That of a few guesses by a
person does, and the sum could exceed the upper bound, so the q are put into falling order first (a
deviation, which lowers it). Of few guesses both ends are rough, and the upper one comes out too
small, as the entropy of few observations does.

A symbol may stand for several tokens of the model (letters of either case, a band of levels): the
probability of a symbol is the sum of theirs, exactly.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from playground.errors import ConfigError, check_whole

LEAST_PROB = 1e-12  # of a symbol: 40 bits
MAX_BETS = 3


@dataclass(frozen=True)
class Symbols:
    """What can be guessed: K names, and which of them each token of a model stands for."""

    names: tuple[str, ...]
    of_token: tuple[int, ...]  # (V,) index into names; -1: the token never follows

    def probs(self, token_probs: Sequence[float]) -> np.ndarray:
        """Return the probability (K,) of every symbol, of the tokens' (V,)."""
        of_token, values = np.array(self.of_token), np.asarray(token_probs, np.float64)
        found = np.bincount(of_token[of_token >= 0], values[of_token >= 0], len(self.names))
        return found / found.sum()


def letters(symbols: str, vocab_size: int, *, plain: bool) -> Symbols:
    """Return the symbols of a character model.

    `plain`: letters without case, the blank (a line break too), and one symbol for all other
    signs, which is about the alphabet of the paper; else every character is a symbol.
    """
    names = sorted({_plain(c) for c in symbols}, key=_order) if plain else list(symbols)
    place = {name: i for i, name in enumerate(names)}
    of_token = [place[_plain(c) if plain else c] for c in symbols]
    return Symbols(tuple(names), (*of_token, *[-1] * (vocab_size - len(symbols))))


def _plain(c: str) -> str:
    return c.lower() if c.isalpha() else " " if c.isspace() else "."


def _order(c: str) -> tuple[bool, bool, str]:
    return (not c.isalpha(), c == ".", c)


def bands(levels: int, vocab_size: int, most: int) -> Symbols:
    """Return levels as symbols: each for itself, or `most` equal bands of neighbours if more."""
    check_whole("levels", levels, 2, 2**16)
    count = levels if levels <= most else most
    of_token = [level * count // levels for level in range(levels)]
    ends = [[level for level in range(levels) if of_token[level] == i] for i in range(count)]
    names = [str(e[0]) if len(e) == 1 else f"{e[0]} to {e[-1]}" for e in ends]
    return Symbols(tuple(names), (*of_token, *[-1] * (vocab_size - levels)))


@dataclass(frozen=True)
class Guess:
    """One symbol that was guessed, and what the model thought of it."""

    symbol: int
    guesses: int | None  # until it was right, 1: at once; None: it was bet on
    bits: float | None  # of the bet; None: it was guessed
    model_rank: int  # 1: the model's likeliest
    model_bits: float


@dataclass(frozen=True)
class Bounds:
    """The entropy in bits a symbol lies between these, after `count` of them."""

    lower: float
    upper: float
    count: int


def bounds(ranks: Sequence[int]) -> Bounds | None:
    """Return Shannon's bounds of numbers of guesses, each 1 or more; None without any."""
    if not ranks:
        return None
    share = sorted((n / len(ranks) for n in Counter(ranks).values()), reverse=True)
    following = [*share[1:], 0.0]
    terms = zip(range(1, len(share) + 1), share, following, strict=True)
    lower = sum(r * (q - after) * math.log2(r) for r, q, after in terms)
    upper = 0.0 - sum(q * math.log2(q) for q in share)
    return Bounds(lower, upper, len(ranks))


def rank_of(probs: np.ndarray, symbol: int) -> int:
    """Return how many guesses a model needs that names symbols from the likeliest on.

    Of equally likely ones it names those with the smaller number first.
    """
    ahead = (probs > probs[symbol]) | ((probs == probs[symbol]) & (np.arange(len(probs)) < symbol))
    return 1 + int(ahead.sum())


def model_bits(probs: np.ndarray, symbol: int) -> float:
    return -math.log2(max(LEAST_PROB, float(probs[symbol])))


def bet_probs(bets: Mapping[int, float], count: int) -> np.ndarray:
    """Return what a bet believes of `count` symbols: its shares, the rest spread over all others.

    Raises:
        ConfigError: too many symbols, shares below 0 or above 1 together, or nothing is left for
            the others, which would cost infinitely many bits if one of them came.
    """
    check_whole("count", count, 2, 2**16)
    placed = {symbol: share for symbol, share in bets.items() if share}
    total = math.fsum(placed.values())
    if len(placed) > MAX_BETS or any(not 0 <= symbol < count for symbol in placed):
        raise ConfigError(f"Bet on at most {MAX_BETS} different symbols of those offered.")
    if any(share < 0 for share in placed.values()) or total > 0.99 + 1e-9:
        raise ConfigError(
            f"The shares are {total:.0%} together; they must be 0 % or more, and 99 % at most "
            "together: what is left is for all others."
        )
    probs = np.full(count, (1 - total) / (count - len(placed)))
    for symbol, share in placed.items():
        probs[symbol] = share
    return probs
