"""What changes without a head, against both distributions computed in full."""

import numpy as np
import pytest
import torch

from playground.errors import ConfigError
from playground.inspection.ablation import (
    MAX_READ,
    ablate,
    ablate_layer,
    ablations,
    all_heads,
    kl_map,
    tokens_to_read,
)
from tests.helpers import ngram, random_tokens, transformer

PREFIX = tuple(random_tokens(12).tolist())


def test_nothing_left_out_changes_nothing():
    found = ablate(transformer(), PREFIX, [])
    assert (found.kl, found.change, found.top) == (0, 0, found.token)


def test_every_number_is_that_of_the_two_distributions():
    model, tokens = transformer(), torch.tensor([PREFIX])
    whole = model.forward(tokens)[0, -1].double().log_softmax(-1)
    for head in all_heads(model):
        found = ablate(model, PREFIX, [head], token=4)
        without = model.forward_without(tokens, frozenset({head}))[0, -1].double().log_softmax(-1)
        kl = float((whole.exp() * (whole - without)).sum()) / np.log(2)
        assert found.kl == pytest.approx(kl, rel=1e-4)
        assert kl > 0
        assert found.change == pytest.approx(float(without[4] - whole[4]) / np.log(2), abs=1e-5)
        assert found.top == int(without.argmax())
        assert found.top_prob == pytest.approx(float(without.max().exp()), rel=1e-5)


def test_a_layer_is_its_heads_one_at_a_time_and_a_map_has_their_places():
    model = transformer()
    found = ablate_layer(model, PREFIX, 1)
    assert [ablation.heads for ablation in found] == [{(1, head)} for head in range(3)]
    bits = kl_map(found, 2, 3)
    assert np.isnan(bits[0]).all()
    assert bits[1].tolist() == [ablation.kl for ablation in found]


def test_the_cost_is_told_before_and_is_paid_one_by_one():
    model, asked = transformer(context_length=2 * MAX_READ), []

    def heads():
        for head in all_heads(model):
            asked.append(head)
            yield [head]

    found = ablations(model, PREFIX, heads())
    next(found)
    assert len(asked) == 1  # who stops now has paid for no other
    assert tokens_to_read(model, PREFIX, 6) == 7 * len(PREFIX)
    long = random_tokens(MAX_READ + 50).tolist()
    assert tokens_to_read(model, long, 1) == 2 * MAX_READ


def test_what_is_not_there_is_told():
    with pytest.raises(ConfigError, match="NGram has no attention heads"):
        ablate_layer(ngram(), PREFIX, 0)
    with pytest.raises(ConfigError, match="layer must be"):
        ablate_layer(transformer(), PREFIX, 2)
