"""Scores of copying heads against the maps they are means of."""

import numpy as np
import pytest
import torch

from playground.errors import ConfigError
from playground.inspection.induction import copying_heads, induction, repeated_noise
from playground.models.pretrained import PretrainedLM
from playground.tokenizers.text import CharTokenizer
from tests.helpers import lstm, transformer
from tests.tiny_models import TINY

TOKENIZER = CharTokenizer("abcdefghijklmnopqrstuv")  # and BOS: as many as the models read


@pytest.mark.parametrize("build", [transformer, lambda: PretrainedLM(TINY["llama"]())])
def test_scores_are_means_of_the_maps(build):
    model = build()
    found = induction(model, TOKENIZER, length=6, sequences=3, seed=5)
    maps = model.attention_maps(torch.from_numpy(found.sequences))  # (L, S, H, 13, 13)
    second = range(7, 13)  # BOS stands at 0, the noise at 1..6 and 7..12
    score = torch.stack([maps[..., t, t - 6 + 1] for t in second]).mean(0)  # (L, S, H)
    before = torch.stack([maps[..., t, t - 1] for t in range(1, 13)]).mean(0)
    np.testing.assert_allclose(found.induction, score.mean(1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.spread, score.std(1, correction=0), rtol=1e-2, atol=1e-5)
    np.testing.assert_allclose(found.previous, before.mean(1), rtol=1e-4, atol=1e-6)
    assert found.chance == pytest.approx(np.mean([1 / (t + 1) for t in second]))
    logprobs = model.forward(torch.from_numpy(found.sequences)).log_softmax(-1)
    told = logprobs[:, :-1].gather(2, torch.from_numpy(found.sequences)[:, 1:, None])[..., 0]
    np.testing.assert_allclose(found.bits, -told.mean(0) / np.log(2), rtol=1e-4)
    assert found.first_bits == pytest.approx(found.bits[:6].mean())
    assert found.second_bits == pytest.approx(found.bits[7:].mean())


def test_the_strongest_heads_come_first():
    found = induction(transformer(), TOKENIZER, length=6)
    best = found.strongest(3)
    assert best[0][2] == found.induction.max() == found.induction[best[0][:2]]
    assert best == sorted(best, key=lambda at: -at[2])
    assert copying_heads(found, best[1][2]) == [best[0][:2], best[1][:2]]


def test_noise_is_read_twice_has_no_special_tokens_and_is_the_same_for_a_seed():
    noise = repeated_noise(TOKENIZER, 22, 4, seed=1)
    assert torch.equal(noise, repeated_noise(TOKENIZER, 22, 4, seed=1))
    assert not torch.equal(noise, repeated_noise(TOKENIZER, 22, 4, seed=2))
    assert (noise[:, 0] == TOKENIZER.bos_token).all()
    assert torch.equal(noise[:, 1:23], noise[:, 23:])
    assert all(sorted(row) == list(range(22)) for row in noise[:, 1:23].tolist())
    longer = repeated_noise(TOKENIZER, 30, 1, seed=1)  # more than there are letters
    assert longer.shape == (1, 61)
    assert longer[:, 1:].max() < TOKENIZER.bos_token


def test_what_cannot_be_asked_is_said():
    with pytest.raises(ConfigError, match="LSTM has no attention"):
        induction(lstm(), TOKENIZER)
    with pytest.raises(ConfigError, match=r"length must be a whole number in \[2, 19\], got 20"):
        induction(transformer(), TOKENIZER, length=20)
