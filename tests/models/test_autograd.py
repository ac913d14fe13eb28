"""Gradients written by hand beside those of the plain formulas."""

import pytest
import torch
from torch.nn import functional as F

from playground.models import autograd
from playground.models.alibi import biases
from playground.models.autograd import CausalAttention, Perceptron
from playground.models.transformer import rotate, rotations

HEADS, SIZE = 3, 8


def plain(qkv, cos_sin, is_leaning=False):
    q, k, v = qkv.unflatten(-1, (3, HEADS, SIZE)).permute(2, 0, 3, 1, 4)
    if cos_sin is not None:
        q, k = rotate(q, cos_sin), rotate(k, cos_sin)
    mask = qkv.new_full((qkv.shape[1], qkv.shape[1]), -torch.inf).triu(1)
    if is_leaning:
        mask = mask + biases(HEADS, 0, qkv.shape[1], qkv)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)


def inputs(length, dtype=torch.float64):
    generator = torch.Generator().manual_seed(length)
    qkv = torch.randn(2, length, 3 * HEADS * SIZE, generator=generator, dtype=dtype)
    return qkv.requires_grad_(), torch.randn(2, length, HEADS * SIZE, generator=generator).to(dtype)


@pytest.fixture(params=[True, False], ids=["kept", "computed again"])
def is_kept(request, monkeypatch):
    monkeypatch.setattr(autograd, "KEPT_TOKENS", 1024 if request.param else 0)


@pytest.mark.parametrize("is_turned", [True, False])
@pytest.mark.parametrize("length", [1, 31, 32, 33, 100])  # blocks have 32 queries in float64
def test_attention_and_its_gradient_are_those_of_the_formula(length, is_turned, is_kept):
    qkv, grad = inputs(length)
    cos_sin = rotations(length, SIZE).double() if is_turned else None
    wanted, found = plain(qkv, cos_sin), CausalAttention.apply(qkv, cos_sin, HEADS)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(
        torch.autograd.grad(found, qkv, grad), torch.autograd.grad(wanted, qkv, grad)
    )


@pytest.mark.parametrize("length", [1, 33, 100])
def test_attention_with_linear_biases_is_that_of_the_formula(length, is_kept):
    qkv, grad = inputs(length)
    wanted, found = plain(qkv, None, True), CausalAttention.apply(qkv, None, HEADS, True)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(
        torch.autograd.grad(found, qkv, grad), torch.autograd.grad(wanted, qkv, grad)
    )


def test_gradients_are_the_limits_of_differences(monkeypatch):
    monkeypatch.setattr(autograd, "BLOCK_BYTES", 16)  # two queries a block
    qkv, _ = inputs(5)
    cos_sin = rotations(5, SIZE).double()
    assert torch.autograd.gradcheck(lambda x: CausalAttention.apply(x, cos_sin, HEADS), qkv)
    sizes = ((2, 3, 4), (16, 4), (4, 16))
    matrices = [torch.randn(size, dtype=torch.float64, requires_grad=True) for size in sizes]
    assert torch.autograd.gradcheck(Perceptron.apply, matrices)


def test_in_bfloat16_it_errs_no_more_than_torchs_kernel():
    qkv, grad = inputs(300)
    cos_sin = rotations(300, SIZE)
    exact = plain(qkv, cos_sin.double())
    exact = (exact, *torch.autograd.grad(exact, qkv, grad))
    short = qkv.detach().bfloat16().requires_grad_()
    errors = []
    for heads in (CausalAttention.apply(short, cos_sin, HEADS), plain(short, cos_sin)):
        found = (heads, *torch.autograd.grad(heads, short, grad.bfloat16()))
        errors.append(
            [
                float((f - e).detach().norm() / e.detach().norm())
                for f, e in zip(found, exact, strict=True)
            ]
        )
    for ours, theirs in zip(*errors, strict=True):
        assert ours < 1.5 * theirs < 0.02


def test_no_weights_are_kept_without_a_gradient():
    qkv, _ = inputs(40)
    with torch.no_grad():
        found = CausalAttention.apply(qkv, None, HEADS)
    assert not found.requires_grad
    torch.testing.assert_close(found, plain(qkv, None))


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_the_perceptron_is_the_plain_formula_in_either_precision(precision):
    torch.manual_seed(1)
    x, expand, contract = (
        torch.randn(s, requires_grad=True) for s in ((2, 5, 4), (16, 4), (4, 16))
    )
    grads = []
    for formula in (Perceptron.apply, lambda x, a, b: F.linear(F.relu(F.linear(x, a)).square(), b)):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            y = formula(x, expand, contract)
        assert y.dtype == precision
        grads.append(torch.autograd.grad(y.float().sin().sum(), (x, expand, contract)))
    for ours, wanted in zip(*grads, strict=True):
        assert ours.dtype == torch.float32
        error = (ours - wanted).norm() / wanted.norm()
        assert error < (1e-5 if precision == torch.float32 else 0.05)
