"""Processors against those of `transformers`, and at their edges."""

import math

import pytest
import torch
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

from playground.decoding.context import Context
from playground.decoding.processors import PROCESSORS, Processor
from playground.errors import ConfigError

TOKENS = torch.tensor([[1, 2, 2, 40]])
PEERS = {
    "temperature": (TemperatureLogitsWarper, [0.05, 0.5, 1.5, 5.0]),
    "top_k": (TopKLogitsWarper, [1, 2, 10, 49, 50]),
    "top_p": (TopPLogitsWarper, [0.01, 0.1, 0.5, 0.9, 0.999]),
    "min_p": (MinPLogitsWarper, [0.01, 0.1, 0.5, 0.9]),
    "typical_p": (TypicalLogitsWarper, [0.01, 0.2, 0.5, 0.95]),
    "repetition_penalty": (RepetitionPenaltyLogitsProcessor, [0.5, 1.2, 3.0]),
}
SETTINGS = [(name, value) for name, (_, values) in PEERS.items() for value in values]
TRUNCATORS = ("top_k", "top_p", "min_p", "typical_p")


def random_logits(rows: int = 5, vocab_size: int = 50, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(rows, vocab_size, generator=generator, dtype=torch.float64)


def test_every_processor_is_compared_with_a_peer_in_the_order_of_transformers():
    assert set(PROCESSORS) == set(PEERS)
    assert list(PROCESSORS) == [
        "repetition_penalty", "temperature", "top_k", "top_p", "min_p", "typical_p",
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("name", "value"), SETTINGS)
def test_it_does_what_transformers_does(name, value, seed):
    logits, tokens = random_logits(seed=seed), TOKENS.expand(5, -1)
    ours = Processor(name, value)(logits, Context(tokens))
    theirs = PEERS[name][0](value)(tokens, logits.clone())
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(("name", "value"), SETTINGS)
def test_it_changes_nothing_in_place_and_rows_do_not_mix(name, value):
    logits, tokens = random_logits(), TOKENS.expand(5, -1)
    before = logits.clone()
    together = Processor(name, value)(logits, Context(tokens))
    assert torch.equal(logits, before)
    for i in range(5):
        assert torch.equal(
            Processor(name, value)(logits[i : i + 1], Context(TOKENS))[0], together[i]
        )


@pytest.mark.parametrize("name", PROCESSORS)
def test_off_changes_nothing(name):
    processor = Processor(name, PROCESSORS[name].off)
    logits = random_logits()
    assert processor.is_off
    assert torch.equal(processor(logits, Context(TOKENS.expand(5, -1))), logits)


HARD = {
    "all equal": torch.zeros(1, 50),
    "all but one removed": torch.full((1, 50), -torch.inf).index_fill(1, torch.tensor([7]), 1.0),
    "one certain": torch.zeros(1, 50).index_fill(1, torch.tensor([7]), 1e4),
    "two tied": torch.zeros(1, 50).index_fill(1, torch.tensor([7, 9]), 5.0),
    "very negative": torch.full((1, 50), -1e30),
    "far apart": torch.linspace(-1e4, 1e4, 50)[None],
}


@pytest.mark.parametrize("logits", HARD.values(), ids=HARD.keys())
@pytest.mark.parametrize("name", PROCESSORS)
def test_it_never_removes_the_last_token_and_makes_no_nan(name, logits):
    kind = PROCESSORS[name]
    for value in {kind.low, kind.start, kind.high}:
        shaped = Processor(name, value)(logits, Context(TOKENS))
        assert not shaped.isnan().any()
        assert shaped.isfinite().any()
        assert shaped.softmax(-1).sum().item() == pytest.approx(1)
        assert (shaped[logits == -torch.inf] == -torch.inf).all()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("name", "value"), [s for s in SETTINGS if s[0] in ("top_k", "min_p")])
def test_truncating_twice_removes_nothing_more(name, value, seed):
    once = Processor(name, value)(random_logits(seed=seed), Context(TOKENS.expand(5, -1)))
    assert torch.equal(Processor(name, value)(once, Context(TOKENS.expand(5, -1))), once)


