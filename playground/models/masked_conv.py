"""Convolutions that look only at pixels that come first, in two parts: rows above, and the left.

A masked k x k kernel is never built: what the mask would zero is left out, so nothing is
multiplied by zero, and the part above is worth computing once a row. Weights are matrices (out,
in), so that the same ones serve a convolution over a whole picture and a product with one window.

Masks in the sense of van den Oord et al. 2016a, arXiv:1601.06759: type A, for the first layer,
leaves the pixel itself out, B lets it in. With colours, channels are divided into as many groups,
and group c sees of its own pixel only groups before it (A), or up to itself (B).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from playground.models.base import rowwise_linear


def group_mask(n_in: int, n_out: int, colors: int, kind: str, halves: int = 1) -> Tensor | None:
    """Return 1 where an output may see an input of its own pixel (n_out, n_in); None if always.

    Both are divided into `colors` groups, the outputs in each of `halves` parts.
    """
    if kind == "B" and colors == 1:
        return None
    source = torch.arange(n_in) * colors // n_in
    target = (torch.arange(n_out // halves) * colors // (n_out // halves)).repeat(halves)
    seen = source < target[:, None] if kind == "A" else source <= target[:, None]
    return seen.float()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute `F.linear` of x (B, N, K), each of the B rows as if it were alone.

    Batched kernels sum N > 1 pixels in another order than single ones do.
    """
    if x.shape[1] == 1 or x.shape[0] == 1:
        return rowwise_linear(x, weight, bias)
    return torch.stack([F.linear(row, weight, bias) for row in x])


def channels_first(x: Tensor) -> Tensor:
    """Return x (B, H, W, n) as (B, n, H, W), in memory too.

    A view would make convolutions work on channels-last memory, for which torch 2.11 computes
    wrong gradients of dilated weights in bfloat16 on a CPU (32x32 pictures, 36 channels: NaN).
    """
    return x.permute(0, 3, 1, 2).contiguous()


class Pointwise(nn.Linear):
    """A 1x1 convolution of type B: a group of channels sees itself and those before it."""

    def __init__(self, n_in: int, n_out: int, colors: int = 1, halves: int = 1):
        super().__init__(n_in, n_out)
        self.groups = (n_in, n_out, colors, "B", halves)
        self.register_buffer("mask", group_mask(*self.groups), persistent=False)

    def after_load(self) -> None:
        self.mask = group_mask(*self.groups)

    def masked(self) -> Tensor:
        return self.weight if self.mask is None else self.weight * self.mask

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.masked(), self.bias)

    def rowwise(self, x: Tensor) -> Tensor:
        """Do the same, each row of x (B, N, n_in) on its own."""
        return linear(x, self.masked(), self.bias)

    def over(self, x: Tensor) -> Tensor:
        """Do the same to all pixels of x (B, n_in, H, W)."""
        return F.conv2d(x, self.masked()[:, :, None, None], self.bias)


class Above(nn.Linear):
    """Looks at `rows` rows, as wide as the kernel: those before the pixel's own, or up to it."""

    def __init__(self, n_in: int, n_out: int, kernel_size: int, *, own_row=False, dilation=1):
        self.rows, self.kernel_size = kernel_size // 2 + own_row, kernel_size
        super().__init__(kernel_size * self.rows * n_in, n_out)
        self.own_row, self.dilation = own_row, dilation

    @property
    def rows_before(self) -> int:
        """Rows before the pixel's own that have to be remembered."""
        return (self.rows - self.own_row) * self.dilation

    def over(self, x: Tensor) -> Tensor:
        """Map x (B, n_in, H, W) to (B, n_out, H, W)."""
        weight = self.weight.view(len(self.weight), self.kernel_size, self.rows, x.shape[1])
        side = self.kernel_size // 2 * self.dilation
        x = F.pad(x, (side, side, self.rows_before, 0 if self.own_row else -1))
        return F.conv2d(x, weight.permute(0, 3, 2, 1), self.bias, dilation=self.dilation)

    def rowwise(self, rows: Tensor) -> Tensor:
        """Map the rows (B, rows_before + own_row, W, n_in) to one row (B, W, n_out)."""
        return linear(self.windows(rows), self.weight, self.bias)

    def windows(self, rows: Tensor) -> Tensor:
        """Return what the kernel sees at each pixel of a row (B, W, in)."""
        d, side = self.dilation, self.kernel_size // 2 * self.dilation
        x = F.pad(rows[:, ::d], (0, 0, side, side))
        x = x.unfold(2, 2 * side + 1, 1)[..., ::d]  # (B, rows, W, n_in, kernel)
        return x.permute(0, 2, 4, 1, 3).flatten(2)


