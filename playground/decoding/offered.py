"""What there is to choose for texts and for pictures, and why the rest is not.

All strategies work on tokens of any kind, but some only mean something for one: words are said in
texts, classes are told to models of pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from playground.decoding.presets import DEFAULT, PICTURE_DEFAULT, PICTURE_PRESETS, PRESETS
from playground.decoding.processors import PROCESSORS
from playground.decoding.spec import COMBINATIONS, LaneSpec
from playground.decoding.strategy_catalogue import STRATEGIES
from playground.errors import ConfigError


@dataclass(frozen=True)
class Offer:
    """The presets of one kind of tokens, and what its lanes may be made of."""

    presets: Mapping[str, LaneSpec]
    usual: tuple[str, ...]  # names of the presets that a comparison begins with
    refused: Mapping[str, str]  # strategy, processor or combination: why it means nothing here

    @property
    def strategies(self) -> tuple[str, ...]:
        return tuple(name for name in STRATEGIES if name not in self.refused)

    @property
    def processors(self) -> tuple[str, ...]:
        return tuple(name for name in PROCESSORS if name not in self.refused)

    @property
    def combinations(self) -> tuple[str, ...]:
        """All but no combination at all."""
        return tuple(name for name in COMBINATIONS if name and name not in self.refused)

    def check(self, spec: LaneSpec) -> None:
        """Raise ConfigError if a lane is made of what means nothing here."""
        used = [spec.strategy, *(p.name for p in spec.processors if not p.is_off)]
        for name in (*used, spec.combination):
            if name in self.refused:
                raise ConfigError(f"{name} is not for pictures: {self.refused[name]}")


_TEXT = "it is about text, and a picture has none. Leave it out."
_END = "it is about the end of a text; a picture ends when it is whole. Leave it out."
_DRAFT = (
    "a model of pictures reads one value at a time whether it was guessed or not, so a guess saves "
    "nothing. Choose sample or greedy, which give the same pictures."
)
_HIDDEN = (
    "it compares what the layers of a model hold, which models of pictures do not tell. Choose "
    "another way to decode."
)

TEXTS = Offer(PRESETS, DEFAULT, {})
PICTURES = Offer(
    PICTURE_PRESETS,
    PICTURE_DEFAULT,
    {
        "contrastive_search": _HIDDEN,
        "dola": _HIDDEN,
        "speculative_decoding": _DRAFT,
        "prompt_lookup": _DRAFT,
        "constrained_beam_search": _TEXT,
        "minimum_bayes_risk": "it looks for shared runs of tokens, as words are; in pictures the "
        "runs of the background decide. Choose best_of_n.",
        **dict.fromkeys(("logit_bias", "bad_words", "suppress_tokens"), _TEXT),
        **dict.fromkeys(("choice", "regex", "json_schema"), _TEXT),
        **dict.fromkeys(("min_length", "min_new_tokens", "exponential_decay_length_penalty"), _END),
    },
)
