"""The plain implementations that ours is timed against are the same functions."""

import pytest
import torch

from bench.plain import plain
from tests.helpers import random_tokens, with_weights
from train.families import build
from train.text import Config

SIZES = {"n_layer": 2, "n_head": 2, "n_embd": 16, "n_hidden": 24, "order": 4}


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("transformer", {"positions": "rotary"}), ("transformer", {"positions": "alibi"}),
        ("transformer", {"positions": "learned"}), ("causal-conv", {}), ("lstm", {}),
        ("gru", {}), ("rnn", {}), ("neural-ngram", {}),
    ],
)  # fmt: skip
def test_a_plain_forward_gives_the_same_logits(family, options):
    model = with_weights(build(Config(family=family, **SIZES, **options), 23))
    tokens = random_tokens(2, 20)
    torch.testing.assert_close(plain(model)(tokens), model(tokens), rtol=1e-4, atol=1e-4)
