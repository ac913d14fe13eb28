"""What there is to choose for texts, pictures and sounds, and why the rest is not.

All strategies work on tokens of any kind, but some only mean something for one: words are said in
texts, classes are told to models of pictures and sounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from playground.decoding.presets import (
    DEFAULT,
    PICTURE_DEFAULT,
    PICTURE_PRESETS,
    PRESETS,
    SOUND_DEFAULT,
    SOUND_PRESETS,
)
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
    noun: str  # what lanes make

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
                raise ConfigError(f"{name} is not for {self.noun}: {self.refused[name]}")


_WITHOUT_TEXT = (
    "constrained_beam_search", "logit_bias", "bad_words", "suppress_tokens", "choice", "regex",
    "json_schema",
)  # fmt: skip
_WITHOUT_END = ("min_length", "min_new_tokens", "exponential_decay_length_penalty")


def _refused(one: str, many: str, end: str) -> dict[str, str]:
    """Return why what is about texts means nothing for pictures or for sounds."""
    draft = (
        f"a model of {many} reads one value at a time whether it was guessed or not, so a guess "
        f"saves nothing. Choose sample or greedy, which give the same {many}."
    )
    hidden = (
        f"it compares what the layers of a model hold, which models of {many} do not tell. Choose "
        "another way to decode."
    )
    text = f"it is about text, and a {one} has none. Leave it out."
    ends = f"it is about the end of a text; a {one} ends {end}. Leave it out."
    return {
        **dict.fromkeys(("contrastive_search", "dola"), hidden),
        **dict.fromkeys(("speculative_decoding", "prompt_lookup"), draft),
        **dict.fromkeys(_WITHOUT_TEXT, text),
        **dict.fromkeys(_WITHOUT_END, ends),
    }


_RUNS = "it looks for shared runs of tokens, as words are; in {} decide. Choose best_of_n."

TEXTS = Offer(PRESETS, DEFAULT, {}, "texts")


def _refused_remotely() -> dict[str, str]:
    """Return why a server, which lists some tokens of one position a request, cannot do it."""
    inside = "it needs what is inside of the model, which a server does not tell. {}"
    whole = "it may need tokens that a server does not list. Use a model that computes here."
    other = "it adds two models up token by token, and a server lists other ones each time. {}"
    here, plain = "Use a model that computes here.", "Leave it out."
    return {
        **dict.fromkeys(("contrastive_search", "dola"), inside.format(here)),
        **dict.fromkeys(("constrained_beam_search", "choice", "regex", "json_schema"), whole),
        **dict.fromkeys(("guided", "contrastive_decoding", "ensemble"), other.format(plain)),
        "speculative_decoding": "no model here has the same tokens as one on a server. "
        "Choose greedy or sample.",
    }


def _with(presets: Mapping[str, LaneSpec], refused: Mapping[str, str]) -> dict[str, LaneSpec]:
    """Return the presets of which nothing is refused."""
    return {
        label: spec
        for label, spec in presets.items()
        if not {spec.strategy, spec.combination, *(p.name for p in spec.processors)} & set(refused)
    }


_REMOTE = _refused_remotely()
REMOTE_TEXTS = Offer(_with(PRESETS, _REMOTE), DEFAULT, _REMOTE, "texts of a model server")
PICTURES = Offer(
    PICTURE_PRESETS,
    PICTURE_DEFAULT,
    _refused("picture", "pictures", "when it is whole")
    | {"minimum_bayes_risk": _RUNS.format("pictures the runs of the background")},
    "pictures",
)
SOUNDS = Offer(
    SOUND_PRESETS,
    SOUND_DEFAULT,
    _refused("sound", "sounds", "after the length that is chosen")
    | {"minimum_bayes_risk": _RUNS.format("sounds the runs of silence")},
    "sounds",
)