@pytest.mark.parametrize("name", TRUNCATORS)
def test_truncators_only_remove(name):
    logits = random_logits()
    shaped = Processor(name, PROCESSORS[name].start)(logits, Context(TOKENS.expand(5, -1)))
    kept = shaped.isfinite()
    assert torch.equal(shaped[kept], logits[kept])
    assert (shaped[~kept] == -torch.inf).all()
    assert 0 < kept.sum() < kept.numel()


def kept_by(name: str, value: float, probs: list[float]) -> list[int]:
    logits = torch.tensor([probs], dtype=torch.float64).log()
    shaped = Processor(name, value)(logits, Context(torch.tensor([[0]])))
    return shaped[0].isfinite().nonzero().flatten().tolist()


def test_top_k_keeps_exactly_k_of_tied_tokens():
    assert len(kept_by("top_k", 3, [0.1] * 10)) == 3


def test_top_k_above_the_vocabulary_keeps_everything():
    assert kept_by("top_k", 1000, [0.5, 0.3, 0.2]) == [0, 1, 2]


def test_top_p_keeps_the_token_that_crosses_the_threshold():
    assert kept_by("top_p", 0.6, [0.5, 0.3, 0.2]) == [0, 1]
    assert kept_by("top_p", 0.49, [0.5, 0.3, 0.2]) == [0]


def test_top_p_near_zero_keeps_the_best_token():
    assert kept_by("top_p", 0.01, [0.2, 0.5, 0.3]) == [1]


def test_top_p_keeps_as_many_tied_tokens_as_it_needs():
    assert kept_by("top_p", 0.45, [0.25, 0.25, 0.25, 0.25]) == [0, 1]


def test_min_p_keeps_what_is_likely_enough_beside_the_best():
    assert kept_by("min_p", 0.3, [0.5, 0.3, 0.14, 0.06]) == [0, 1]
    assert kept_by("min_p", 1.0, [0.4, 0.4, 0.2]) == [0, 1]


def test_typical_p_may_remove_the_most_likely_token():
    # The entropy is 0.94 nats; of -ln(0.7) = 0.36, -ln(0.1) = 2.30 the first is nearer, while of
    # 1/8 among many equals the rare ones carry the entropy and the peak is untypical.
    probs = [0.2] + [0.8 / 60] * 60
    assert 0 not in kept_by("typical_p", 0.5, probs)


def test_the_order_of_temperature_and_top_p_matters():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    tokens = torch.tensor([[0]])
    hot, nucleus = Processor("temperature", 3.0), Processor("top_p", 0.75)
    hot_first = nucleus(hot(logits, Context(tokens)), Context(tokens)).isfinite().sum()
    nucleus_first = hot(nucleus(logits, Context(tokens)), Context(tokens)).isfinite().sum()
    assert hot_first == 3
    assert nucleus_first == 2


def test_a_repeated_token_is_penalised_once():
    logits = torch.tensor([[2.0, -2.0, 1.0]])
    shaped = Processor("repetition_penalty", 2.0)(logits, Context(torch.tensor([[0, 1, 0, 0]])))
    assert torch.equal(shaped, torch.tensor([[1.0, -4.0, 1.0]]))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("top_q", 0.5, "no processor 'top_q'. Choose among .*top_p"),
        ("top_p", 1.3, r"top_p must be in \[0.01, 1\], got 1.3"),
        ("top_p", math.nan, "top_p must be in"),
        ("temperature", 0.0, r"temperature must be in \[0.05, 5\], got 0.0"),
        ("temperature", math.inf, "temperature must be in"),
        ("top_k", 2.5, "top_k must be a whole number"),
        ("top_k", -1, "top_k must be a whole number"),
        ("min_p", "0.1", "min_p must be in"),
    ],
)
def test_a_setting_out_of_range_names_the_rule_and_the_value(name, value, message):
    with pytest.raises(ConfigError, match=message):
        Processor(name, value)


def test_a_processor_names_itself_with_its_value():
    assert str(Processor("top_p", 0.9)) == "top_p=0.9"
    assert str(Processor("top_k", 20)) == "top_k=20"
