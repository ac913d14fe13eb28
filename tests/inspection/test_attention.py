"""Attention of one position: rows, maps, and places in the whole sequence."""

import numpy as np
import pytest
import torch

from playground.inspection.attention import MAP_TOKENS, HasAttention, attention
from tests.helpers import CONTEXT_LENGTH, VOCAB_SIZE, ngram, transformer

PREFIX = (VOCAB_SIZE - 1, *range(12))


def test_only_models_with_attention_claim_to_have_it():
    assert isinstance(transformer(), HasAttention)
    assert not isinstance(ngram(), HasAttention)


def test_the_row_is_the_last_of_the_model_s_own_maps():
    model = transformer()
    seen = attention(model, PREFIX)
    expected = model.attention_maps(torch.tensor([PREFIX]))[:, 0, :, -1].numpy()
    np.testing.assert_array_equal(seen.row, expected)
    np.testing.assert_allclose(seen.row.sum(-1), 1, rtol=1e-5)
    assert seen.maps.shape[-1] == min(MAP_TOKENS, len(PREFIX))


def test_weights_over_the_sequence_add_up_to_one_for_each_choice_of_heads():
    seen = attention(transformer(), PREFIX)
    for chosen in ((None, None), (1, None), (0, 2)):
        spread = seen.over(len(PREFIX), *chosen)
        assert spread.shape == (len(PREFIX),)
        assert spread.sum() == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(seen.over(len(PREFIX), 1, 2), seen.row[1, 2], rtol=1e-6)


def test_tokens_that_left_the_window_get_no_attention():
    prefix = (VOCAB_SIZE - 1, *(i % 9 for i in range(CONTEXT_LENGTH + 10)))
    seen = attention(transformer(), prefix)
    spread = seen.over(len(prefix))
    assert spread.sum() == pytest.approx(1, rel=1e-5)
    assert (spread[1 : seen.first] == 0).all()
    assert (spread[seen.first :] > 0).all()
