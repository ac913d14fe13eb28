"""Several lanes over one prompt: alone or together the same, refused before work starts."""

import pytest
import torch

from playground.checkpoints import load
from playground.comparison import MAX_SPECS, Comparison
from playground.decoding.presets import PRESETS
from playground.decoding.processors import Processor
from playground.decoding.spec import LaneSpec
from playground.errors import ConfigError, PlaygroundError
from tests.helpers import ROOT

MODEL, DRAFT, OTHER = "kjv-char-transformer", "kjv-char-ngram", "prose-bpe-transformer"
PROMPT = "And God said, "
_loaded = {}


class Loaded:
    def __init__(self, name: str):
        self.model, self.tokenizer = load(ROOT / "checkpoints" / name)
        self.info = {}


def loader(name: str) -> Loaded:
    if name not in _loaded:
        _loaded[name] = Loaded(name)
    return _loaded[name]


def compare(*specs: LaneSpec, prompt: str = PROMPT, **options) -> Comparison:
    options = {"model": MODEL, "load": loader, "seed": 3, "max_new_tokens": 12} | options
    return Comparison(specs, prompt, **options)


def run(*specs: LaneSpec, **options) -> Comparison:
    running = compare(*specs, **options)
    while running.advance():
        pass
    return running


def test_every_preset_gives_the_same_texts_alone_and_beside_others():
    specs = [
        spec.but(second=DRAFT if spec.needs_second else "", samples=2) for spec in PRESETS.values()
    ]
    for first in range(0, len(specs), 7):
        some = specs[first : first + 7]
        together = [r.traces for r in run(*some).results()]
        for spec, traces in zip(some, together, strict=True):
            assert run(spec).results()[0].traces == traces, spec.label
            assert all(len(trace.steps) == 12 for trace in traces), spec.label


def test_stopping_keeps_what_is_there():
    running = compare(*(PRESETS[n] for n in ("greedy", "beam search", "contrastive search")))
    for _ in range(5):
        assert running.advance()
    lengths = [len(result.traces[0].steps) for result in running.results()]
    assert lengths == [5, 5, 4]  # a contrast is decided one model call later
    assert not running.is_done
    assert all(result.tokens_per_second > 0 for result in running.results())


def test_a_draft_saves_calls_and_changes_nothing():
    plain, drafted = run(
        PRESETS["greedy"], PRESETS["speculative"].but(second=DRAFT), max_new_tokens=60
    ).results()
    assert drafted.traces[0].tokens == plain.traces[0].tokens
    assert drafted.calls < plain.calls


def test_the_likelihood_of_a_combined_lane_is_that_of_the_plain_model():
    spec = LaneSpec("cd", "greedy", combination="contrastive_decoding", second=DRAFT)
    running = run(spec)
    (result,) = running.results()
    tokens, start = result.traces[0].tokens, len(running.prompt)
    logits = loader(MODEL).model.forward(torch.tensor([tokens[:-1]]))[0]
    logprobs = logits.double().log_softmax(-1)[range(len(tokens) - 1), tokens[1:]]
    found = running.figures(result).log_likelihood
    assert found == pytest.approx(logprobs[start - 1 :].sum().item(), abs=1e-3)
    assert found != pytest.approx(sum(step.logprob for step in result.traces[0].steps), abs=0.1)


def test_real_text_is_judged_in_pieces_as_long_as_the_lanes():
    running = run(PRESETS["pure sampling"])
    text = (ROOT / "checkpoints" / MODEL / "held_out.txt").read_text(encoding="utf-8")
    assert running.real_figures(text).mean_length == 12


@pytest.mark.parametrize(
    ("specs", "options", "message"),
    [
        ([], {}, f"Compare 1 to {MAX_SPECS} lanes, got 0"),
        ([LaneSpec()] * 9, {}, f"Compare 1 to {MAX_SPECS} lanes, got 9"),
        ([LaneSpec(samples=16)] * 5, {}, "At most 64 texts"),
        ([PRESETS["speculative"]], {}, "needs a second model"),
        ([PRESETS["speculative"].but(second=OTHER)], {}, "different tokenizers"),
        ([LaneSpec(model=OTHER)], {}, "different tokenizers"),
        ([PRESETS["contrastive decoding"]], {}, "needs a second model"),
        (
            [LaneSpec(combination="dola", combination_settings={"depth": 1})],
            {},
            "dola has no such setting",
        ),
        ([LaneSpec(processors=(Processor("regex", "[0-9]+"),))], {}, "regex"),
        ([LaneSpec("x", "constrained_beam_search", words="a" * 40)], {}, "force_words_ids"),
        ([LaneSpec("x", "constrained_beam_search")], {}, "force_words_ids"),
        ([LaneSpec()], {"max_new_tokens": 10**9}, "max_new_tokens must be"),
        ([LaneSpec()], {"seed": -1}, "seed must be"),
        ([LaneSpec()], {"prompt": "\u05d0"}, "has never seen"),
    ],
)
def test_what_cannot_be_is_refused_before_work_starts(specs, options, message):
    with pytest.raises(PlaygroundError, match=message):
        compare(*specs, **options)


def test_an_unknown_combination_is_a_message():
    with pytest.raises(ConfigError, match="combination must be one of"):
        LaneSpec(combination="sum")
