"""PixelRNN: pictures drawn pixel by pixel, the past carried along by LSTM cells.

p(x) = prod_k p(x_k | x_<k) in raster order, the colours of a pixel in turn (van den Oord et al.
2016a, arXiv:1601.06759).

`RowLSTM` goes down the picture: the cells of a row take the state of the row above through a 1-D
convolution, and their own row through a masked one, all columns at once. It sees a triangle.
`DiagonalBiLSTM` sees everything: one LSTM goes right and down, each pixel after its left and upper
neighbours; another left and down, and is read a row later, lest it tell what comes.

Steps do not draw the picture anew. A row begins with what its cells take from above; each pixel
then costs one cell a layer. The leftward LSTM reads a row when it is finished.

Deviations: values enter as cosine features; residual connections are plain sums, so layers keep
one width (the paper upsamples by a 1x1 convolution); the leftward LSTM is told the pixel itself,
without which nothing would see the last pixel of the row above.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from playground.errors import ConfigError, check_whole
from playground.models.masked_conv import Above, Left, Pointwise, channels_first, linear
from playground.models.pixelcnn import Head
from playground.models.raster import Raster, RasterState, check_picture, features_per_value
from playground.models.rnn import logistic


@dataclass(frozen=True)
class RowLSTMConfig:
    height: int
    width: int
    colors: int = 1
    levels: int = 256
    channels: int = 64
    n_layer: int = 4
    kernel_size: int = 3  # of both convolutions of a layer
    first_kernel_size: int = 7
    n_class: int = 0  # always: this family takes no classes

    def __post_init__(self):
        check_picture(self)
        check_layers(self)


@dataclass(frozen=True)
class DiagonalBiLSTMConfig:
    height: int
    width: int
    colors: int = 1
    levels: int = 256
    channels: int = 48
    n_layer: int = 3
    first_kernel_size: int = 7
    n_class: int = 0  # always: this family takes no classes

    def __post_init__(self):
        check_picture(self)
        check_layers(self)


def check_layers(config) -> None:
    """Check the sizes that both families have."""
    check_whole("channels", config.channels, 1, 2**12)
    check_whole("n_layer", config.n_layer, 1, 32)
    for name in ("kernel_size", "first_kernel_size"):
        if hasattr(config, name) and check_whole(name, getattr(config, name), 3, 15) % 2 == 0:
            raise ConfigError(f"{name} must be odd, got {getattr(config, name)}.")
    if config.channels % config.colors:
        raise ConfigError(f"channels must be a multiple of {config.colors}, got {config.channels}.")
    if config.n_class:
        raise ConfigError(f"n_class must be 0 for a PixelRNN, got {config.n_class}.")


def cell(gates: Tensor, c: Tensor, dim: int = -1) -> tuple[Tensor, Tensor]:
    """Return h and c after gates in the order output, forget, input, content."""
    o, f, i, g = gates.chunk(4, dim)
    c = logistic(f) * c + logistic(i) * g.tanh()
    return logistic(o) * c.tanh(), c


def open_forget_gates(bias: Tensor) -> None:
    """Set the biases (4 C,) of the forget gates to 1 (Jozefowicz et al. 2015)."""
    C = len(bias) // 4
    nn.init.zeros_(bias)
    nn.init.ones_(bias[C : 2 * C])


class Entry(nn.Module):
    """The first layer: a masked convolution of type A, in its two parts."""

    def __init__(self, config):
        super().__init__()
        c, D = config, config.colors * features_per_value(config.levels)
        self.above = Above(D, c.channels, c.first_kernel_size)
        self.left = Left(D, c.channels, c.first_kernel_size, kind="A", colors=c.colors)

    def over(self, values: Tensor) -> Tensor:
        """Map values (B, H, W, D) to (B, C, H, W)."""
        x = channels_first(values)
        return self.above.over(x) + self.left.over(x)


class RowLayer(nn.Module):
    """Cells of a row: their own row through a masked convolution, the row above through another."""

    def __init__(self, config: RowLSTMConfig):
        super().__init__()
        c, C = config, config.channels
        self.left = Left(C, 4 * C, c.kernel_size, colors=c.colors, halves=4)
        self.above = RowAbove(C, c.kernel_size)

    def over(self, x: Tensor) -> Tensor:
        """Map x (B, C, H, W) to h, row by row down."""
        own = self.left.over(x)  # (B, 4 C, H, W)
        h = c = x.new_zeros(x.shape[0], x.shape[1], x.shape[3])
        rows = []
        for row in own.unbind(2):
            h, c = cell(row + self.above.over(h), c, dim=1)
            rows.append(h)
        return x + torch.stack(rows, dim=2)


class RowAbove(nn.Linear):
    """A 1-D convolution over the row above, unmasked, for all of it is known."""

    def __init__(self, channels: int, kernel_size: int):
        super().__init__(kernel_size * channels, 4 * channels)
        self.kernel_size = kernel_size
        open_forget_gates(self.bias.data)

    def over(self, h: Tensor) -> Tensor:
        """Map h (B, C, W) to (B, 4 C, W)."""
        weight = self.weight.view(len(self.weight), self.kernel_size, -1).transpose(1, 2)
        return F.conv1d(h, weight, self.bias, padding=self.kernel_size // 2)

    def rowwise(self, h: Tensor) -> Tensor:
        """Map h (B, W, C) to (B, W, 4 C)."""
        side = self.kernel_size // 2
        x = F.pad(h, (0, 0, side, side)).unfold(1, self.kernel_size, 1)  # (B, W, C, kernel)
        return linear(x.transpose(2, 3).flatten(2), self.weight, self.bias)


class RowLSTM(Raster):
    """A masked convolution, layers of row-wise cells, and a head."""

    def __init__(self, config: RowLSTMConfig):
        super().__init__(config)
        self.reach = self.rows_above = config.first_kernel_size // 2
        self.entry = Entry(config)
        self.layers = nn.ModuleList(RowLayer(config) for _ in range(config.n_layer))
        self.head = Head(config.channels, config.colors, config.levels)

    def hidden(self, values: Tensor, labels: Tensor | None) -> Tensor:
        x = self.entry.over(values)
        for layer in self.layers:
            x = layer.over(x)
        return x.permute(0, 2, 3, 1)

    def level_logits(self, hidden: Tensor) -> Tensor:
        return self.head.over(hidden) if hidden.ndim == 4 else self.head(hidden)

    # above: the entry's part (B, W, C); gates from the row above (B, n_layer, W, 4 C); its cells
    # (B, n_layer, W, C).
    # current: input, h and c of each layer at the row's finished pixels (B, n, n_layer * 3 C).

    def start_row(self, values: Tensor, state: RasterState):
        c, B, C = self.config, len(values), self.config.channels
        if state.current:
            _, h, cells = state.current[0].unflatten(-1, (c.n_layer, 3, C)).unbind(3)
            h, cells = h.transpose(1, 2), cells.transpose(1, 2)  # (B, n_layer, W, C)
        else:
            h = cells = values.new_zeros(B, c.n_layer, c.width, C)
        gates = [layer.above.rowwise(h[:, i]) for i, layer in enumerate(self.layers)]
        above = (self.entry.above.rowwise(values), torch.stack(gates, dim=1), cells)
        return above, (values.new_zeros(B, 0, c.n_layer * 3 * C),)

    def read_pixels(self, values: Tensor, state: RasterState, first: int, finished: int):
        (entry, gates, cells), q, C = (
            state.above,
            self.config.kernel_size // 2,
            self.config.channels,
        )
        place = slice(first, first + values.shape[1] - self.reach)
        x = entry[:, place] + self.entry.left.rowwise(values)
        past = F.pad(state.current[0][:, max(0, first - q) : first], (0, 0, max(0, q - first), 0))
        left, new = past.split(C, dim=-1)[::3], []  # each layer's input
        for i, layer in enumerate(self.layers):
            own = layer.left.rowwise(torch.cat((left[i], x), dim=1))
            h, c = cell(own + gates[:, i, place], cells[:, i, place])
            new += [x, h, c]
            x = x + h
        done = torch.cat(new, dim=-1)[:, :finished]
        return x, (torch.cat((state.current[0][:, :first], done), dim=1),)


def skew(x: Tensor) -> Tensor:
    """Shift row r of x (B, C, H, W) right by r: (B, C, H, W + H - 1), so diagonals are columns."""
    B, C, H, W = x.shape
    return F.pad(x, (0, H)).flatten(2)[:, :, : H * (W + H - 1)].view(B, C, H, W + H - 1)


def unskew(x: Tensor) -> Tensor:
    """Undo `skew`."""
    B, C, H, S = x.shape
    return F.pad(x.flatten(2), (0, H)).view(B, C, H, S + 1)[:, :, :, : S + 1 - H]


class Diagonal(nn.Module):
    """An LSTM that goes right and down: a pixel's state follows its left and upper neighbours'."""

    def __init__(self, channels: int, colors: int):
        super().__init__()
        self.own = Pointwise(channels, 4 * channels, colors, halves=4)
        self.recurrent = nn.Linear(2 * channels, 4 * channels, bias=False)  # left, upper
        open_forget_gates(self.own.bias.data)

    def over(self, x: Tensor) -> Tensor:
        """Map x (B, C, H, W) to h, a diagonal at a time."""
        own = skew(self.own.over(x))  # (B, 4 C, H, S)
        h = c = x.new_zeros(x.shape[:3])  # (B, C, H) of the diagonal before
        columns = []
        for column in own.unbind(3):
            upper = F.pad(h, (1, -1))
            gates = self.recurrent(torch.cat((h, upper), dim=1).transpose(1, 2))
            h, c = cell(column + gates.transpose(1, 2), c, dim=1)
            columns.append(h)
        return unskew(torch.stack(columns, dim=3))

    def pixel(self, x: Tensor, left: Tensor, upper: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Return h and c (B, 1, C) of one pixel x after its neighbours' h and its left one's c."""
        gates = self.own.rowwise(x) + linear(torch.cat((left, upper), dim=2), self.recurrent.weight)
        return cell(gates, c)


