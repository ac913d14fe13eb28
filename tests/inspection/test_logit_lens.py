"""The logit lens against probabilities computed in full."""

import numpy as np
import pytest
import torch

from playground.errors import ConfigError
from playground.inspection import logit_lens as module
from playground.inspection.logit_lens import Lens, logit_lens
from playground.models.pretrained import PretrainedLM
from tests.helpers import CONTEXT_LENGTH, VOCAB_SIZE, lstm, ngram, random_tokens, transformer
from tests.tiny_models import TINY

PREFIX = tuple(random_tokens(20).tolist())
BUILD = {
    "transformer": transformer,
    "lstm": lstm,
    "llama": lambda: PretrainedLM(TINY["llama"]()),
    "mamba": lambda: PretrainedLM(TINY["mamba"]()),
}


@pytest.mark.parametrize("name", BUILD)
@pytest.mark.parametrize("logits", [2**23, 100])  # all positions at once, or few at a time
def test_every_number_is_that_of_the_layer_s_full_distribution(name, logits, monkeypatch):
    monkeypatch.setattr(module, "MAX_LOGITS", logits)
    model = BUILD[name]()
    lens = logit_lens(model, PREFIX, token=7, newest=6)
    hidden = model.forward_layers(torch.tensor([PREFIX]))[:, 0, -6:]
    logprobs = model.head(hidden).double().log_softmax(-1)  # (L, 6, V)
    followed = torch.tensor([*PREFIX[-5:], 7])
    assert lens.first == 14
    assert lens.followed.tolist() == followed.tolist()
    assert lens.top.tolist() == logprobs.argmax(-1).tolist()
    close = {"rtol": 2e-3, "atol": 1e-6}
    np.testing.assert_allclose(lens.top_prob, logprobs.amax(-1).exp(), **close)
    of = logprobs[:, torch.arange(6), followed]
    np.testing.assert_allclose(lens.followed_prob, of.exp(), **close)
    assert lens.rank.tolist() == (1 + (logprobs > of[..., None]).sum(-1)).tolist()
    chosen = logprobs[:, torch.arange(6), logprobs[-1].argmax(-1)]
    np.testing.assert_allclose(lens.chosen_prob, chosen.exp(), **close)
    kl = (logprobs[-1].exp() * (logprobs[-1] - logprobs)).sum(-1) / np.log(2)
    np.testing.assert_allclose(lens.kl, kl, rtol=2e-3, atol=1e-5)
    assert not lens.kl[-1].any()


def test_the_last_layer_is_the_model():
    model = transformer()
    lens = logit_lens(model, PREFIX)
    probs = model.forward(torch.tensor([PREFIX]))[0].softmax(-1)
    np.testing.assert_allclose(lens.top_prob[-1], probs.amax(-1), rtol=1e-4)
    assert lens.rank[0, -1] == -1
    assert np.isnan(lens.followed_prob[0, -1])


def test_the_state_of_the_prefix_saves_reading_it_again():
    model = transformer()
    _, state = model.step(torch.tensor([PREFIX]), model.initial_state(1))
    quick, fresh = (
        logit_lens(model, PREFIX, newest=5, state=state),
        logit_lens(model, PREFIX, newest=5),
    )
    np.testing.assert_allclose(quick.kl, fresh.kl, atol=1e-4)
    assert quick.top.tolist() == fresh.top.tolist()
    assert state.length == len(PREFIX)


def test_a_window_that_has_slid_is_read_from_its_beginning():
    prefix = (VOCAB_SIZE - 1, *random_tokens(CONTEXT_LENGTH + 8).tolist())
    lens = logit_lens(transformer(), prefix, newest=1000)
    assert lens.first + lens.top.shape[1] == len(prefix)
    assert lens.top.shape[1] < CONTEXT_LENGTH


def test_a_token_is_decided_where_the_top_stays_what_it_is():
    top = np.array([[1, 5, 4], [2, 5, 3], [1, 5, 4], [1, 5, 9]])
    nothing = np.zeros(0)
    lens = Lens(0, top, nothing, nothing, nothing, nothing, nothing, nothing)
    assert lens.decided.tolist() == [2, 0, 3]


def test_a_model_without_layers_is_told_so():
    with pytest.raises(ConfigError, match="NGram cannot be read between its layers"):
        logit_lens(ngram(), PREFIX)
