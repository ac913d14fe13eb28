"""Super-resolution: a large picture drawn pixel by pixel, told what it looks like from afar.

p(x | c) = prod_k p(x_k | x_<k, c), where the logits of x_k are the sum of two: those of a prior
network, a Gated PixelCNN that reads the large pixels before it, and those of a conditioning
network, a residual network that enlarges the small picture c and never sees a large pixel (Dahl,
Norouzi & Shlens 2017, arXiv:1702.00783). Many large pictures have the same small one, so
samples differ where c does not settle what is there.

The sum alone trains badly: the pixels before tell the prior almost everything, and the gradient
hardly asks for c. So the cross-entropy of the conditioning network alone is added to that of the
sum.

Deviations: the conditioning network upsamples by sub-pixel convolutions (Shi et al. 2016,
arXiv:1609.05158), not transposed ones; a share of the pictures is drawn without being told c, so
that the prior alone is a model too and can be guided away from (Ho & Salimans 2022,
arXiv:2207.12598).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from playground.errors import ConfigError, check_range, check_whole
from playground.models.masked_conv import channels_first
from playground.models.pixelcnn import GatedPixelCNN, GatedPixelCNNConfig, Head, check_stack
from playground.models.raster import RasterState, check_picture, with_start

FACTORS = (2, 4, 8)


@dataclass(frozen=True)
class SuperResolutionConfig:
    height: int  # of the large picture, as are all but `factor` and what follows it
    width: int
    colors: int = 1
    levels: int = 256
    channels: int = 36
    n_layer: int = 6
    kernel_size: int = 3
    first_kernel_size: int = 7
    dilation_cycle: int = 1
    dropout: float = 0.0
    factor: int = 4  # how many times the small picture is enlarged, each way
    conditioner_channels: int = 48
    n_block: int = 2  # residual blocks of the conditioner at each size on the way up
    n_class: int = 0  # always: this family takes small pictures, no classes

    def __post_init__(self):
        check_picture(self)
        if self.n_class:
            raise ConfigError(f"n_class must be 0 for super-resolution, got {self.n_class}.")
        if self.factor not in FACTORS or isinstance(self.factor, bool):
            raise ConfigError(f"factor must be one of {FACTORS}, got {self.factor!r}.")
        if self.height % self.factor or self.width % self.factor:
            raise ConfigError(
                f"factor must divide both sides of a picture, got factor={self.factor} for "
                f"{self.width}x{self.height} pixels."
            )
        check_whole("conditioner_channels", self.conditioner_channels, 1, 2**10)
        check_whole("n_block", self.n_block, 0, 32)
        check_range("dropout", self.dropout, 0.0, 0.9)
        check_stack(self.prior, self.colors)

    @property
    def prior(self) -> GatedPixelCNNConfig:
        """The network that reads the large picture."""
        return GatedPixelCNNConfig(
            self.height, self.width, self.colors, self.levels, self.channels, self.n_layer,
            self.kernel_size, self.first_kernel_size, self.dilation_cycle, dropout=self.dropout,
        )  # fmt: skip

    @property
    def small_shape(self) -> tuple[int, int, int]:
        """Height, width and colours of the small picture."""
        return self.height // self.factor, self.width // self.factor, self.colors


def area_average(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Return pictures (..., H, W, colors) of bytes made `factor` times smaller: each byte the
    mean of a square of them, rounded. Such are the small pictures that a model is told.

    Raises:
        ConfigError: `factor` does not divide both sides.
    """
    *count, height, width, colors = pixels.shape
    if height % factor or width % factor:
        raise ConfigError(f"A picture of {width}x{height} pixels cannot be {factor} times smaller.")
    squares = pixels.reshape(*count, height // factor, factor, width // factor, factor, colors)
    return (squares.mean(axis=(-4, -2), dtype=np.float32) + 0.5).astype(np.uint8)


def small_pictures(condition, batch_size: int, config: SuperResolutionConfig, device) -> Tensor:
    """Return the small pictures (n, h, w, colors) of a condition, n = 1 for all rows or B.

    Raises:
        ConfigError: it is none of bytes in the shape that this model enlarges.
    """
    h, w, colors = config.small_shape
    rule = (
        f"This model enlarges pictures of {w}x{h} pixels and {colors} colour(s), whole numbers "
        f"from 0 to 255 in an array ({h}, {w}, {colors}), or one such for each of {batch_size} rows"
    )
    try:
        small = torch.as_tensor(condition, device=device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{rule}; got {type(condition).__name__} ({error}).") from error
    if small.is_floating_point() or small.is_complex() or small.dtype == torch.bool:
        raise ConfigError(f"{rule}; got {small.dtype}.")
    small = small.long()  # wider unsigned numbers have no minimum
    shape = tuple(small.shape)
    small = small[None] if small.ndim == 3 else small
    if small.shape[1:] != config.small_shape or len(small) not in (1, batch_size):
        raise ConfigError(f"{rule}; got an array {shape}. Average the picture down first.")
    if small.numel() and not 0 <= int(small.min()) <= int(small.max()) <= 255:
        raise ConfigError(f"{rule}; got {int(small.min())} to {int(small.max())}.")
    return small


class Around(nn.Linear):
    """A 3x3 convolution that sees all around, its weight a matrix as those of `masked_conv`."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__(9 * n_in, n_out)

    def over(self, x: Tensor) -> Tensor:
        """Map x (B, n_in, H, W) to (B, n_out, H, W)."""
        return F.conv2d(x, self.weight.view(len(self.weight), -1, 3, 3), self.bias, padding=1)


class ResidualBlock(nn.Module):
    """Two convolutions beside the stream (He et al. 2016, arXiv:1603.05027, without norms)."""

    def __init__(self, channels: int):
        super().__init__()
        self.first, self.second = Around(channels, channels), Around(channels, channels)
        nn.init.zeros_(self.second.weight)  # begins as the identity

    def over(self, x: Tensor) -> Tensor:
        return x + self.second.over(self.first.over(x.relu()).relu())


class Conditioner(nn.Module):
    """From a small picture to logits of every value of the large one, all at once."""

    def __init__(self, config: SuperResolutionConfig):
        super().__init__()
        c, channels = config, config.conditioner_channels
        doublings = FACTORS.index(c.factor) + 1
        self.shape = (c.colors, c.levels)
        self.entry = Around(c.colors, channels)
        self.stages = nn.ModuleList(
            nn.ModuleList(ResidualBlock(channels) for _ in range(c.n_block))
            for _ in range(doublings + 1)
        )
        self.grow = nn.ModuleList(Around(channels, 4 * channels) for _ in range(doublings))
        self.head = Head(channels, 1, c.colors * c.levels)  # one group: no colour comes first here

    def forward(self, small: Tensor) -> Tensor:
        """Map small pictures (B, h, w, colors) of bytes to logits (B, H, W, colors, levels)."""
        x = self.entry.over(channels_first(small.float() / 127.5 - 1))
        for i, blocks in enumerate(self.stages):
            if i:
                x = F.pixel_shuffle(self.grow[i - 1].over(x), 2)
            for block in blocks:
                x = block.over(x)
        return self.head.over(x.permute(0, 2, 3, 1)).squeeze(3).unflatten(-1, self.shape)


@dataclass(frozen=True, eq=False)
class SuperResolutionState:
    """B prefixes of large pictures, and what their small pictures say; never written to."""

    prior: RasterState
    said: Tensor | None = None  # (n, T, levels), the conditioner's logits of n small pictures
    told: Tensor | None = None  # (B,), which of them each row was told

    @property
    def length(self) -> int:
        return self.prior.length

    def select(self, rows: Tensor) -> SuperResolutionState:
        """Return the State whose row i is this one's `rows[i]`."""
        told = None if self.told is None else self.told.index_select(0, rows)
        return SuperResolutionState(self.prior.select(rows), self.said, told)


class SuperResolution(nn.Module):
    """A prior over large pictures and a conditioner on small ones, their logits summed.

    A condition is a small picture (h, w, colors) of bytes as an integer tensor, or one for each row
    (B, h, w, colors); None is the prior alone.
    """

    def __init__(self, config: SuperResolutionConfig):
        super().__init__()
        self.config = config
        self.prior = GatedPixelCNN(config.prior)
        self.conditioner = Conditioner(config)
        self.vocab_size = self.prior.vocab_size
        self.context_length = self.prior.context_length
        self.n_features = self.prior.n_features

    def after_load(self) -> None:
        """Make what a checkpoint leaves out because the config alone determines it."""
        self.prior.after_load()

    def values(self, tokens: Tensor) -> Tensor:
        """Map tokens (..., W * colors) to the features (..., W, D) of each pixel."""
        return self.prior.values(tokens)

    def picture_logits(self, values: Tensor, condition=None) -> Tensor:
        """Map values (B, H, W, D) to logits (B, H, W, colors, levels), H whole rows or fewer."""
        logits = self.prior.picture_logits(values)
        if condition is None:
            return logits
        small = small_pictures(condition, len(values), self.config, values.device)
        return logits + self.conditioner(small)[:, : values.shape[1]]

    def forward(self, tokens: Tensor, condition=None) -> Tensor:
        """Map tokens (B, T) to logits (B, T, V); row i scores token i + 1.

        Raises:
            ContextFullError: T is more than the tokens of a picture.
            ConfigError: the condition is no small picture.
        """
        return self.forward_embedded(self.embed(tokens), condition)

    def embed(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, T) to their features (B, T, K)."""
        return self.prior.embed(tokens)

    def forward_embedded(self, embedded: Tensor, condition=None) -> Tensor:
        """Map features (B, T, K) of tokens to logits (B, T, V); row i scores token i + 1."""
        logits = self.prior.forward_embedded(embedded)
        if condition is None:
            return logits
        small = small_pictures(condition, len(embedded), self.config, embedded.device)
        said = self.conditioner(small).flatten(1, 3)
        return with_start(logits[..., :-1] + said[:, : embedded.shape[1]])

    def nats(self, tokens: Tensor, condition=None) -> Tensor:
        """Return -log p (B, T) of every value of whole pictures (B, T), as `forward` has it."""
        return surprisal(self._picture_logits_of(tokens, condition), tokens)

    def losses(self, tokens: Tensor, small: Tensor, is_told: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean surprisal in nats of pictures (B, T) under the sum, and the conditioner.

        Their sum is to be minimised. Rows where `is_told` (B,) is false
        are judged by the prior alone.
        """
        said = self.conditioner(small).float()
        logits = self._picture_logits_of(tokens).float()
        logits = logits + said * is_told.view(-1, 1, 1, 1, 1)
        return surprisal(logits, tokens).mean(), surprisal(said, tokens).mean()

    def _picture_logits_of(self, tokens: Tensor, condition=None) -> Tensor:
        c = self.config
        pictures = tokens.view(len(tokens), c.height, c.width * c.colors)
        return self.picture_logits(self.values(pictures), condition)

    @torch.inference_mode()
    def initial_state(self, batch_size: int, condition=None) -> SuperResolutionState:
        """Return the State of `batch_size` empty prefixes; the conditioner is asked here, once.

        Raises:
            ConfigError: the condition is no small picture.
        """
        prior = self.prior.initial_state(batch_size)
        if condition is None:
            return SuperResolutionState(prior)
        device = prior.tokens.device
        small = small_pictures(condition, batch_size, self.config, device)
        # Each alone: convolutions of more pictures may sum in another order.
        said = torch.cat([self.conditioner(one).flatten(1, 3) for one in small.split(1)])
        told = torch.arange(batch_size, device=device) % len(small)
        return SuperResolutionState(prior, said, told)

    @torch.inference_mode()
    def step(
        self, tokens: Tensor, state: SuperResolutionState
    ) -> tuple[Tensor, SuperResolutionState]:
        """Read tokens (B, N); return the logits (B, V) of what follows, and the new State.

        Raises:
            ContextFullError: the picture has no room for N more tokens.
        """
        logits, prior = self.prior.step(tokens, state.prior)
        if state.said is not None:
            logits = with_start(logits[:, :-1] + state.said[state.told, prior.length - 1])
        return logits, SuperResolutionState(prior, state.said, state.told)

    @torch.inference_mode()
    def step_every(
        self, tokens: Tensor, state: SuperResolutionState
    ) -> tuple[Tensor, SuperResolutionState]:
        """Read tokens (B, N); return the logits (B, N, V) after each of them, and the new State."""
        logits, prior = self.prior.step_every(tokens, state.prior)
        if state.said is not None:
            said = state.said[state.told, state.length : prior.length]
            logits = with_start(logits[..., :-1] + said)
        return logits, SuperResolutionState(prior, state.said, state.told)

    def receptive_field(self, row: int, column: int) -> np.ndarray:
        """Return which large pixels (H, W) can have a say in the one at (row, column)."""
        return self.prior.receptive_field(row, column)


def surprisal(logits: Tensor, tokens: Tensor) -> Tensor:
    """Map logits (B, H, W, colors, levels) to -log p (B, T) of tokens (B, T), T = H W colors."""
    return F.cross_entropy(logits.float().flatten(1, 3).transpose(1, 2), tokens, reduction="none")
