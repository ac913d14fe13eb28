"""What llguidance is given: a vocabulary as bytes, and constraints as its grammars."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from playground.errors import ConfigError, PromptError

JSON_STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def read_choices(text: str) -> tuple[str, ...]:
    """Return the lines of `text` that are not blank, each once.

    Raises:
        ConfigError: there is none.
    """
    lines = (line.removesuffix("\r") for line in text.split("\n"))
    choices = tuple(dict.fromkeys(line for line in lines if line.strip()))
    if not choices:
        raise ConfigError("choice must have at least one line that is not blank. Write one.")
    return choices


def grammar_of(kind: str, text: str, alphabet: str | None) -> str:
    """Return what llguidance reads; within `alphabet`, so that no text leads to a dead end."""
    import llguidance

    if kind == "json_schema":
        try:
            return llguidance.LLMatcher.grammar_from_json_schema(text, overrides=JSON_STYLE)
        except ValueError as error:
            raise ConfigError(f"json_schema must be a JSON object ({error}).") from error
    if kind == "choice":
        pattern = "|".join("".join(map(_escaped, choice)) for choice in read_choices(text))
    elif (len(text) - len(text.rstrip("\\"))) % 2:
        raise ConfigError("regex must not end with a single backslash. Write \\\\ to match one.")
    else:
        pattern = text
    body = f"/{llguidance.regex_to_lark(pattern, '')}/"
    if alphabet is not None:
        body += f" & /[{_ranges(alphabet)}]*/"
    return f"start: TEXT\nTEXT: {body}"


def _escaped(c: str) -> str:
    return c if c.isalnum() else f"\\x{{{ord(c):X}}}"


def _ranges(alphabet: str) -> str:
    """Return the inside of a character class: neighbours of the sorted alphabet as ranges."""
    codes = sorted(map(ord, alphabet))
    ends = [i for i, c in enumerate(codes) if i + 1 == len(codes) or codes[i + 1] != c + 1]
    starts = [0, *(i + 1 for i in ends[:-1])]
    return "".join(
        f"\\x{{{codes[a]:X}}}-\\x{{{codes[b]:X}}}" for a, b in zip(starts, ends, strict=True)
    )


class Vocabulary:
    """The bytes of every token of `tokenizer`, as llguidance wants them.

    A tokenizer without an end token gets one behind its vocabulary: the library cannot do without.
    """

    def __init__(self, tokenizer: Any):
        import llguidance

        self.tokenizer = tokenizer
        spelled = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
        self.spells = np.array([bool(s) for s in spelled])  # all but BOS and EOS
        self.eos_token: int | None = tokenizer.eos_token
        self.alphabet = (
            None if {bytes([b]) for b in range(256)} <= set(spelled) else _alphabet(spelled)
        )
        self.backend = llguidance.LLTokenizer(_Wrapper(tokenizer, spelled, self.spells), slices=[])


class _Wrapper:
    """The form in which llguidance takes a tokenizer."""

    is_tokenizer_wrapper = True

    def __init__(self, tokenizer: Any, spelled: list[bytes], spells: np.ndarray):
        has_end = tokenizer.eos_token is not None
        self._tokenizer = tokenizer
        self.tokens = spelled if has_end else [*spelled, b""]
        self.eos_token_id = tokenizer.eos_token if has_end else tokenizer.vocab_size
        self.bos_token_id = tokenizer.bos_token
        self.special_token_ids = sorted({*np.flatnonzero(~spells).tolist(), self.eos_token_id})

    def __call__(self, text: str) -> list[int]:
        """Return the tokens of a text that is the only way to go on.

        What cannot be written becomes BOS, which nothing may choose: there the text is over.
        """
        try:
            return self._tokenizer.encode(text)
        except PromptError:
            return [token for c in text for token in self._character(c)]

    def _character(self, c: str) -> list[int]:
        try:
            return self._tokenizer.encode(c)
        except PromptError:
            return [self._tokenizer.bos_token]


def _alphabet(spelled: Iterable[bytes]) -> str:
    """Return the characters of which the tokens of a vocabulary consist."""
    return "".join(sorted(set("".join(s.decode(errors="ignore") for s in spelled))))
