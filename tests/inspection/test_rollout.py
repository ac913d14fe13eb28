"""Attention rollout against the product of matrices that defines it."""

import numpy as np
import pytest
import torch

from playground.errors import ConfigError
from playground.inspection import rollout as module
from playground.inspection.rollout import rollout
from playground.models.pretrained import PretrainedLM
from tests.helpers import CONTEXT_LENGTH, VOCAB_SIZE, lstm, random_tokens, transformer
from tests.tiny_models import TINY

PREFIX = (VOCAB_SIZE - 1, *random_tokens(19).tolist())


def product(model, prefix):
    """The definition: (0.5 A_L + 0.5 I) ... (0.5 A_1 + 0.5 I), its last row."""
    maps = model.attention_maps(torch.tensor([prefix]))[:, 0].double().mean(1).numpy()
    whole = np.eye(len(prefix))
    for layer in maps:
        whole = (0.5 * layer + 0.5 * np.eye(len(prefix))) @ whole
    return whole[-1]


@pytest.mark.parametrize("rows", [2**24, 50])  # at once, or two at a time
@pytest.mark.parametrize("build", [transformer, lambda: PretrainedLM(TINY["gpt2"]())])
def test_it_is_the_last_row_of_the_product(build, rows, monkeypatch):
    monkeypatch.setattr(module, "MAX_ROWS", rows)
    model = build()
    found = rollout(model, PREFIX)
    np.testing.assert_allclose(found.weights[-1], product(model, PREFIX), atol=1e-6)
    np.testing.assert_allclose(found.weights.sum(-1), 1, rtol=1e-5)
    assert found.weights.shape == (model.n_layer, len(PREFIX))


def test_of_a_long_prefix_the_newest_tokens_are_read():
    model = transformer()
    found = rollout(model, PREFIX, newest=8)
    np.testing.assert_allclose(
        found.weights[-1], product(model, (PREFIX[0], *PREFIX[-7:])), atol=1e-6
    )
    over = found.over(len(PREFIX))
    assert over.sum() == pytest.approx(1)
    assert not over[1 : len(PREFIX) - 7].any()
    assert over[len(PREFIX) - 7 :].all()


def test_tokens_that_left_the_window_are_not_connected():
    prefix = (VOCAB_SIZE - 1, *random_tokens(CONTEXT_LENGTH + 5).tolist())
    over = rollout(transformer(), prefix).over(len(prefix))
    assert over.sum() == pytest.approx(1)
    assert over[1] == 0


def test_a_model_without_attention_is_told_so():
    with pytest.raises(ConfigError, match="LSTM has no attention"):
        rollout(lstm(), PREFIX)
