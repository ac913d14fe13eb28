"""What may follow a text that has to satisfy a grammar: llguidance behind a small cache.

The state of a grammar is a function of the tokens made since the prompt. So it is kept per tuple
of tokens, found again by what extends it, and going back or branching needs nothing.
"""

from __future__ import annotations

import random
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from playground.decoding.grammars import Vocabulary, grammar_of
from playground.errors import ConfigError

MAX_AUTOMATA = 16  # constraint and tokenizer, least recently used ones go
MAX_FORMS = 256  # texts of one automaton whose state is kept, some 80 kB each
WALK_LENGTH = 300  # tokens of a trial text before work starts
LIMITS = {  # of llguidance, in its units: about a tenth of its defaults
    "initial_lexer_fuel": 100_000,
    "step_lexer_fuel": 20_000,
    "step_max_items": 10_000,
    "max_lexer_states": 10_000,
    "max_grammar_size": 50_000,
}


@dataclass(frozen=True)
class Form:
    """A text begun, as its grammar sees it."""

    matcher: Any  # of llguidance; None where nothing can follow
    mask: np.ndarray  # (vocab_size,) bool: what may follow; the end token where it may end
    is_over: bool  # nothing can follow, or only the end
    is_complete: bool  # it satisfies the grammar as it is
    problem: str = ""  # a limit that was reached, in the library's words

    def allowed(self, vocab_size: int) -> Tensor:
        """Return the mask (V,) as a tensor; tokens unknown to the tokenizer are not allowed."""
        mask = np.zeros(vocab_size, dtype=bool)
        n = min(vocab_size, len(self.mask))
        mask[:n] = self.mask[:n]
        return torch.from_numpy(mask)


class Automaton:
    """One grammar over one tokenizer. Safe to use from several threads.

    Raises:
        ConfigError: the grammar cannot be read, or is too large.
    """

    def __init__(self, kind: str, text: str, tokenizer: Any):
        import llguidance

        self.kind, self.text, self.tokenizer = kind, text, tokenizer
        self._vocabulary = vocabulary_of(tokenizer)
        self._grammar = grammar_of(kind, text, self._vocabulary.alphabet)
        self._limits = llguidance.LLParserLimits(verbose_errors=False, **LIMITS)
        message = llguidance.LLMatcher.validate_grammar(
            self._grammar, self._vocabulary.backend, limits=self._limits
        )
        if message and not message.startswith("WARNING"):
            raise ConfigError(
                f"{kind} cannot be used: {_first_reason(message)}. Got {_quoted(text)}. Change it."
            )
        self._lock = threading.Lock()
        self._forget()

    def form(self, tokens: tuple[int, ...]) -> Form:
        """Return the state behind `tokens`: by one step from that of all but the last."""
        with self._lock:
            form = self._form(tokens)
            if form.problem:  # perhaps only because of all the other texts: states add up
                self._forget()
                form = self._form(tokens)
            return form

    def check(self) -> None:
        """See that texts of this grammar can be begun, and on trial be gone on with.

        Raises:
            ConfigError: they cannot.
        """
        may_get_stuck = self.kind == "json_schema" and self._vocabulary.alphabet is not None
        n_walks = 24 if may_get_stuck else 4  # patterns are cut with the alphabet
        with self._lock:
            for seed in range(n_walks):
                self._walk(random.Random(seed))
            self._forget()

    def _forget(self) -> None:
        """Begin anew: the automaton that all matchers share grows with what was asked of it."""
        import llguidance

        self._forms: OrderedDict[tuple[int, ...], Form] = OrderedDict()
        self._start = self._form_of(
            llguidance.LLMatcher(
                self._vocabulary.backend, self._grammar, log_level=0, limits=self._limits
            )
        )

    def _form(self, tokens: tuple[int, ...]) -> Form:
        known = len(tokens)
        while known and tokens[:known] not in self._forms:
            known -= 1
        form = self._start
        if known:
            form = self._forms[tokens[:known]]
            self._forms.move_to_end(tokens[:known])
        for end in range(known, len(tokens)):
            form = self._step(form, tokens[end])
            self._forms[tokens[: end + 1]] = form
            if len(self._forms) > MAX_FORMS:
                self._forms.popitem(last=False)
        return form

    def _walk(self, noise: random.Random) -> None:
        """Write a text at random, as long as it gets, and see that it does not get stuck."""
        form, tokens = self._start, []
        for _ in range(WALK_LENGTH):
            if form.problem:
                raise ConfigError(
                    f"{self.kind} is too large: {form.problem}. Got {_quoted(self.text)}. Use "
                    "smaller repeat counts, or * and +."
                )
            if form.is_over and not form.is_complete:
                raise ConfigError(self._dead_end(tokens))
            if form.is_over:
                return
            choices = np.flatnonzero(form.mask & self._vocabulary.spells)
            tokens.append(int(choices[noise.randrange(len(choices))]))
            form = self._step(form, tokens[-1])

    def _dead_end(self, tokens: list[int]) -> str:
        where = f"behind {_quoted(self.tokenizer.decode(tokens))}, nothing can follow"
        told = where if tokens else "nothing matches it"
        if self._vocabulary.alphabet is None:
            return f"{self.kind} is impossible: {told}. Got {_quoted(self.text)}. Change it."
        return (
            f"{self.kind} cannot be written by this model: {told}. It may ask for characters that "
            f"the model has not seen. Change {_quoted(self.text)}, or choose a byte-pair model, "
            "which can write any text."
        )

    def _step(self, form: Form, token: int) -> Form:
        """Return the state one token further; over if that is no text of the grammar."""
        if token == self._vocabulary.eos_token or form.matcher is None:
            is_complete = form.is_complete and token == self._vocabulary.eos_token
            return Form(None, np.zeros_like(form.mask), True, is_complete, form.problem)
        matcher = form.matcher.deep_copy()
        if self._vocabulary.spells[token] and matcher.consume_token(token):
            return self._form_of(matcher)
        problem = _limit(matcher.get_error()) if form.mask[token] else ""
        return Form(None, np.zeros_like(form.mask), True, False, problem)

    def _form_of(self, matcher: Any) -> Form:
        v = self._vocabulary
        bits = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
        mask = np.unpackbits(bits, bitorder="little")[: len(v.spells)].astype(bool) & v.spells
        if matcher.is_error():
            return Form(None, np.zeros_like(mask), True, False, _limit(matcher.get_error()))
        is_over, is_complete = not mask.any(), matcher.is_accepting()
        if is_complete and v.eos_token is not None:
            mask[v.eos_token] = True
        return Form(matcher, mask, is_over, is_complete)


