"""Attention of one position: rows, maps, and places in the whole sequence."""

import numpy as np
import pytest
import torch

from playground.errors import ConfigError
from playground.inspection.attention import (
    MAP_TOKENS,
    HasAttention,
    arcs,
    attention,
    matrix,
    overview,
)
from playground.models.guided import Guided
from playground.models.pretrained import PretrainedLM
from tests.helpers import CONTEXT_LENGTH, VOCAB_SIZE, ngram, random_tokens, transformer
from tests.tiny_models import TINY

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


def test_a_wrapped_model_shows_the_attention_of_what_is_inside():
    model = transformer()
    seen = attention(Guided(model, 1.5), PREFIX)
    np.testing.assert_array_equal(seen.row, attention(model, PREFIX).row)


def test_a_model_that_counts_is_told_so():
    with pytest.raises(ConfigError, match="NGram has no attention"):
        attention(ngram(), PREFIX)


def test_rows_are_the_last_of_all_maps_and_keep_only_what_is_asked_for():
    model, tokens = transformer(), torch.tensor([PREFIX])
    maps = model.attention_maps(tokens)
    torch.testing.assert_close(model.attention_rows(tokens, 9), maps[..., 9:, :], rtol=0, atol=1e-6)
    kept = model.attention_rows(tokens, 0, lambda weights: weights.mean(1))
    torch.testing.assert_close(kept, maps.mean(2))


def test_an_overview_says_how_each_head_looks():
    model = transformer()
    row = attention(model, PREFIX).row
    seen = overview(model, PREFIX)
    np.testing.assert_allclose(seen.row, row, atol=1e-6)
    np.testing.assert_allclose(seen.entropy, -(row * np.log2(row)).sum(-1), rtol=1e-4)
    np.testing.assert_allclose(seen.distance, (row * np.arange(12, -1, -1)).sum(-1), rtol=1e-4)
    told = (seen.start, seen.previous, seen.itself)
    np.testing.assert_allclose(told, (row[..., 0], row[..., -2], row[..., -1]), atol=1e-6)
    assert overview(model, PREFIX[:1]).itself == pytest.approx(np.ones((2, 3)))


def test_the_matrix_of_a_head_is_its_map(monkeypatch):
    model = transformer()
    maps = model.attention_maps(torch.tensor([PREFIX]))[1, 0, 2].numpy()
    np.testing.assert_allclose(matrix(model, PREFIX, 1, 2), maps, atol=1e-6)
    monkeypatch.setattr("playground.inspection.attention.MATRIX_TOKENS", 5)
    np.testing.assert_allclose(matrix(model, PREFIX, 1, 2), maps[-5:, -5:], atol=1e-6)
    with pytest.raises(ConfigError, match=r"head must be a whole number in \[0, 2\], got 3"):
        matrix(model, PREFIX, 1, 3)


def test_arcs_are_the_largest_weights():
    found = arcs(np.array([0.1, 0.0, 0.6, 0.3]), k=3)
    assert [arc.position for arc in found] == [2, 3, 0]
    assert len(arcs(np.array([1.0, 0.0]))) == 1  # what is not looked at has no arc


def test_the_state_of_a_prefix_gives_what_reading_it_again_would():
    model = PretrainedLM(TINY["llama"]())
    prefix = tuple(random_tokens(60, vocab_size=250).tolist())
    _, state = model.step(torch.tensor([prefix]), model.initial_state(1))
    for look in (attention, overview):
        fresh, quick = look(model, prefix), look(model, prefix, state)
        assert quick.first == fresh.first
        np.testing.assert_allclose(quick.row, fresh.row, atol=1e-5)
    np.testing.assert_allclose(
        attention(model, prefix, state).maps, attention(model, prefix).maps, atol=1e-5
    )
    np.testing.assert_array_equal(  # of another prefix it is no help, and is not used
        overview(model, prefix[:20], state).row, overview(model, prefix[:20]).row
    )
