"""Every strategy by name, with its parameters and what a page or a command line says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from playground.decoding.beam import EARLY_STOPPING, MAX_BEAMS, BeamSample, BeamSearch
from playground.decoding.beam import DiverseBeamSearch as Diverse
from playground.decoding.constrained_beam import ConstrainedBeamSearch
from playground.decoding.contrastive import MAX_CANDIDATES, ContrastiveSearch
from playground.decoding.kinds import Parameter, Value
from playground.decoding.samples import MAX_SAMPLES, BestOfN, MinimumBayesRisk
from playground.decoding.speculative import MAX_GUESSES, PromptLookup, SpeculativeDecoding
from playground.decoding.stochastic_beam import StochasticBeamSearch
from playground.decoding.strategies import Greedy, Sample, Strategy
from playground.errors import ConfigError


@dataclass(frozen=True)
class StrategyKind:
    """What a strategy is called, does and accepts."""

    make: Callable[..., Strategy]
    effect: str
    source: str
    parameters: tuple[Parameter, ...] = ()
    is_single: bool = False  # has one text and one next token, so it can be stepped by hand
    needs: str = ""  # "draft" (a model) or "words" (token sequences), given besides


def _whole(name: str, default: int, low: int, high: int, help: str) -> Parameter:
    return Parameter(name, default, low, high, default, 1, help=help)


BEAMS = _whole("num_beams", 4, 1, MAX_BEAMS, "Continuations that are kept.")
LENGTH_PENALTY = Parameter(
    "length_penalty", 1.0, -5.0, 5.0, 1.0, 0.1,
    help="Whole results are ranked by log p / length^this: 0 prefers short ones, 2 long ones.",
)  # fmt: skip
STOPPING = Parameter(
    "early_stopping", False, options=EARLY_STOPPING,
    help="True: stop when enough results are whole. False: when none seems to get better. "
    "never: when none can.",
)  # fmt: skip
SAMPLED = Parameter(
    "do_sample", True, options=(True, False), help="Draw tokens, or take the likeliest."
)
BEAM = (BEAMS, LENGTH_PENALTY, STOPPING)

STRATEGIES: dict[str, StrategyKind] = {
    "sample": StrategyKind(
        Sample, "Draws each token with its probability.", "Ancestral sampling", is_single=True
    ),
    "greedy": StrategyKind(
        Greedy, "Always takes the most likely token.", "The mode of each conditional",
        is_single=True,
    ),
    "contrastive_search": StrategyKind(
        ContrastiveSearch,
        "Takes a likely token whose hidden state is unlike those of the text so far.",
        "Su et al. 2022, arXiv:2202.06417",
        (
            Parameter("penalty_alpha", 0.6, 0.0, 1.0, 0.6, 0.05,
                      help="Weight of unlikeness; 0 is greedy."),
            _whole("top_k", 4, 1, MAX_CANDIDATES, "Candidates that are compared."),
        ),
        is_single=True,
    ),
    "speculative_decoding": StrategyKind(
        SpeculativeDecoding,
        "A small draft model guesses several tokens; the model checks them in one pass. Same "
        "distribution, fewer calls.",
        "Leviathan et al. 2023, arXiv:2211.17192",
        (
            _whole("num_assistant_tokens", 3, 1, MAX_GUESSES, "Tokens guessed at once."),
            SAMPLED,
        ),
        is_single=True,
        needs="draft",
    ),
    "prompt_lookup": StrategyKind(
        PromptLookup,
        "Guesses that what followed the newest tokens before follows again; the model checks it.",
        "Saxena 2023; prompt_lookup_num_tokens in transformers",
        (
            _whole("prompt_lookup_num_tokens", 5, 1, MAX_GUESSES, "Tokens guessed at once."),
            _whole("max_matching_ngram_size", 3, 1, 16, "Longest n-gram that is looked up."),
            SAMPLED,
        ),
        is_single=True,
    ),
    "beam_search": StrategyKind(
        BeamSearch, "Keeps the most likely continuations, and takes the best in the end.",
        "Graves 2012, arXiv:1211.3711; Wu et al. 2016, arXiv:1609.08144", BEAM,
    ),
    "beam_sample": StrategyKind(
        BeamSample, "Beam search that draws the continuations it looks at.",
        "num_beams with do_sample in transformers", BEAM,
    ),
    "diverse_beam_search": StrategyKind(
        Diverse, "Groups of beams, each penalised for tokens that earlier groups took.",
        "Vijayakumar et al. 2016, arXiv:1610.02424",
        (
            *BEAM,
            _whole("num_beam_groups", 2, 1, MAX_BEAMS, "Groups; must divide num_beams."),
            Parameter("diversity_penalty", 1.0, 0.0, 100.0, 1.0, 0.1,
                      help="Taken from log p for each earlier group that took the token."),
        ),
    ),
    "constrained_beam_search": StrategyKind(
        ConstrainedBeamSearch, "Beam search whose results must contain given words.",
        "Hokamp & Liu 2017, arXiv:1704.07138; Post & Vilar 2018, arXiv:1804.06609", BEAM,
        needs="words",
    ),
    "stochastic_beam_search": StrategyKind(
        StochasticBeamSearch, "Draws different continuations, without replacement.",
        "Kool et al. 2019, arXiv:1903.06059", (BEAMS,),
    ),
    "best_of_n": StrategyKind(
        BestOfN, "Draws n texts and keeps the one with the best log p.",
        "Stiennon et al. 2020, arXiv:2009.01325",
        (_whole("n", 4, 1, MAX_SAMPLES, "Texts that are drawn."), LENGTH_PENALTY),
    ),
    "minimum_bayes_risk": StrategyKind(
        MinimumBayesRisk, "Draws n texts and keeps the one most like the others.",
        "Kumar & Byrne 2004; Eikema & Aziz 2020, arXiv:2005.10283",
        (_whole("n", 8, 2, MAX_SAMPLES, "Texts that are drawn."),),
    ),
}  # fmt: skip


def make_strategy(name: str, /, *, draft=None, draft_name: str = "", words=(), **settings: Value):
    """Return the strategy of that name; `draft` and `words` are for those that need them.

    Raises:
        ConfigError: there is none, or a setting is unknown or out of its range.
    """
    if name not in STRATEGIES:
        raise ConfigError(
            f"There is no strategy {str(name)[:60]!r}. Choose among {', '.join(STRATEGIES)}."
        )
    kind = STRATEGIES[name]
    known = {p.name: p for p in kind.parameters}
    for setting in settings:
        if setting not in known:
            raise ConfigError(
                f"{name} has no setting {setting[:60]!r}. It has {', '.join(known) or 'none'}."
            )
    values: dict[str, Any] = {key: known[key].checked(value) for key, value in settings.items()}
    if kind.needs == "draft":
        values |= {"draft": draft, "draft_name": draft_name}
    if kind.needs == "words":
        values["force_words_ids"] = words
    return kind.make(**values)
