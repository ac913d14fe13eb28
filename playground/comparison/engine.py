"""Several ways to decode one prompt, side by side: the engine of the Compare page and `compare`.

Lanes of one model and one class go through one Run in lockstep; a model that is combined with
another has a Run of its own, and the Runs take turns, so all texts, pictures or sounds grow
together and all can be stopped at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from playground.comparison.conditions import told_by
from playground.comparison.contract import AnyFigures, Condition, Loaded, Prompt, Real, Scope
from playground.comparison.kinds import kind_of
from playground.decoding.lane import Lane
from playground.decoding.run import MAX_LANES, Run, check_prefix
from playground.decoding.search import SearchStrategy
from playground.decoding.spec import LaneSpec
from playground.errors import ConfigError, PlaygroundError
from playground.evaluation.judge import Judge
from playground.models.base import ARModel
from playground.models.combined import ContrastiveDecoding, Ensemble
from playground.models.dola import DoLa
from playground.traces.trace import Step, Trace

MAX_SPECS = 8


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

    The prompt of pictures and sounds are the tokens that all of them begin with, if any.
    `condition` names the class that is told to every model that knows classes, or the text to
    every model that speaks, unless a spec has one of its own. Pictures end when they are whole,
    sounds after half a second, or all after `max_new_tokens`.

    Raises (before any work):
        ConfigError: a spec does not fit the models: another tokenizer, a missing second model,
            an unknown class, settings that contradict each other, too many lanes.
        PromptError: the prompt cannot be read by the model's tokenizer.
    """

    def __init__(
        self,
        specs: Sequence[LaneSpec],
        prompt: Prompt = "",
        *,
        model: str,
        load: Callable[[str], Loaded],
        seed: int = 0,
        max_new_tokens: int | None = None,
        slide: bool = False,
        condition: str | int = "",
    ):
        if not 1 <= len(specs) <= MAX_SPECS:
            raise ConfigError(f"Compare 1 to {MAX_SPECS} lanes, got {len(specs)}.")
        self.specs, self.model_name, self.load = tuple(specs), model, load
        main = load(model)
        self.tokenizer, self.kind = main.tokenizer, kind_of(main.tokenizer)
        self.prompt = self.kind.prefix(self.tokenizer, prompt)
        check_prefix(main.model, self.prompt)
        if getattr(self.kind, "prompt_is_told", False):
            condition = condition or prompt
        self.condition = condition
        self.label = self.kind.label(main, condition)
        self.length = self.kind.room(self.tokenizer, self.prompt, max_new_tokens)
        planned: dict[Any, tuple[ARModel, dict[int, range], list[Lane]]] = {}
        for index, spec in enumerate(self.specs):
            try:
                self.kind.offer.check(spec)
                lanes = spec.lanes(seed, self.tokenizer, self._draft(spec))
                key, own = self._model_of(spec)
            except PlaygroundError as error:
                if repr(spec.label) in str(error):
                    raise
                raise type(error)(f"The lane {spec.label!r} cannot run: {error}") from error
            _, places, all_lanes = planned.setdefault(key, (own, {}, []))
            places[index] = range(len(all_lanes), len(all_lanes) + len(lanes))
            all_lanes += lanes
        count = sum(len(lanes) for _, _, lanes in planned.values())
        if count > MAX_LANES:
            raise ConfigError(
                f"At most {MAX_LANES} {self.kind.noun} are made at once. Take fewer samples."
            )
        options = {
            "max_new_tokens": self.length, "eos_token": self.tokenizer.eos_token,
            "slide": slide, "tokenizer": self.tokenizer,
            "n_candidates": self.kind.n_candidates,
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

    def label_of(self, spec: LaneSpec) -> Condition:
        """Return the class, by its number, or the text that a spec's model is told; None: none."""
        return self._label(spec, spec.model or self.model_name)

    def figures(
        self, result: LaneResult, judge: Judge | None = None, real: Real | None = None
    ) -> AnyFigures:
        """Return the figures of a lane, under its model as it is by itself and under a judge.

        Real pictures or sounds are what the lane's are compared with.
        """
        spec, name = result.spec, result.spec.model or self.model_name
        own = self._bound(spec, name) if spec.combination else None
        others = {"real": real.of(self.label_of(spec))} if real is not None else {}
        return self.kind.figures(
            result.traces, own, self._judge(judge, spec), tokenizer=self.tokenizer, **others
        )

    def real_figures(self, real: str | Real, judge: Judge | None = None) -> AnyFigures:
        """Return the figures of what people made, as long as what the lanes made."""
        plain = LaneSpec()
        longest = max(len(trace.steps) for r in self.results() for trace in r.traces)
        most = max(spec.samples for spec in self.specs)
        return self.kind.real_figures(
            real, self._bound(plain, self.model_name), self._judge(judge, plain),
            tokenizer=self.tokenizer, scope=Scope(self.prompt, self.label, longest, most),
        )  # fmt: skip

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
        loaded = self.load(name)
        if loaded.tokenizer.to_json() != self.tokenizer.to_json():
            raise ConfigError(
                f"{name!r} and {self.model_name!r} have different tokenizers, so a token of one "
                "means nothing to the other. Choose two models trained with the same tokenizer."
            )
        return loaded

    def _label(self, spec: LaneSpec, name: str) -> Condition:
        """Return what a model is told in a lane; what was meant for another sort it is not."""
        loaded, own = self._same_tokens(name), spec.model or self.model_name
        asked, source = (spec.condition, own) if spec.condition != "" else (
            self.condition, self.model_name)  # fmt: skip
        is_meant = name == own and spec.condition != ""
        is_meant = is_meant or told_by(loaded) == told_by(self.load(source))
        return self.kind.label(loaded, asked) if is_meant else None

    def _bound(self, spec: LaneSpec, name: str) -> ARModel:
        """Return a model as decoders step it: told the class of a lane."""
        return self.kind.bind(self._same_tokens(name), self._label(spec, name))

    def _judge(self, judge: Judge | None, spec: LaneSpec) -> Judge | None:
        """Return the judge, told what the lane was told."""
        if judge is None or self.kind.name == "text":
            return judge
        return Judge(self._bound(spec, judge.name), judge.tokenizer, judge.name)

    def _second(self, spec: LaneSpec) -> ARModel:
        if not spec.second:
            raise ConfigError(
                f"The lane {spec.label!r} needs a second model with the same tokenizer. Choose one."
            )
        return self._bound(spec, spec.second)

    def _draft(self, spec: LaneSpec) -> ARModel | None:
        is_drafted = spec.needs_second and spec.strategy == "speculative_decoding"
        return self._second(spec) if is_drafted else None

    def _model_of(self, spec: LaneSpec) -> tuple[Any, ARModel]:
        """Return the model a spec decodes with, and a key that lanes of the same one share."""
        name = spec.model or self.model_name
        settings, label = dict(spec.combination_settings), self._label(spec, name)
        if not spec.combination:
            return (name, label), self._bound(spec, name)
        key = (name, label, spec.combination, tuple(sorted(settings.items())), spec.second)
        try:
            return key, self._combined(spec, name, settings)
        except TypeError as error:
            raise ConfigError(f"{spec.combination} has no such setting ({error}).") from error

    def _combined(self, spec: LaneSpec, name: str, settings: dict) -> ARModel:
        if spec.combination == "guided":
            label = self._label(spec, name)
            return self.kind.guided(self._same_tokens(name), label, settings, self.prompt)
        own = self._bound(spec, name)
        if spec.combination == "dola":
            return DoLa(own, **settings)
        if spec.combination == "contrastive_decoding":
            return self.kind.sealed(
                ContrastiveDecoding(own, self._second(spec), **settings), self.tokenizer
            )
        weight = float(settings.pop("weight", 0.5))
        models = (own, self._second(spec))
        return self.kind.sealed(Ensemble(models, (1 - weight, weight), **settings), self.tokenizer)