_lock = threading.Lock()
_automata: OrderedDict[tuple[str, str, int], Automaton] = OrderedDict()
_vocabularies: OrderedDict[int, Vocabulary] = OrderedDict()  # each holds its tokenizer: ids stay


def automaton_of(kind: str, text: str, tokenizer: Any) -> Automaton:
    """Return the automaton of a constraint, from the cache if it was asked for before.

    Raises:
        ConfigError: the grammar cannot be read, or is too large.
    """
    key = (kind, text, id(tokenizer))
    with _lock:
        if key in _automata:
            _automata.move_to_end(key)
            return _automata[key]
    automaton = Automaton(kind, text, tokenizer)
    with _lock:
        _keep(_automata, key, automaton)
    return automaton


def vocabulary_of(tokenizer: Any) -> Vocabulary:
    """Return the vocabulary of `tokenizer`, from the cache if it was asked for before."""
    with _lock:
        if id(tokenizer) in _vocabularies:
            return _vocabularies[id(tokenizer)]
    vocabulary = Vocabulary(tokenizer)
    with _lock:
        _keep(_vocabularies, id(tokenizer), vocabulary)
    return vocabulary


def _keep(cache: OrderedDict, key: Any, value: Any) -> None:
    cache[key] = value
    if len(cache) > MAX_AUTOMATA:
        cache.popitem(last=False)


def _first_reason(message: str) -> str:
    """Return the line of a message of the library that says what is wrong."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    told = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (told or lines or ["no reason given"])[0][:200]


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:59] + "…")


def _limit(error: str) -> str:
    """Return the reason if an error of the library is a limit that was reached."""
    reached = any(word in error for word in ("too many", "fuel", "too large", "too complex"))
    return _first_reason(error) if reached else ""
