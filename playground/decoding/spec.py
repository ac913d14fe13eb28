"""A way to decode as plain data: what links, files, reports and command lines carry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from playground.decoding.lane import Lane
from playground.decoding.processors import Processor, check
from playground.decoding.strategy_catalogue import STRATEGIES, make_strategy
from playground.errors import ConfigError, check_whole

MAX_SAMPLES = 16  # texts of one spec
MAX_LABEL, MAX_WORDS = 60, 400  # characters
MAX_LANES_TEXT = 100_000  # characters of a link, bytes of a file
MAX_CLASS = 2**12  # classes of a model
ANY = "any"  # a lane that is told no class, whatever the others are told
COMBINATIONS = ("", "guided", "contrastive_decoding", "dola", "ensemble")
PLAIN = (str, int, float)
NEEDS_SECOND = ("contrastive_decoding", "ensemble")


@dataclass(frozen=True)
class LaneSpec:
    """One row of a comparison: a model, how it is combined, a strategy, processors, k samples.

    `model` is empty for the model of the whole comparison. `second` names the draft of
    speculative decoding, the amateur of contrastive decoding, the partner of an ensemble.
    `condition` is the class, by name or number, that a model of pictures is told: empty for that
    of the whole comparison, ANY for none.
    """

    label: str = "sample"
    strategy: str = "sample"
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the strategy
    processors: tuple[Processor, ...] = ()  # in the order of their application
    samples: int = 1
    model: str = ""
    combination: str = ""  # one of COMBINATIONS
    combination_settings: Mapping[str, Any] = field(default_factory=dict)
    second: str = ""
    words: str = ""  # that constrained beam search must say, one a line
    condition: str | int = ""

    def __post_init__(self):
        if not isinstance(self.label, str) or not 0 < len(self.label.strip()) <= MAX_LABEL:
            raise ConfigError(
                f"A lane needs a label of 1 to {MAX_LABEL} characters, got "
                f"{str(self.label)[:80]!r}."
            )
        check_whole(f"samples of {self.label!r}", self.samples, 1, MAX_SAMPLES)
        if self.combination not in COMBINATIONS:
            raise ConfigError(
                f"combination must be one of {', '.join(filter(None, COMBINATIONS))} or empty, got "
                f"{str(self.combination)[:40]!r}."
            )
        for name in ("model", "second", "words"):
            if not isinstance(getattr(self, name), str) or len(getattr(self, name)) > MAX_WORDS:
                raise ConfigError(f"{name} must be text of at most {MAX_WORDS} characters.")
        for name in ("settings", "combination_settings"):
            if not isinstance(own := getattr(self, name), Mapping):
                raise ConfigError(f"{name} must be a dictionary, got {str(own)[:80]!r}.")
        self._check_condition()
        self._check_beams()

    def _check_condition(self) -> None:
        """Refuse what can be no class of any model; which there are is known when it is loaded."""
        asked = self.condition
        if isinstance(asked, str) and len(asked) <= MAX_LABEL:
            return
        if type(asked) is int and 0 <= asked < MAX_CLASS:
            return
        raise ConfigError(
            f"condition must be the name of a class, at most {MAX_LABEL} characters, or its number "
            f"from 0 to {MAX_CLASS - 1}, got {str(asked)[:80]!r}."
        )

    def _check_beams(self) -> None:
        """Refuse filters that leave fewer tokens than the beams need at the first position."""
        made = self._strategy(None, ((0,),))  # which also checks the settings
        beams = getattr(made, "num_beams", 1)
        for processor in self.processors:
            if processor.name != "top_k" or not processor.value < beams > 1:
                continue
            if processor.value == 0:
                raise ConfigError(
                    f"top_k=0 keeps no token, and num_beams={beams} needs some. Leave top_k out to "
                    "keep all tokens."
                )
            raise ConfigError(
                f"top_k={processor.value} leaves fewer tokens than num_beams={beams} needs at the "
                f"first position. Raise top_k to {beams}, leave it out, or take fewer beams."
            )

    def _strategy(self, draft: Any, words: tuple[tuple[int, ...], ...]):
        return make_strategy(
            self.strategy, draft=draft, draft_name=self.second, words=words, **self.settings
        )

    @property
    def needs_second(self) -> bool:
        """True if there must be a second model."""
        is_drafted = self.strategy in STRATEGIES and STRATEGIES[self.strategy].needs == "draft"
        return is_drafted or self.combination in NEEDS_SECOND

    def lanes(self, seed: int, tokenizer: Any, draft: Any = None) -> list[Lane]:
        """Return the k lanes, which differ in their noise alone.

        Raises:
            ConfigError: a setting does not fit the strategy or the tokenizer.
        """
        words = ()
        if self.strategy in STRATEGIES and STRATEGIES[self.strategy].needs == "words":
            lines = [line for line in self.words.split("\n") if line]
            words = tuple(tuple(tokenizer.encode(line)) for line in lines)
        strategy = self._strategy(draft, words)
        check(self.processors, tokenizer)
        return [Lane(strategy, self.processors, seed, sample) for sample in range(self.samples)]

    def but(self, **changes: Any) -> LaneSpec:
        """Return the same spec with some fields changed."""
        return replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary without what is at its default."""
        data = {
            "label": self.label,
            "strategy": self.strategy,
            "settings": dict(self.settings),
            "processors": [p.to_json() for p in self.processors if not p.is_off],
            "samples": self.samples,
            "model": self.model,
            "combination": self.combination,
            "combination_settings": dict(self.combination_settings),
            "second": self.second,
            "words": self.words,
            "condition": self.condition,
        }
        if self.samples == 1:
            del data["samples"]
        return {k: value for k, value in data.items() if value or (k, value) == ("condition", 0)}

    @classmethod
    def from_json(cls, data: Any) -> LaneSpec:
        """Return the spec that `to_json` wrote, from whatever somebody sent.

        Raises:
            ConfigError: it is no such dictionary, or says what is not accepted.
        """
        names = set(cls.__dataclass_fields__)
        if not isinstance(data, dict) or not set(data) <= names:
            raise ConfigError(f"A lane must be a dictionary of {', '.join(sorted(names))}.")
        for name in ("settings", "combination_settings"):
            own = data.get(name, {})
            plain = isinstance(own, dict) and all(isinstance(v, PLAIN) for v in own.values())
            if not plain:
                raise ConfigError(f"{name} of a lane must be a dictionary of numbers and texts.")
        processors = data.get("processors", [])
        if not isinstance(processors, list) or len(processors) > 64:
            raise ConfigError("The processors of a lane must be a list of at most 64.")
        own = {**data, "processors": tuple(Processor.from_json(p) for p in processors)}
        return cls(**own)


def specs_to_text(specs: list[LaneSpec]) -> str:
    """Return specs as the short JSON that a link carries."""
    return json.dumps([s.to_json() for s in specs], separators=(",", ":"), ensure_ascii=False)


def specs_from_text(text: str | bytes, most: int) -> list[LaneSpec]:
    """Return the specs of a link or a file, at most `most` of them.

    Raises:
        ConfigError: the text is too long, no JSON, or no list of specs.
    """
    if len(text) > MAX_LANES_TEXT:
        raise ConfigError(
            f"The lanes have {len(text):,} {'bytes' if isinstance(text, bytes) else 'characters'}; "
            f"at most {MAX_LANES_TEXT:,} are read. Name fewer lanes."
        )
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"The lanes are no JSON ({error}). Copy the whole link.") from error
    if not isinstance(data, list) or not 1 <= len(data) <= most:
        raise ConfigError(f"The lanes must be a list of 1 to {most}.")
    return [LaneSpec.from_json(entry) for entry in data]
