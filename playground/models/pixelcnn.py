"""PixelCNN: pictures drawn pixel by pixel, the past seen through masked convolutions.

p(x) = prod_k p(x_k | x_<k) in raster order, the colours of a pixel in turn. Training sees all
pixels at once; a step computes one pixel from what finished rows and pixels left behind.

`PixelCNN` (van den Oord et al. 2016a, arXiv:1601.06759) masks square kernels, and so is blind to a
wedge at the upper right that grows with depth. `GatedPixelCNN` (van den Oord et al. 2016b,
arXiv:1606.05328) has no blind spot: one stack reads whole rows above, another its own row and the
first stack; gates multiply; a class may steer both (eq. 4).

Deviations: values enter as cosine features, not as numbers; the vertical stack is residual too,
and layers may be dilated (Yu & Koltun 2016), for the same depth sees further that way; one class
more stands for "any", so that a model can be guided (Ho & Salimans 2022, arXiv:2207.12598).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from playground.errors import ConfigError, check_range, check_whole
from playground.models import pixelcnn_stepping as stepping
from playground.models.masked_conv import (
    Above,
    Left,
    Pointwise,
    channels_first,
    linear,
    seen_above,
    seen_left,
)
from playground.models.mixture import (
    level_logprobs,
    rowwise_logprobs,
    spread_out,
    token_logprobs,
)
from playground.models.packing import forget
from playground.models.raster import Raster, RasterState, check_picture, features_per_value
from playground.models.rnn import logistic

HEADS = ("softmax", "logistic_mixture")


@dataclass(frozen=True)
class PixelCNNConfig:
    height: int
    width: int
    colors: int = 1  # 1 is grey, 3 is red, green, blue
    levels: int = 256
    channels: int = 64  # of the stream; half as many inside a block
    n_layer: int = 8  # blocks after the first convolution
    kernel_size: int = 3
    first_kernel_size: int = 7
    faulty_mask: bool = False  # the first layer is blind to its own row, as a demonstration
    head: str = "softmax"  # one of HEADS
    n_mixtures: int = 5
    n_class: int = 0  # always: this family takes no classes

    def __post_init__(self):
        check_picture(self)
        check_stack(self, 2 * self.colors)
        if self.n_class:
            raise ConfigError(f"n_class must be 0 for a PixelCNN, got {self.n_class}.")


@dataclass(frozen=True)
class GatedPixelCNNConfig:
    height: int
    width: int
    colors: int = 1
    levels: int = 256
    channels: int = 60  # of each stack
    n_layer: int = 8  # the first, with its larger kernel, is one of them
    kernel_size: int = 3
    first_kernel_size: int = 7
    dilation_cycle: int = 1  # layer l is dilated by 2^(l mod this)
    head: str = "softmax"
    n_mixtures: int = 5
    n_class: int = 0
    dropout: float = 0.0  # of what a layer adds to the horizontal stack

    def __post_init__(self):
        check_picture(self)
        check_stack(self, self.colors)
        check_whole("dilation_cycle", self.dilation_cycle, 1, 6)
        check_range("dropout", self.dropout, 0.0, 0.9)


def check_stack(config, divisor: int) -> None:
    """Check the sizes of a stack of masked convolutions."""
    check_whole("channels", config.channels, 1, 2**12)
    check_whole("n_layer", config.n_layer, 1, 64)
    for name in ("kernel_size", "first_kernel_size"):
        if check_whole(name, getattr(config, name), 3, 15) % 2 == 0:
            raise ConfigError(f"{name} must be odd, got {getattr(config, name)}.")
    if config.head not in HEADS:
        raise ConfigError(f"head must be one of {', '.join(HEADS)}, got {config.head!r}.")
    check_whole("n_mixtures", config.n_mixtures, 1, 64)
    if config.channels % divisor:
        raise ConfigError(f"channels must be a multiple of {divisor}, got {config.channels}.")


def head_of(config) -> Head:
    """Return the head that a config asks for."""
    n_mixtures = config.n_mixtures if config.head == "logistic_mixture" else 0
    return Head(config.channels, config.colors, config.levels, n_mixtures)


def gate(x: Tensor, dim: int = -1) -> Tensor:
    """Return tanh(a) * sigmoid(b) of the two halves of x."""
    a, b = x.chunk(2, dim)
    return a.tanh() * logistic(b)


class Head(nn.Module):
    """Two 1x1 convolutions to the logits of each colour, or to the mixture that gives them."""

    def __init__(self, channels: int, colors: int, levels: int, n_mixtures: int = 0):
        super().__init__()
        self.colors, self.levels, self.n_mixtures = colors, levels, n_mixtures
        self.inner = Pointwise(channels, channels, colors)
        self.outer = Pointwise(channels, colors * (3 * n_mixtures or levels), colors)
        if n_mixtures:
            spread_out(self.outer.bias.data, colors)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map hidden (B, N, F) to logits (B, N, colors, levels), rows apart from each other."""
        outputs = self.outer.rowwise(self.inner.rowwise(hidden.relu()).relu())
        outputs = outputs.unflatten(-1, (self.colors, -1))
        return rowwise_logprobs(outputs, self.levels) if self.n_mixtures else outputs

    def over(self, hidden: Tensor) -> Tensor:
        """Map hidden (B, H, W, F) to logits (B, H, W, colors, levels)."""
        outputs = self.outputs(hidden)
        return level_logprobs(outputs, self.levels) if self.n_mixtures else outputs

    def nats(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """Map hidden (B, H, W, F) to -log p (B, H, W, colors) of tokens of the same shape."""
        outputs = self.outputs(hidden)
        if self.n_mixtures:
            return -token_logprobs(outputs, tokens, self.levels)
        return F.cross_entropy(outputs.float().movedim(-1, 1), tokens, reduction="none")

    def outputs(self, hidden: Tensor) -> Tensor:
        return self.outer(self.inner(hidden.relu()).relu()).unflatten(-1, (self.colors, -1))


class Block(nn.Module):
    """A residual block (van den Oord et al. 2016a, fig. 5): 1x1, masked k x k, 1x1."""

    def __init__(self, config: PixelCNNConfig):
        super().__init__()
        c, half = config, config.channels // 2
        self.narrow = Pointwise(c.channels, half, c.colors)
        self.above = Above(half, half, c.kernel_size)
        self.left = Left(half, half, c.kernel_size, colors=c.colors)
        self.widen = Pointwise(half, c.channels, c.colors)

    def over(self, x: Tensor) -> Tensor:
        u = self.narrow.over(x.relu()).relu()
        return x + self.widen.over((self.above.over(u) + self.left.over(u)).relu())


class PixelCNN(Raster):
    """A masked convolution and a stack of residual blocks."""

    def __init__(self, config: PixelCNNConfig):
        super().__init__(config)
        c, D = config, config.colors * features_per_value(config.levels)
        self.reach = self.rows_above = c.first_kernel_size // 2
        self.above = Above(D, c.channels, c.first_kernel_size)
        self.left = Left(
            D, c.channels, c.first_kernel_size, kind="A", colors=c.colors,
            sees_row=not c.faulty_mask,
        )  # fmt: skip
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.n_layer))
        self.head = head_of(c)
        for block in self.blocks:  # begins as the identity
            nn.init.zeros_(block.widen.weight)

    def hidden(self, values: Tensor, labels: Tensor | None) -> Tensor:
        x = channels_first(values)
        x = self.above.over(x) + self.left.over(x)
        for block in self.blocks:
            x = block.over(x)
        return x.permute(0, 2, 3, 1)

    def level_logits(self, hidden: Tensor) -> Tensor:
        return self.head.over(hidden) if hidden.ndim == 4 else self.head(hidden)

    # above: what each layer takes from the rows above, the first and then the blocks, and the
    # rows of each block's narrow stream that the next row will look at.
    # current: the narrow streams of the row's finished pixels, side by side (B, n, n_layer * half).

    def start_row(self, values: Tensor, state: RasterState):
        c, q, half = self.config, self.config.kernel_size // 2, self.config.channels // 2
        if state.current:
            rows = torch.cat((state.above[2], state.current[0][:, None]), dim=1)[:, -q:]
        else:
            rows = values.new_zeros(len(values), q, c.width, c.n_layer * half)
        taken = [
            block.above.rowwise(part)
            for block, part in zip(self.blocks, rows.split(half, dim=-1), strict=True)
        ]
        current = values.new_empty(len(values), 0, c.n_layer * half)
        return (self.above.rowwise(values), torch.stack(taken, dim=1), rows), (current,)

    def read_pixels(self, values: Tensor, state: RasterState, first: int, finished: int):
        entry, taken, _ = state.above
        q, half = self.config.kernel_size // 2, self.config.channels // 2
        place = slice(first, first + values.shape[1] - self.reach)
        x = entry[:, place] + self.left.rowwise(values)
        past = F.pad(state.current[0][:, max(0, first - q) : first], (0, 0, max(0, q - first), 0))
        streams = []
        for i, (block, left) in enumerate(zip(self.blocks, past.split(half, dim=-1), strict=True)):
            u = block.narrow.rowwise(x.relu()).relu()
            streams.append(u)
            seen = taken[:, i, place] + block.left.rowwise(torch.cat((left, u), dim=1))
            x = x + block.widen.rowwise(seen.relu())
        new = torch.cat(streams, dim=-1)[:, :finished]
        return x, (torch.cat((state.current[0][:, :first], new), dim=1),)

    def receptive_field(self, row: int, column: int) -> np.ndarray:
        """Return which pixels (H, W) can have a say in the one at (row, column), itself aside."""
        seen = np.zeros((self.config.height, self.config.width), bool)
        seen[row, column] = True
        for block in self.blocks:
            seen = seen | seen_above(block.above, seen) | seen_left(block.left, seen)
        return seen_above(self.above, seen) | seen_left(self.left, seen)


