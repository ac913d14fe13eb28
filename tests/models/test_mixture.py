"""The discretised mixture of logistics: a distribution, the right one, in all its tails."""

import itertools

import numpy as np
import pytest
import torch

from playground.errors import ConfigError
from playground.models.mixture import level_logprobs, spread_out
from tests.helpers import picture_model, random_tokens


def parameters(*shape: int, scale: float = 3.0) -> torch.Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("levels", [2, 3, 4, 17, 256])
@pytest.mark.parametrize("scale", [0.1, 3.0, 20.0])
def test_probabilities_sum_to_one_over_the_levels(levels, scale):
    logprobs = level_logprobs(parameters(50, 15, scale=scale), levels)
    assert logprobs.shape == (50, levels)
    assert logprobs.isfinite().all()
    total = logprobs.double().exp().sum(-1)
    torch.testing.assert_close(total, torch.ones(50).double(), rtol=0, atol=2e-5)


def test_a_level_has_what_the_mixture_has_between_its_edges():
    weight, mean, log_scale = torch.tensor([[0.3, -0.2], [-0.4, 0.7], [-1.5, -2.5]]).double()
    levels, half = 9, 1 / 8

    def cdf(x: float) -> float:
        parts = torch.sigmoid((x - mean) * torch.exp(-log_scale))
        return float((weight.softmax(0) * parts).sum())

    edges = [-np.inf, *(q / 4 - 1 + half for q in range(8)), np.inf]
    exact = torch.tensor([cdf(b) - cdf(a) for a, b in itertools.pairwise(edges)])
    found = level_logprobs(torch.cat((weight, mean, log_scale)).float(), levels).exp()
    torch.testing.assert_close(found, exact.float(), rtol=1e-4, atol=1e-6)


def test_gradients_are_finite_where_levels_are_all_but_impossible():
    values = torch.tensor([0.0, 0.0, 30.0, -30.0, -50.0, 9.0]).requires_grad_()
    logprobs = level_logprobs(values, 256)
    logprobs.sum().backward()
    assert logprobs.isfinite().all()
    assert values.grad.isfinite().all()


def test_a_mixture_begins_wide():
    bias = torch.zeros(3 * 15)
    spread_out(bias, 3)
    probs = level_logprobs(bias.view(3, 15), 256).exp()
    assert probs.min() > 0.1 / 256
    assert torch.equal(probs[0], probs[2])


@pytest.mark.parametrize("family", ["pixelcnn", "gated-pixelcnn"])
def test_a_mixture_head_is_seen_through_the_same_interface(family):
    model = picture_model(family, head="logistic_mixture", n_mixtures=4, levels=256)
    logits = model.forward(random_tokens(2, 42, vocab_size=256))
    assert logits.shape == (2, 42, 257)
    total = logits[..., :256].double().exp().sum(-1)
    torch.testing.assert_close(total, torch.ones(2, 42).double(), rtol=0, atol=2e-5)
    assert model.head.outer.out_features == 12
    with pytest.raises(ConfigError, match="head must be one of softmax, logistic_mixture"):
        picture_model(family, head="normal")
