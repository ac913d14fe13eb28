"""Lines that name tokens, as people write them: the parameters of kind "tokens".

A line is a piece of text as it stands (` the` begins with a blank), a JSON string where that is
easier (`"\\n"`, `"#1"`), or ids: `#17`, or `#17 #4` for a sequence. Blank lines are nothing.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from playground.errors import ConfigError, PromptError

Piece = str | tuple[int, ...]
MAX_BIAS = 100.0
_IDS = re.compile(r"(#[0-9]{1,9})( #[0-9]{1,9})*\s*")


def read_piece(line: str) -> Piece:
    """Return the text or the ids that one line names."""
    if _IDS.fullmatch(line):
        return tuple(int(part[1:]) for part in line.split())
    if len(line) > 2 and line[0] == line[-1] == '"':
        try:
            return str(json.loads(line))
        except ValueError:
            pass  # a text in quotation marks that is no JSON stands for itself
    return line


def read_pieces(text: str) -> tuple[Piece, ...]:
    """Return what the lines of `text` name, in order, each once."""
    lines = (line.removesuffix("\r") for line in text.split("\n"))
    return tuple(dict.fromkeys(read_piece(line) for line in lines if line.strip()))


def read_biases(text: str) -> dict[Piece, float]:
    """Return the bias of each piece in lines such as `the: -2`; of two for one, the last counts.

    Raises:
        ConfigError: a line has no colon, or no number from -100 to 100 behind the last one.
    """
    biases = {}
    for line in text.split("\n"):
        if not line.strip():
            continue
        name, _, number = line.rpartition(":")
        try:
            bias = float(number)
        except ValueError:
            bias = float("nan")
        if not name or not -MAX_BIAS <= bias <= MAX_BIAS:
            raise ConfigError(
                f"logit_bias must have lines such as “the: -2”, with a number from -100 to 100 "
                f"behind the last colon, got {line[:60]!r}."
            )
        biases[read_piece(name)] = bias
    return biases


def spell(name: str, piece: Piece, tokenizer: Any) -> tuple[int, ...]:
    """Return the tokens of `piece`, for the parameter `name`.

    Raises:
        ConfigError: the tokenizer has no such token, or cannot write the text.
    """
    if isinstance(piece, tuple):
        if tokenizer is not None and max(piece) >= tokenizer.vocab_size:
            raise ConfigError(
                f"{name} names token #{max(piece)}; this model has the tokens #0 to "
                f"#{tokenizer.vocab_size - 1}."
            )
        return piece
    if tokenizer is None:
        raise ConfigError(f"{name} names the text {piece[:60]!r}; without a tokenizer, give ids.")
    try:
        return tuple(tokenizer.encode(piece))
    except PromptError as error:
        raise ConfigError(f"{name} cannot use {piece[:60]!r}. {error}") from error


@lru_cache(64)
def sequences(name: str, text: str, tokenizer: Any) -> tuple[tuple[int, ...], ...]:
    """Return the tokens of every piece that `text` names.

    Raises:
        ConfigError: one cannot be written by `tokenizer`.
    """
    return tuple(spell(name, piece, tokenizer) for piece in read_pieces(text))


@lru_cache(64)
def biases(text: str, tokenizer: Any) -> tuple[tuple[tuple[int, ...], float], ...]:
    """Return (tokens, bias) of every line of `text`.

    Raises:
        ConfigError: a line cannot be read, or its piece not be written by `tokenizer`.
    """
    read = read_biases(text).items()
    return tuple({spell("logit_bias", p, tokenizer): bias for p, bias in read}.items())