class Left(nn.Linear):
    """Looks at pixels to the left in the pixel's own row, and at itself as the mask allows."""

    def __init__(self, n_in: int, n_out: int, kernel_size: int, *, kind="B", colors=1, halves=1,
                 dilation=1, sees_row=True):  # fmt: skip
        self.columns = kernel_size // 2 + 1
        super().__init__(self.columns * n_in, n_out, bias=False)
        self.groups, self.sees_row = (n_in, n_out, colors, kind, halves), sees_row
        self.dilation = dilation
        self.register_buffer("mask", self._mask(), persistent=False)

    def after_load(self) -> None:
        self.mask = self._mask()

    def _mask(self) -> Tensor | None:
        if not self.sees_row:  # the lesson's mistaken mask
            return torch.zeros(self.out_features, self.in_features)
        if (own := group_mask(*self.groups)) is None:
            return None
        left = torch.ones(len(own), self.in_features - own.shape[1])
        return torch.cat((left, own), dim=1)

    @property
    def columns_before(self) -> int:
        """Pixels to the left that have to be remembered."""
        return (self.columns - 1) * self.dilation

    def masked(self) -> Tensor:
        return self.weight if self.mask is None else self.weight * self.mask

    def over(self, x: Tensor) -> Tensor:
        """Map x (B, n_in, H, W) to (B, n_out, H, W)."""
        weight = self.masked().view(len(self.weight), self.columns, x.shape[1])
        weight = weight.transpose(1, 2)[:, :, None]  # (out, in, 1, columns)
        return F.conv2d(F.pad(x, (self.columns_before, 0)), weight, dilation=(1, self.dilation))

    def rowwise(self, x: Tensor) -> Tensor:
        """Map x (B, columns_before + n, n_in) to the last n pixels (B, n, n_out)."""
        x = x.unfold(1, self.columns_before + 1, 1)[..., :: self.dilation]  # (B, n, n_in, columns)
        return linear(x.transpose(2, 3).flatten(2), self.masked())


def spread(seen: np.ndarray, rows: range, columns: range) -> np.ndarray:
    """Return the pixels that stand to one of `seen` (H, W) as any of the offsets says."""
    H, W = seen.shape
    result = np.zeros_like(seen)
    for r, c in np.argwhere(seen):
        for y in (r + dy for dy in rows if 0 <= r + dy < H):
            for x in (c + dx for dx in columns if 0 <= c + dx < W):
                result[y, x] = True
    return result


def seen_above(layer: Above, seen: np.ndarray) -> np.ndarray:
    """Return what an `Above` reads to compute the pixels of `seen` (H, W)."""
    d, side = layer.dilation, layer.kernel_size // 2 * layer.dilation
    rows = range(-layer.rows_before, 1 if layer.own_row else 0, d)
    return spread(seen, rows, range(-side, side + 1, d))


def seen_left(layer: Left, seen: np.ndarray) -> np.ndarray:
    """Return what a `Left` reads to compute the pixels of `seen` (H, W), colours aside."""
    if not layer.sees_row:
        return np.zeros_like(seen)
    is_own = layer.groups[3] == "B"
    columns = range(-layer.columns_before, 1 if is_own else 0, layer.dilation)
    return spread(seen, range(1), columns)