class DiagonalLayer(nn.Module):
    """Both directions, the leftward one read a row later, added to the stream."""

    def __init__(self, config: DiagonalBiLSTMConfig):
        super().__init__()
        self.right = Diagonal(config.channels, config.colors)
        self.left = Diagonal(config.channels, config.colors)

    def over(self, x: Tensor, itself: Tensor) -> Tensor:
        leftward = self.left.over((x + itself).flip(3)).flip(3)
        return x + self.right.over(x) + F.pad(leftward, (0, 0, 1, -1))

    def finished_row(self, x: Tensor, upper: Tensor) -> Tensor:
        """Return the leftward h (B, W, C) of a finished row x, after that of the row above it."""
        zero, found = torch.zeros_like(x[:, :1]), []
        h = c = zero
        for column in reversed(range(x.shape[1])):
            here = slice(column, column + 1)
            h, c = self.left.pixel(x[:, here], h, upper[:, here], c)
            found.append(h)
        return torch.cat(found[::-1], dim=1)


class DiagonalBiLSTM(Raster):
    """A masked convolution, layers of diagonal LSTMs in two directions, and a head."""

    def __init__(self, config: DiagonalBiLSTMConfig):
        super().__init__(config)
        self.reach = self.rows_above = config.first_kernel_size // 2
        self.entry = Entry(config)
        self.itself = nn.Linear(self.n_features, config.channels, bias=False)
        self.layers = nn.ModuleList(DiagonalLayer(config) for _ in range(config.n_layer))
        self.head = Head(config.channels, config.colors, config.levels)

    def hidden(self, values: Tensor, labels: Tensor | None) -> Tensor:
        x, itself = self.entry.over(values), channels_first(self.itself(values))
        for layer in self.layers:
            x = layer.over(x, itself)
        return x.permute(0, 2, 3, 1)

    def level_logits(self, hidden: Tensor) -> Tensor:
        return self.head.over(hidden) if hidden.ndim == 4 else self.head(hidden)

    # above: the entry's part (B, W, C); rightward h of the row above (B, n_layer, W, C), and
    # leftward h of the same.
    # current: input, h and c of each layer at the row's finished pixels (B, n, n_layer * 3 C).

    def start_row(self, values: Tensor, state: RasterState):
        c, B, C = self.config, len(values), self.config.channels
        zeros = values.new_zeros(B, c.n_layer, c.width, C)
        rightward = leftward = zeros
        if state.current:
            x, h, _ = state.current[0].unflatten(-1, (c.n_layer, 3, C)).unbind(3)
            x, rightward = x.transpose(1, 2), h.transpose(1, 2)  # (B, n_layer, W, C)
            itself = linear(values[:, -1], self.itself.weight)
            rows = [
                layer.finished_row(x[:, i] + itself, state.above[2][:, i])
                for i, layer in enumerate(self.layers)
            ]
            leftward = torch.stack(rows, dim=1)
        above = (self.entry.above.rowwise(values), rightward, leftward)
        return above, (values.new_zeros(B, 0, c.n_layer * 3 * C),)

    def read_pixels(self, values: Tensor, state: RasterState, first: int, finished: int):
        entry, rightward, leftward = state.above
        n, C = values.shape[1] - self.reach, self.config.channels
        place = slice(first, first + n)
        x, new = entry[:, place] + self.entry.left.rowwise(values), []
        past = F.pad(state.current[0][:, max(0, first - 1) : first], (0, 0, max(0, 1 - first), 0))
        past = past.split(C, dim=-1)
        for i, layer in enumerate(self.layers):
            h, c = past[3 * i + 1], past[3 * i + 2]
            hs, cs = [], []
            for p in range(n):
                upper = rightward[:, i, first + p : first + p + 1]
                h, c = layer.right.pixel(x[:, p : p + 1], h, upper, c)
                hs.append(h)
                cs.append(c)
            right = torch.cat(hs, dim=1)
            new += [x, right, torch.cat(cs, dim=1)]
            x = x + right + leftward[:, i, place]
        done = torch.cat(new, dim=-1)[:, :finished]
        return x, (torch.cat((state.current[0][:, :first], done), dim=1),)
