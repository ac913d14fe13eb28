"""One visitor's game of guessing: where it stands, and what guesses, bets and skips do to it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import streamlit as st

from playground.comparison.kinds import kind_of
from playground.decoding.lane import Lane
from playground.decoding.stepper import Stepper
from playground.errors import ConfigError, PlaygroundError
from playground.evaluation.shannon import (
    Guess,
    Symbols,
    bands,
    bet_probs,
    letters,
    model_bits,
    rank_of,
)
from playground.ui import state
from playground.ui.resources import Loaded, turn

BANDS = 8  # that levels of sound, and more than MOST_LEVELS grey levels, are coarsened to
MOST_LEVELS = 17
CANDIDATES = 4  # that a Step keeps: the game draws its own distribution
MODEL = Lane()  # the model itself, without processors
SKIP = 10
BETS = 3


@dataclass(frozen=True, eq=False)
class Last:
    """What is shown once a symbol is known."""

    probs: np.ndarray  # (K,) the model's
    symbol: int
    tried: tuple[int, ...]  # wrong guesses
    place: int  # of it among the tokens behind BOS


@dataclass(eq=False)
class Game:
    """A text, picture or sound that is uncovered symbol by symbol."""

    identity: Hashable = ()
    stepper: Stepper | None = None
    truth: tuple[int, ...] = ()  # all its tokens, BOS left out
    symbols: Symbols | None = None
    tried: list[int] = field(default_factory=list)  # wrong ones at this place
    done: list[Guess] = field(default_factory=list)
    last: Last | None = None
    problem: str = ""

    @property
    def place(self) -> int:
        """How many tokens behind BOS are known."""
        return self.stepper.cursor - 1

    @property
    def is_over(self) -> bool:
        return self.place >= len(self.truth)

    @property
    def wanted(self) -> int:
        """The symbol that comes next."""
        return self.symbols.of_token[self.truth[self.place]]


def game() -> Game:
    """Return this visitor's game."""
    return st.session_state.setdefault("_shannon", Game())


def begin(
    game: Game, identity: Hashable, loaded: Loaded, truth: Sequence[int], given: int,
    symbols: Symbols,
) -> None:  # fmt: skip
    """Begin another game with the first `given` tokens known, unless it is this one.

    Raises:
        PlaygroundError: all turns to compute are taken, or there is nothing left to guess.
    """
    if game.identity == identity and game.stepper is not None:
        return
    if not 0 <= given < len(truth):
        raise ConfigError("Nothing is left to guess. Choose another one, or an earlier start.")
    tokenizer = loaded.tokenizer
    with turn():
        model = kind_of(tokenizer).bind(loaded, None)
        stepper = Stepper(
            model, loaded.card.name, (tokenizer.bos_token, *truth[:given]),
            slide=model.context_length is not None, tokenizer=tokenizer,
            longest=len(truth) + 1, n_candidates=CANDIDATES,
        )  # fmt: skip
    game.__init__(identity, stepper, tuple(truth), symbols)


def restart(game: Game) -> None:
    """Let the same game begin anew."""
    game.stepper, game.identity = None, ()


def symbols_of(tokenizer: Any, *, plain: bool) -> Symbols:
    """Return what can be guessed under a tokenizer of characters, pictures or sounds."""
    if hasattr(tokenizer, "symbols"):
        return letters(tokenizer.symbols, tokenizer.vocab_size, plain=plain)
    most = MOST_LEVELS if hasattr(tokenizer, "height") else BANDS
    count = most if tokenizer.levels <= most else BANDS
    found = bands(tokenizer.levels, tokenizer.vocab_size, count)
    if not hasattr(tokenizer, "sample_rate"):
        return found
    names = []
    for band in range(len(found.names)):
        own = [level for level in range(tokenizer.levels) if found.of_token[level] == band]
        names.append(f"{tokenizer.value(own[0]):+.2f} to {tokenizer.value(own[-1]):+.2f}")
    return replace(found, names=tuple(names))


# -- what one can do -------------------------------------------------------------------------------