class GatedLayer(nn.Module):
    """One layer of both stacks (van den Oord et al. 2016b, fig. 2)."""

    def __init__(self, config: GatedPixelCNNConfig, layer: int):
        super().__init__()
        c, C = config, config.channels
        is_first = layer == 0
        n_in = c.colors * features_per_value(c.levels) if is_first else C
        size = c.first_kernel_size if is_first else c.kernel_size
        dilation = 1 if is_first else 2 ** (layer % c.dilation_cycle)
        self.is_first, self.dropout = is_first, c.dropout
        self.vertical = Above(n_in, 2 * C, size, own_row=not is_first, dilation=dilation)
        self.link = nn.Linear(2 * C, 2 * C)
        self.left = Left(
            n_in, 2 * C, size, kind="A" if is_first else "B", colors=c.colors, halves=2,
            dilation=dilation,
        )  # fmt: skip
        self.project = Pointwise(C, C, c.colors)

    def over(self, v: Tensor, h: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """Map both stacks (B, C, H, W); `bias` (B, 2, 2 C) is what the class says to each."""
        rows = self.vertical.over(v)
        if bias is not None:
            rows = rows + bias[:, 0, :, None, None]
        seen = F.conv2d(rows, self.link.weight[:, :, None, None], self.link.bias)
        seen = seen + self.left.over(h)
        if bias is not None:
            seen = seen + bias[:, 1, :, None, None]
        own = F.dropout(gate(seen, 1), self.dropout, self.training)
        v_next, h_next = gate(rows, 1), self.project.over(own)
        return (v_next, h_next) if self.is_first else (v + v_next, h + h_next)


class GatedPixelCNN(Raster):
    """Gated layers of a vertical and a horizontal stack, and a head on the horizontal one."""

    def __init__(self, config: GatedPixelCNNConfig):
        super().__init__(config)
        c = config
        self.reach = self.rows_above = c.first_kernel_size // 2
        self.layers = nn.ModuleList(GatedLayer(c, layer) for layer in range(c.n_layer))
        self.rows_kept = [layer.vertical.rows_before for layer in self.layers[1:]]
        self.columns_kept = [layer.left.columns_before for layer in self.layers[1:]]
        self.head = head_of(c)
        if c.n_class:
            self.class_embedding = nn.Embedding(c.n_class + 1, c.n_layer * 4 * c.channels)
            nn.init.normal_(self.class_embedding.weight, std=0.02)

    def train(self, mode: bool = True) -> GatedPixelCNN:
        """Set the mode as usual, and have the weights packed again before the next step."""
        forget(self)
        return super().train(mode)

    def class_biases(self, labels: Tensor | None) -> Tensor | None:
        """Return what the classes (B,) add to each layer's stacks (n_layer, B, 2, 2 C)."""
        if labels is None:
            return None
        table = F.embedding(labels, self.class_embedding.weight)
        return table.view(len(labels), self.config.n_layer, 2, -1).transpose(0, 1)

    def hidden(self, values: Tensor, labels: Tensor | None) -> Tensor:
        biases = self.class_biases(labels)
        v = h = channels_first(values)
        for i, layer in enumerate(self.layers):
            v, h = layer.over(v, h, None if biases is None else biases[i])
        return h.permute(0, 2, 3, 1)

    def level_logits(self, hidden: Tensor) -> Tensor:
        return self.head.over(hidden) if hidden.ndim == 4 else self.head(hidden)

    # above: what the row's pixels take from the vertical stack (B, n_layer, W, 2 C); then the rows
    # (B, n, W, C) that the next row will look at, those of every layer but the first.
    # current: for the same layers the last pixels (B, n, C) of the horizontal stack.

    def start_row(self, values: Tensor, state: RasterState):
        c, B = self.config, len(values)
        biases = self.class_biases(state.labels)
        if state.above:
            memory = state.above[1]
        else:
            memory = values.new_zeros(B, sum(self.rows_kept), c.width, c.channels)
        before = [values, *memory.split(self.rows_kept, dim=1)]
        links, kept, v = [], [], None
        for i, layer in enumerate(self.layers):
            rows = values if v is None else torch.cat((before[i], v[:, None]), dim=1)
            if v is not None:
                kept.append(rows[:, 1:])
            seen = layer.vertical.rowwise(rows)  # (B, W, 2 C)
            if biases is not None:
                seen = seen + biases[i, :, :1]
            link = linear(seen, layer.link.weight, layer.link.bias)
            links.append(link if biases is None else link + biases[i, :, 1:])
            v = gate(seen) if v is None else v + gate(seen)
        kept = torch.cat(kept, dim=1) if kept else memory
        queue = values.new_zeros(B, sum(self.columns_kept), c.channels)
        return (torch.stack(links, dim=1), kept), (queue,)

    def read_pixels(self, values: Tensor, state: RasterState, first: int, finished: int):
        links = state.above[0][:, :, first : first + values.shape[1] - self.reach]
        before, queues, h = state.current[0].split(self.columns_kept, dim=1), [], None
        for i, layer in enumerate(self.layers):
            row = values if h is None else torch.cat((before[i - 1], h), dim=1)
            if h is not None:
                queues.append(row[:, finished : finished + before[i - 1].shape[1]])
            new = layer.project.rowwise(gate(links[:, i] + layer.left.rowwise(row)))
            h = new if h is None else h + new
        return h, (torch.cat(queues, dim=1) if queues else state.current[0],)

    @torch.inference_mode()
    def step(self, tokens: Tensor, state: RasterState) -> tuple[Tensor, RasterState]:
        """Read tokens (B, N); return the logits (B, V) of what follows, and the new State.

        Raises:
            ContextFullError: the picture has no room for N more tokens.
        """
        if (plan := stepping.plan_for(self)) is not None:
            logits, state = stepping.read_chunk(self, plan, tokens, state, wanted=1)
            return logits[:, 0], state
        return super().step(tokens, state)

    @torch.inference_mode()
    def step_every(self, tokens: Tensor, state: RasterState) -> tuple[Tensor, RasterState]:
        """Read tokens (B, N); return the logits (B, N, V) after each of them, and the new State."""
        if (plan := stepping.plan_for(self)) is not None:
            return stepping.read_chunk(self, plan, tokens, state, wanted=tokens.shape[1])
        return super().step_every(tokens, state)

    def receptive_field(self, row: int, column: int) -> np.ndarray:
        """Return which pixels (H, W) can have a say in the one at (row, column), itself aside."""
        here = np.zeros((self.config.height, self.config.width), bool)
        here[row, column] = True
        own, rows = here, np.zeros_like(here)  # pixels of each stack that matter
        for layer in reversed(self.layers):
            rows = rows | own  # the link
            above, left = seen_above(layer.vertical, rows), seen_left(layer.left, own)
            if layer.is_first:
                return above | left
            own, rows = own | left, rows | above
        raise AssertionError("a stack has a first layer")
