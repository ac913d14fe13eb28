"""A bound condition is the condition told, and what is excluded never comes."""

import pytest
import torch

from playground.decoding.lane import Lane
from playground.decoding.processors import Processor
from playground.decoding.run import Run
from playground.errors import ConfigError
from playground.models.conditioned import Conditioned, as_drawn, without_wrappers
from playground.models.guided import Guided
from tests.helpers import picture_model, random_tokens, transformer

BOS, SIZE = 5, 42  # of the pictures of the helpers: 5 levels, 6 x 7 pixels


@pytest.fixture(scope="module")
def told():
    return picture_model("gated-pixelcnn", n_class=3)


def prefix(length):
    drawn = random_tokens(2, length - 1, vocab_size=BOS)
    return torch.cat((torch.full((2, 1), BOS), drawn), dim=1)


@pytest.mark.parametrize("length", [1, 9, SIZE])
def test_it_is_the_model_told_the_condition(told, length):
    bound, tokens = Conditioned(told, 2), prefix(length)
    wanted = told.forward(tokens, 2)
    assert not torch.equal(wanted, told.forward(tokens, 1))
    assert torch.equal(bound.forward(tokens), wanted)
    logits, state = bound.step(tokens, bound.initial_state(2))
    torch.testing.assert_close(logits, wanted[:, -1], rtol=1e-4, atol=1e-4)
    assert state.length == length
    rows, _ = bound.step_every(tokens, bound.initial_state(2))
    torch.testing.assert_close(rows, wanted, rtol=1e-4, atol=1e-4)


def test_a_condition_that_is_unknown_is_refused_at_once(told):
    with pytest.raises(ConfigError, match="from 0 to 2"):
        Conditioned(told, 7)
    with pytest.raises(ConfigError, match="knows no classes"):
        Conditioned(picture_model("pixelcnn"), 0)


def test_guidance_pushes_away_from_the_untold_model(told):
    tokens = prefix(12)
    p, u = (told.forward(tokens, c).log_softmax(-1)[:, -1, :BOS] for c in (1, None))
    logits, _ = (m := as_drawn(told, BOS, 1, 3.0)).step(tokens, m.initial_state(2))
    guided = (u + 3 * (p - u)).log_softmax(-1)
    torch.testing.assert_close(logits.log_softmax(-1)[:, :BOS], guided, rtol=1e-4, atol=1e-4)


def test_no_temperature_brings_back_what_is_excluded(told):
    hot = (Processor("temperature", 5.0),)
    lanes = [Lane(processors=hot, seed=3, sample=sample) for sample in range(16)]
    for model, restarts in ((told, True), (as_drawn(told, BOS, 0), False)):
        run = Run(model, [BOS], lanes, max_new_tokens=SIZE)
        for _ in run:
            pass
        drawn = [run.trace(lane, "m").tokens[1:] for lane in range(16)]
        assert any(BOS in tokens for tokens in drawn) == restarts


def test_the_trained_model_is_found_inside():
    inner = transformer()
    assert without_wrappers(Conditioned(Guided(inner, 2.0), None)) is inner
    assert without_wrappers(inner) is inner