def guess(game: Game, symbol: int) -> None:
    """Guess a symbol: a wrong one is struck out, the right one uncovers what comes."""
    game.problem = ""
    if game.is_over or symbol in game.tried or not 0 <= symbol < len(game.symbols.names):
        return
    if symbol != game.wanted:
        game.tried.append(symbol)
        if len(game.tried) < len(game.symbols.names) - 1:
            return
    _uncover(game, guesses=min(len(game.tried) + 1, len(game.symbols.names)))


def type_in(game: Game, key: str) -> None:
    """Guess what was typed, letter after letter until one is wrong."""
    text = state.take_text(key)
    for c in text[:40]:
        symbol = find(game.symbols, c)
        if symbol is None:
            game.problem = f"{c!r} is not among what can come. Type one of those on the buttons."
            return
        before = len(game.done)
        guess(game, symbol)
        if len(game.done) == before:
            return


def type_number(game: Game, key: str) -> None:
    """Guess the level that was typed."""
    text = state.take_text(key).strip()
    if text in game.symbols.names:
        guess(game, game.symbols.names.index(text))
    elif text:
        names = game.symbols.names
        game.problem = f"There is no level {text[:20]!r}. Known: {names[0]}, …, {names[-1]}."


def find(symbols: Symbols, c: str) -> int | None:
    """Return the symbol that a typed character means, None if there is none."""
    plain = c.lower() if c.isalpha() else " " if c.isspace() else "."
    for name in (c, plain):
        if name in symbols.names:
            return symbols.names.index(name)
    return None


def bet(game: Game, key: str) -> None:
    """Uncover what comes, and pay for it by what was believed."""
    bets: dict[int, float] = {}
    for i in range(BETS):
        name, share = state.value(f"{key}_symbol_{i}"), state.value(f"{key}_share_{i}")
        if name is not None and share:
            bets[name] = bets.get(name, 0.0) + share / 100
    if not bets:
        game.problem = "Nothing is bet. Choose a candidate and say how sure you are, in per cent."
        return
    place_bet(game, bets)
    if not game.problem:
        for i in range(BETS):  # what was believed of this symbol says nothing of the next
            state.set_widget(f"{key}_symbol_{i}", None)
            state.set_widget(f"{key}_share_{i}", 0)


def place_bet(game: Game, bets: Mapping[int, float]) -> None:
    """Uncover what comes next for a bet: shares of belief by symbol."""
    game.problem = ""
    if game.is_over:
        return
    try:
        probs = bet_probs(bets, len(game.symbols.names))
    except PlaygroundError as error:
        game.problem = str(error)
        return
    _uncover(game, bits=model_bits(probs, game.wanted))


def give_up(game: Game) -> None:
    """Guess on in an order by chance, the same for everybody, until it is right.

    A fixed high number instead would carry no information: who always gave up would need 0 bits.
    """
    if game.is_over:
        return
    left = [s for s in range(len(game.symbols.names)) if s not in game.tried]
    order = np.random.default_rng(game.place).permutation(left).tolist()
    _uncover(game, guesses=len(game.tried) + 1 + order.index(game.wanted))


def skip(game: Game, count: int = SKIP) -> None:
    """Uncover some without guessing; they count for nobody."""
    game.problem = ""
    try:
        with turn():
            for _ in range(min(count, len(game.truth) - game.place)):
                game.stepper.take(game.truth[game.place], MODEL)
    except PlaygroundError as error:
        game.problem = str(error)
    game.tried.clear()
    game.last = None


def _uncover(game: Game, guesses: int | None = None, bits: float | None = None) -> None:
    symbol, place = game.wanted, game.place
    try:
        with turn():
            logprobs = game.stepper.distribution(MODEL)[0]
            probs = game.symbols.probs(logprobs.exp().double().cpu().numpy())
            game.stepper.take(game.truth[place], MODEL)
    except PlaygroundError as error:
        game.problem = str(error)
        return
    game.done.append(
        Guess(symbol, guesses, bits, rank_of(probs, symbol), model_bits(probs, symbol))
    )
    game.last = Last(probs, symbol, tuple(game.tried), place)
    game.tried.clear()
