"""Ways to decode that are worth comparing, to begin with."""

from __future__ import annotations

from playground.decoding.processors import Processor
from playground.decoding.spec import LaneSpec


def _sampling(label: str, *processors: Processor) -> LaneSpec:
    return LaneSpec(label, processors=processors)


PRESETS: dict[str, LaneSpec] = {
    spec.label: spec
    for spec in (
        LaneSpec("greedy", "greedy"),
        _sampling("pure sampling"),
        _sampling("temperature 0.7", Processor("temperature", 0.7)),
        _sampling("top-k 20", Processor("top_k", 20)),
        _sampling("nucleus 0.9", Processor("top_p", 0.9)),
        _sampling("min-p 0.1", Processor("min_p", 0.1)),
        _sampling("typical 0.9", Processor("typical_p", 0.9)),
        _sampling("mirostat", Processor("mirostat", 2.0)),
        _sampling("repetition penalty", Processor("repetition_penalty", 1.2)),
        LaneSpec("beam search", "beam_search", {"num_beams": 5}),
        LaneSpec("beam sampling", "beam_sample", {"num_beams": 5}),
        LaneSpec(
            "diverse beams", "diverse_beam_search", {"num_beams": 6, "num_beam_groups": 3}
        ),
        LaneSpec("stochastic beams", "stochastic_beam_search", {"num_beams": 5}),
        LaneSpec("contrastive search", "contrastive_search", {"penalty_alpha": 0.6, "top_k": 4}),
        LaneSpec("best of 8", "best_of_n", {"n": 8}),
        LaneSpec("minimum Bayes risk", "minimum_bayes_risk", {"n": 8}),
        LaneSpec("prompt lookup", "prompt_lookup", {"do_sample": False}),
        LaneSpec("speculative", "speculative_decoding", {"do_sample": False}),
        LaneSpec("contrastive decoding", "greedy", combination="contrastive_decoding"),
        LaneSpec("DoLa", "greedy", combination="dola"),
    )
}  # fmt: skip
DEFAULT = ("greedy", "pure sampling", "nucleus 0.9", "beam search")

# Of most pixels a model is nearly sure, background or the inside of a shape, so a nucleus of 0.9
# holds nothing else there and pictures stay empty: milder settings than for texts begin.
PICTURES = 4  # of a lane: enough to see how varied they are
PICTURE_PRESETS: dict[str, LaneSpec] = {
    spec.label: spec
    for spec in (
        *(
            spec.but(samples=PICTURES)
            for spec in (
                _sampling("sample"),
                _sampling("temperature 0.9", Processor("temperature", 0.9)),
                _sampling("temperature 0.8", Processor("temperature", 0.8)),
                _sampling("temperature 1.2", Processor("temperature", 1.2)),
                _sampling("top-k 20", Processor("top_k", 20)),
                _sampling("top-p 0.98", Processor("top_p", 0.98)),
                _sampling("top-p 0.9", Processor("top_p", 0.9)),
                _sampling("min-p 0.01", Processor("min_p", 0.01)),
                _sampling("typical 0.9", Processor("typical_p", 0.9)),
                LaneSpec("guidance 2", combination="guided",
                         combination_settings={"guidance_scale": 2.0}),
                LaneSpec("best of 4", "best_of_n", {"n": 4}),
            )
        ),
        LaneSpec("greedy", "greedy"),
        LaneSpec("beam search", "beam_search", {"num_beams": 3}),
        LaneSpec("stochastic beams", "stochastic_beam_search", {"num_beams": 4}),
        LaneSpec("contrastive decoding", combination="contrastive_decoding", samples=PICTURES),
        LaneSpec("ensemble", combination="ensemble", samples=PICTURES),
    )
}  # fmt: skip
PICTURE_DEFAULT = ("sample", "temperature 0.9", "top-p 0.98", "greedy")

# One sample of a thousand that is far too loud is a click, so the tail is cut a little; but most
# samples have dozens of levels that are about as likely, and what cuts them to a few falls silent.
SOUNDS = 2  # of a lane: the fewest of which one can say how varied they are
SOUND_PRESETS: dict[str, LaneSpec] = {
    spec.label: spec
    for spec in (
        *(
            spec.but(samples=SOUNDS)
            for spec in (
                _sampling("sample"),
                _sampling("temperature 0.9", Processor("temperature", 0.9)),
                _sampling("temperature 0.7", Processor("temperature", 0.7)),
                _sampling("temperature 1.1", Processor("temperature", 1.1)),
                _sampling("top-k 20", Processor("top_k", 20)),
                _sampling("top-p 0.95", Processor("top_p", 0.95)),
                _sampling("top-p 0.7", Processor("top_p", 0.7)),
                _sampling("min-p 0.05", Processor("min_p", 0.05)),
                _sampling("typical 0.9", Processor("typical_p", 0.9)),
                LaneSpec("guidance 2", combination="guided",
                         combination_settings={"guidance_scale": 2.0}),
                LaneSpec("best of 4", "best_of_n", {"n": 4}),
            )
        ),
        LaneSpec("greedy", "greedy"),
        LaneSpec("beam search", "beam_search", {"num_beams": 3}),
        LaneSpec("contrastive decoding", combination="contrastive_decoding", samples=SOUNDS),
        LaneSpec("ensemble", combination="ensemble", samples=SOUNDS),
    )
}  # fmt: skip
SOUND_DEFAULT = ("sample", "temperature 0.9", "top-p 0.95", "greedy")
