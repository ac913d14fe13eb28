"""Several ways to decode one prompt, side by side: the engine of the Compare page and `compare`.

Lanes of one model go through one Run in lockstep; a model that is combined with another has a Run
of its own, and the Runs take turns, so all texts grow together and all can be stopped at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from playground.decoding.lane import Lane
from playground.decoding.run import MAX_LANES, Run, check_prefix
from playground.decoding.search import SearchStrategy
from playground.decoding.spec import LaneSpec
from playground.errors import ConfigError, PlaygroundError
from playground.evaluation.figures import Figures, figures, human_point
from playground.evaluation.judge import Judge
from playground.models.base import ARModel
from playground.models.combined import ContrastiveDecoding, Ensemble
from playground.models.dola import DoLa
from playground.models.guided import Guided
from playground.traces.trace import Step, Trace

MAX_SPECS = 8


class Loaded(Protocol):
    """A model with its tokenizer."""

    model: ARModel
    tokenizer: Any


@dataclass(frozen=True)
class LaneResult:
    """What a spec has made so far: one Trace a sample."""

    spec: LaneSpec
    traces: tuple[Trace, ...]
    seconds: float  # of model and decisions, shared with the lanes of the same Run
    calls: int  # of the model, for each sample
    is_done: bool

    @property
    def tokens(self) -> int:
        return sum(len(trace.steps) for trace in self.traces)

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds > 0 else 0.0


@dataclass
class _Group:
    """The lanes of one model, and where each spec's are among them."""

    run: Run
    places: dict[int, range]  # index of a spec -> its lanes
    seconds: float = 0.0
    ended: dict[int, float] = field(default_factory=dict)  # seconds after which a spec had ended
    latest: dict[tuple[int, int], Step] = field(default_factory=dict)  # by spec and sample

    def advance(self) -> None:
        """Decide one position, and note which specs have ended by then."""
        self.latest.clear()
        if self.run.is_done:
            return
        start = time.perf_counter()
        steps = next(self.run, ())
        self.seconds += time.perf_counter() - start
        for index, place in self.places.items():
            self.latest |= {
                (index, lane - place.start): steps[lane] for lane in place if steps and steps[lane]
            }
        for index, place in self.places.items():
            if index not in self.ended and all(map(self.run.has_ended, place)):
                self.ended[index] = self.seconds


