"""The corpora that are installed here, found once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from playground.data.text import CORPORA, load_corpus
from playground.errors import DataError


@cache
def installed() -> Mapping[str, tuple[str, int]]:
    """Return the title and the characters of every corpus that is here, by its name.

    A second's work: each is read to know that it can be.
    """
    found = {}
    for name in CORPORA:
        try:
            corpus = load_corpus(name)
        except DataError:
            continue
        found[name] = (corpus.name, len(corpus.text))
    return found
