"""What the sidebar of the Text page has settled; every part of the page draws from it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from playground.decoding.lane import Lane
from playground.models.base import ARModel
from playground.ui.resources import Loaded


@dataclass(frozen=True)
class Beginning:
    """What comes before the first token that the model decides."""

    identity: Hashable  # all that the tokens depend on besides the tokenizer
    text: str  # what the visitor wrote
    tokens: Callable[[], Sequence[int]]  # BOS left out; raises PromptError where it cannot be read
    end_token: int | None = None  # what ends the text, where it is not the tokenizer's own
    is_chat: bool = False  # special tokens stand among the others


@dataclass(frozen=True)
class TextSetting:
    """A model as decoders step it, what it begins with, and how it decodes."""

    loaded: Loaded
    model: ARModel  # as it is stepped
    begin: Beginning
    lane: Lane  # strategy, processors and seed
    length: int  # tokens that Run and Play make
    slide: bool
    speed: int  # tokens a second while it plays
