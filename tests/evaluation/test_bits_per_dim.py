"""Bits per dimension: of every picture, in any batch, with and without a class."""

import math

import pytest
import torch
from torch.nn import functional as F

from playground.evaluation import bits_per_dim as module
from playground.evaluation.bits_per_dim import bits_per_dim, surprisal_of_pictures
from tests.helpers import picture_model, random_tokens


def test_it_is_the_cross_entropy_in_bits_in_batches_of_any_size(monkeypatch):
    model = picture_model("gated-pixelcnn", n_class=3)
    tokens = random_tokens(7, 42, vocab_size=5).to(torch.int16)
    labels = torch.tensor([0, 1, 2, 3, 0, 1, 2])
    inputs = F.pad(tokens[:, :-1].long(), (1, 0), value=5)
    logits = model.forward(inputs, labels)
    nats = F.cross_entropy(logits.transpose(1, 2), tokens.long(), reduction="none")
    monkeypatch.setattr(module, "BATCH_TOKENS", 100)
    bits = surprisal_of_pictures(model, tokens, 5, labels)
    torch.testing.assert_close(bits, nats / math.log(2), rtol=1e-4, atol=1e-4)
    mean = bits_per_dim(model, tokens, 5, labels)
    assert mean == pytest.approx(bits.mean().item(), rel=1e-5)
    assert mean != pytest.approx(bits_per_dim(model, tokens, 5), rel=1e-5)
