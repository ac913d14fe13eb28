"""Attention maps, position codes and configs of the Transformer."""

import math

import pytest
import torch
from torch.nn import functional as F

from playground.errors import ConfigError
from playground.models import Transformer, TransformerConfig
from playground.models.alibi import slopes_of
from playground.models.base import count_parameters
from playground.models.transformer import POSITIONS, rotate, rotations, sinusoids
from tests.helpers import VOCAB_SIZE, random_tokens, transformer


@pytest.mark.parametrize("positions", POSITIONS)
def test_attention_maps_are_causal_distributions(positions):
    maps = transformer(positions).attention_maps(random_tokens(2, 11))
    assert maps.shape == (2, 2, 3, 11, 11)
    torch.testing.assert_close(maps.sum(-1), torch.ones(2, 2, 3, 11))
    assert (maps.triu(1) == 0).all()
    assert (maps >= 0).all()


@pytest.mark.parametrize("positions", POSITIONS)
def test_values_weighted_by_the_attention_maps_give_the_logits_of_forward(positions):
    model = transformer(positions)
    tokens = random_tokens(2, 11)
    maps = model.attention_maps(tokens)
    x, cos_sin = model._place(model.embed(tokens), 0)
    for block, weights in zip(model.blocks, maps, strict=True):
        _, _, v = block.query_key_value(x, cos_sin)
        x = x + block.project((weights @ v).transpose(1, 2).flatten(2))
        x = x + block.mlp(x)
    logits = F.linear(model.norm(x), model.embedding.weight)
    torch.testing.assert_close(logits, model.forward(tokens), rtol=1e-4, atol=1e-5)


def test_sinusoids_are_those_of_the_paper():
    table = sinusoids(50, 16)
    for position in (0, 1, 7, 49):
        for i in range(8):
            angle = position / 10_000 ** (2 * i / 16)
            assert table[position, 2 * i] == pytest.approx(math.sin(angle), abs=1e-5)
            assert table[position, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-5)


def test_rotated_products_depend_on_the_distance_alone():
    table = rotations(64, 8)
    q, k = torch.randn(2, 8, generator=torch.Generator().manual_seed(0)).double().unbind()

    def product(at: int, to: int) -> float:
        turned = (rotate(x[None], table[:, p : p + 1].double()) for x, p in ((q, at), (k, to)))
        return sum(a.flatten() @ b.flatten() for a, b in [tuple(turned)]).item()

    assert product(5, 3) == pytest.approx(product(45, 43), abs=1e-5)
    assert product(20, 0) == pytest.approx(product(63, 43), abs=1e-5)
    assert product(5, 3) != pytest.approx(product(5, 2), abs=1e-3)
    assert rotate(q[None], table[:, 7:8].double()).norm().item() == pytest.approx(q.norm().item())


@pytest.mark.parametrize("positions", POSITIONS)
def test_the_order_of_the_prefix_matters(positions):
    model = transformer(positions)
    one, other = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[2, 1, 3, 4]])
    assert not torch.allclose(model.forward(one)[:, -1], model.forward(other)[:, -1], atol=1e-4)


@pytest.mark.parametrize(
    ("n_head", "slopes"),
    [(8, [2.0**-i for i in range(1, 9)]), (3, [2**-4, 2**-8, 2**-2])],
    ids=["of the paper", "no power of two"],
)
def test_a_head_with_linear_biases_loses_its_slope_a_token(n_head, slopes):
    assert slopes_of(n_head) == pytest.approx(slopes)
    model = transformer("alibi", n_head=n_head, n_embd=8 * n_head, n_layer=1)
    model.blocks[0].qkv.weight.data[: 8 * n_head] = 0  # without queries only the biases are left
    row = model.attention_rows(random_tokens(1, 12), 11)[0, 0, :, 0]
    for head, slope in zip(row.log(), slopes, strict=True):
        torch.testing.assert_close(head.diff(), torch.full((11,), slope), rtol=1e-4, atol=1e-5)


def test_tied_weights_count_once():
    model = transformer(n_layer=1, n_embd=12, n_head=1)
    per_block = 12 * 12 * (3 + 1 + 4 + 4) + 2 * 12
    assert count_parameters(model) == VOCAB_SIZE * 12 + per_block + 12


def test_a_fresh_model_predicts_almost_uniformly():
    model = Transformer(TransformerConfig(50, 16, 2, 2, 32)).eval()
    logprobs = model.forward(random_tokens(4, 16)).log_softmax(-1)
    assert logprobs.mean().item() == pytest.approx(-math.log(50), abs=0.1)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"n_embd": 30, "n_head": 4}, r"n_embd must be a multiple of 2 \* n_head"),
        ({"positions": "polar"}, "positions must be one of .*rotary.*, got 'polar'"),
        ({"n_layer": 0}, r"n_layer must be a whole number in \[1, 128\], got 0"),
        ({"n_layer": 2.0}, "n_layer must be a whole number"),
        ({"n_layer": True}, "n_layer must be a whole number"),
        ({"dropout": math.nan}, r"dropout must be in \[0, 0.9\], got nan"),
        ({"dropout": "0.1"}, "dropout must be in"),
        ({"vocab_size": 2**40}, "vocab_size must be a whole number"),
    ],
)
def test_a_config_out_of_range_names_the_rule_and_the_value(sizes, message):
    with pytest.raises(ConfigError, match=message):
        TransformerConfig(**({"vocab_size": 10} | sizes))