class Comparison:
    """Specs over one prompt; `advance` decides one position of all, `results` tells what there is.

    Raises (before any work):
        ConfigError: a spec does not fit the models: another tokenizer, a missing second model,
            settings that contradict each other, too many lanes.
        PromptError: the prompt cannot be read by the model's tokenizer.
    """

    def __init__(
        self,
        specs: Sequence[LaneSpec],
        prompt: str,
        *,
        model: str,
        load: Callable[[str], Loaded],
        seed: int = 0,
        max_new_tokens: int = 100,
        slide: bool = False,
    ):
        if not 1 <= len(specs) <= MAX_SPECS:
            raise ConfigError(f"Compare 1 to {MAX_SPECS} lanes, got {len(specs)}.")
        self.specs, self.model_name, self._load = tuple(specs), model, load
        main = load(model)
        self.tokenizer = main.tokenizer
        self.prompt = (self.tokenizer.bos_token, *self.tokenizer.encode(prompt))
        check_prefix(main.model, self.prompt)
        planned: dict[Any, tuple[ARModel, dict[int, range], list[Lane]]] = {}
        for index, spec in enumerate(self.specs):
            try:
                lanes = spec.lanes(seed, self.tokenizer, self._draft(spec))
                key, own = self._model_of(spec)
            except PlaygroundError as error:
                if repr(spec.label) in str(error):
                    raise
                raise type(error)(f"The lane {spec.label!r} cannot run: {error}") from error
            _, places, all_lanes = planned.setdefault(key, (own, {}, []))
            places[index] = range(len(all_lanes), len(all_lanes) + len(lanes))
            all_lanes += lanes
        if sum(len(lanes) for _, _, lanes in planned.values()) > MAX_LANES:
            raise ConfigError(f"At most {MAX_LANES} texts are made at once. Take fewer samples.")
        options = {
            "max_new_tokens": max_new_tokens, "eos_token": self.tokenizer.eos_token,
            "slide": slide, "tokenizer": self.tokenizer,
        }  # fmt: skip
        self._groups = [
            _Group(Run(own, self.prompt, lanes, **options), places)
            for own, places, lanes in planned.values()
        ]

    def advance(self) -> bool:
        """Decide one position of every lane; return False once all have ended."""
        for group in self._groups:
            group.advance()
        return not self.is_done

    @property
    def is_done(self) -> bool:
        return all(group.run.is_done for group in self._groups)

    def latest(self) -> dict[tuple[int, int], Step]:
        """Return what the last `advance` decided, by spec and sample.

        It adds up to the trace of whatever has one text from the start; a search may have changed
        its mind about earlier positions.
        """
        return {key: step for group in self._groups for key, step in group.latest.items()}

    def results(self) -> list[LaneResult]:
        """Return what every spec has made so far, in their order."""
        return [self.result(index) for index in range(len(self.specs))]

    def result(self, index: int) -> LaneResult:
        """Return what one spec has made so far."""
        group = next(group for group in self._groups if index in group.places)
        return self._result(group, index, group.places[index])

    def is_search(self, index: int) -> bool:
        """True if a spec weighs several texts, so that the one it shows may become another."""
        group = next(group for group in self._groups if index in group.places)
        return isinstance(group.run.lanes[group.places[index].start].strategy, SearchStrategy)

    def figures(self, result: LaneResult, judge: Judge | None = None) -> Figures:
        """Return the figures of a lane, under its model as it is by itself and under a judge."""
        own = self._same_tokens(result.spec.model or self.model_name).model
        raw = own if result.spec.combination else None
        return figures(result.traces, raw, judge, tokenizer=self.tokenizer)

    def human_figures(self, text: str, judge: Judge | None = None) -> Figures:
        """Return the figures of real text in pieces as long as the lanes' texts are.

        What depends on how many texts there are (distinct-n, self-BLEU) is that of as many pieces
        as the largest lane has samples; the rest is steadier with 16.
        """
        longest = max(len(trace.steps) for r in self.results() for trace in r.traces)
        options = {"judge": judge, "prompt_length": len(self.prompt)}
        model = self._load(self.model_name).model
        many = human_point(text, self.tokenizer, model, max(1, longest), **options)
        few = human_point(
            text, self.tokenizer, model, max(1, longest),
            pieces=max(spec.samples for spec in self.specs), **options,
        )  # fmt: skip
        counted = ("samples", "distinct_1", "distinct_2", "distinct_3", "self_bleu", "zipf")
        return replace(many, **{name: getattr(few, name) for name in counted})

    # -- inside ----------------------------------------------------------------------------------

    def _result(self, group: _Group, index: int, place: range) -> LaneResult:
        spec = self.specs[index]
        name = spec.model or self.model_name
        traces = tuple(group.run.trace(lane, name) for lane in place)
        seconds = group.ended.get(index, group.seconds)
        calls = max(group.run.calls(lane) for lane in place)
        is_done = all(group.run.has_ended(lane) for lane in place)
        return LaneResult(spec, traces, seconds, calls, is_done)

    def _same_tokens(self, name: str) -> Loaded:
        """Return the model of that name, which must share the comparison's tokens."""
        loaded = self._load(name)
        if loaded.tokenizer.to_json() != self.tokenizer.to_json():
            raise ConfigError(
                f"{name!r} and {self.model_name!r} have different tokenizers, so a token of one "
                "means nothing to the other. Choose two models trained with the same tokenizer."
            )
        return loaded

    def _second(self, spec: LaneSpec) -> Loaded:
        if not spec.second:
            raise ConfigError(
                f"The lane {spec.label!r} needs a second model with the same tokenizer. Choose one."
            )
        return self._same_tokens(spec.second)

    def _draft(self, spec: LaneSpec) -> ARModel | None:
        is_drafted = spec.needs_second and spec.strategy == "speculative_decoding"
        return self._second(spec).model if is_drafted else None

    def _model_of(self, spec: LaneSpec) -> tuple[Any, ARModel]:
        """Return the model a spec decodes with, and a key that lanes of the same one share."""
        name = spec.model or self.model_name
        own = self._same_tokens(name).model
        settings = dict(spec.combination_settings)
        key = (name, spec.combination, tuple(sorted(settings.items())), spec.second)
        if not spec.combination:
            return (name,), own
        try:
            return key, self._combined(spec, own, settings)
        except TypeError as error:
            raise ConfigError(f"{spec.combination} has no such setting ({error}).") from error

    def _combined(self, spec: LaneSpec, own: ARModel, settings: dict) -> ARModel:
        if spec.combination == "guided":
            negative = str(settings.pop("negative_prompt", ""))
            tokens = tuple(self.tokenizer.encode(negative))
            settings = {"guidance_scale": 1.5, **settings}
            return Guided(own, prompt_length=len(self.prompt), negative_prompt=tokens, **settings)
        if spec.combination == "contrastive_decoding":
            return ContrastiveDecoding(own, self._second(spec).model, **settings)
        if spec.combination == "dola":
            return DoLa(own, **settings)
        weight = float(settings.pop("weight", 0.5))
        models = (own, self._second(spec).model)
        return Ensemble(models, (1 - weight, weight), **settings)
