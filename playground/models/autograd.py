"""Causal self-attention and the perceptron with gradients of their own, for training on a CPU.

Torch's fused attention is slower on a CPU than plain matrix products, in bfloat16 twice. Here the
queries go block by block, each block only as far back as it can look, so that little of what the
mask removes is ever computed. The perceptron keeps one tensor of its hidden width instead of two
and passes over such tensors four times instead of seven.

References: Vaswani et al. 2017, arXiv:1706.03762, eq. 1; Su et al. 2021, arXiv:2104.09864 (rotary
positions); So et al. 2021, arXiv:2109.08668 (squared ReLU).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.amp import custom_fwd
from torch.autograd.function import once_differentiable

from playground.models.alibi import biases

BLOCK_BYTES = 256  # of one number for each query of a block: 64 in float32, 128 in bfloat16
KEPT_TOKENS = 1024  # longest sequence whose attention weights are kept for the gradient

autocast = custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)  # as a linear layer would


def turn_(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn x (..., T, D) in place, as `transformer.rotate` does."""
    swapped = x.roll(x.shape[-1] // 2, -1)
    return x.mul_(cos).addcmul_(swapped, sin)


class CausalAttention(torch.autograd.Function):
    """Map qkv (B, T, 3C) to the heads (B, T, C), q and k turned by `cos_sin` if there is one.

    With `is_leaning` every head prefers what is near, see `alibi.py`.
    """

    @staticmethod
    def forward(
        ctx, qkv: Tensor, cos_sin: Tensor | None, n_head: int, is_leaning: bool = False
    ) -> Tensor:
        B, T, D = *qkv.shape[:2], qkv.shape[2] // (3 * n_head)
        packed = qkv.view(B, T, 3, n_head, D).permute(2, 0, 3, 1, 4).contiguous()
        if cos_sin is not None:
            turn_(packed[:2], *cos_sin.to(qkv.dtype))
        packed[0] *= D**-0.5
        q, k, v = packed.flatten(1, 2)  # (B * H, T, D)
        out = qkv.new_empty(B, T, n_head, D)
        heads, kept = out.transpose(1, 2), []  # (B, H, T, D)
        for start, end in _blocks(q):
            weights = _weights(q, k, start, end, n_head if is_leaning else 0)
            heads[:, :, start:end] = torch.bmm(weights, v[:, :end]).view(B, n_head, -1, D)
            if ctx.needs_input_grad[0] and T <= KEPT_TOKENS:
                kept.append(weights)
        ctx.leaning = n_head if is_leaning else 0
        ctx.save_for_backward(packed, cos_sin, *kept)
        return out.flatten(2)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None, None]:
        packed, cos_sin, *kept = ctx.saved_tensors
        _, B, H, T, D = packed.shape
        q, k, v = packed.flatten(1, 2)
        grad = grad.view(B, T, H, D).transpose(1, 2).reshape(B * H, T, D)
        dqkv = torch.empty_like(packed)
        dq, dk, dv = dqkv.flatten(1, 2)
        sums = torch.zeros(2, *q.shape, dtype=torch.promote_types(q.dtype, torch.float32))
        for i, (start, end) in enumerate(_blocks(q)):
            weights = kept[i] if kept else _weights(q, k, start, end, ctx.leaning)
            rows = grad[:, start:end]
            sums[1, :, :end] += torch.bmm(weights.transpose(1, 2), rows)
            scores = torch.bmm(rows, v[:, :end].transpose(1, 2))  # gradient of the weights
            scores = torch._softmax_backward_data(scores, weights, -1, scores.dtype)
            dq[:, start:end] = torch.bmm(scores, k[:, :end])
            sums[0, :, :end] += torch.bmm(scores.transpose(1, 2), q[:, start:end])
        dq *= D**-0.5
        dk.copy_(sums[0])
        dv.copy_(sums[1])
        if cos_sin is not None:
            cos, sin = cos_sin.to(q.dtype)
            turn_(dqkv[:2], cos, -sin)  # back
        return dqkv.permute(1, 3, 0, 2, 4).reshape(B, T, -1), None, None, None


class Perceptron(torch.autograd.Function):
    """Map x (..., C) to max(x expand^T, 0)^2 contract^T, also of shape (..., C)."""

    @staticmethod
    @autocast
    def forward(ctx, x: Tensor, expand: Tensor, contract: Tensor) -> Tensor:
        rows = x.flatten(0, -2)
        hidden = (rows @ expand.t()).relu_()
        ctx.save_for_backward(rows, hidden, expand, contract)
        return (hidden.square() @ contract.t()).view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows, hidden, expand, contract = ctx.saved_tensors
        g = grad.flatten(0, -2)
        d_contract = g.t() @ hidden.square()
        d_hidden = (g @ (2 * contract)).mul_(hidden)
        return (d_hidden @ expand).view_as(grad), d_hidden.t() @ rows, d_contract


def _blocks(q: Tensor) -> Iterator[tuple[int, int]]:
    """Yield first and last + 1 query of each block."""
    size, length = max(1, BLOCK_BYTES // q.itemsize), q.shape[1]
    for start in range(0, length, size):
        yield start, min(start + size, length)


def _weights(q: Tensor, k: Tensor, start: int, end: int, n_leaning: int) -> Tensor:
    """Return how much queries start..end look at keys 0..end: (B * H, end - start, end).

    `n_leaning` is H if the heads prefer what is near, else 0.
    """
    scores = torch.bmm(q[:, start:end], k[:, :end].transpose(1, 2))
    if n_leaning:
        scores.view(-1, n_leaning, *scores.shape[1:]).add_(biases(n_leaning, start, end, scores))
    scores[:, :, start:] += scores.new_full((end - start, end - start), -torch.inf).triu_(1)
    return scores.softmax(-1)
