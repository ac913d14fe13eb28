"""What models that draw pixels row by row share: from tokens to values and back, and the State.

p(x) = prod_k p(x_k | x_<k), k counting pixels row by row and the colours of a pixel in turn. A
family computes all of it at once (`picture_logits`), or in the two ways a drawing hand moves:
`start_row`, once a row, whatever the row takes from finished rows above it; `read_pixels`, once a
pixel, what is left to do. So a step costs the same wherever in the picture it is (Ramachandran et
al. 2017, arXiv:1704.06001, do so for PixelCNN++).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from playground.errors import ConfigError, ContextFullError, check_whole
from playground.models.base import check_room

FEATURES = 8  # at most, of one value; few levels need no more than there are of them
BELOW = 20.0  # nats between the least likely level and BOS, which is never drawn


def check_picture(config) -> None:
    """Check the fields that say what a model draws: its height, width, colors, levels, n_class."""
    check_whole("height", config.height, 1, 512)
    check_whole("width", config.width, 1, 512)
    check_whole("levels", config.levels, 2, 256)
    check_whole("n_class", config.n_class, 0, 2**12)
    if config.colors not in (1, 3) or isinstance(config.colors, bool):
        raise ConfigError(f"colors must be 1 (grey) or 3 (RGB), got {config.colors!r}.")
    if config.height * config.width * config.colors > 2**16:
        raise ConfigError(
            f"A picture must be at most {2**16} tokens long, got height={config.height}, "
            f"width={config.width}, colors={config.colors}."
        )


def features_per_value(levels: int) -> int:
    return min(levels, FEATURES)


def value_features(levels: int) -> Tensor:
    """Return features (levels + 1, K) of every token: cosines of its level; BOS is all zeros.

    The first is constant, so that a pixel that is there differs from one that is not. With K =
    levels they span what one-hot codes do; with more levels neighbours look alike.
    """
    k = torch.arange(features_per_value(levels))
    level = (torch.arange(levels)[:, None] + 0.5) / levels
    return torch.cat((torch.cos(math.pi * k * level), torch.zeros(1, len(k))))


def with_start(logits: Tensor) -> Tensor:
    """Append BOS to logits (..., levels): far below the least likely level, yet finite."""
    return torch.cat((logits, logits.detach().amin(-1, keepdim=True) - BELOW), dim=-1)


def labels_of(condition, batch_size: int, n_class: int, device) -> Tensor | None:
    """Return the class (B,) of each row; `n_class` itself stands for no class in particular.

    Raises:
        ConfigError: the model knows no such class.
    """
    if n_class == 0:
        if condition is not None:
            raise ConfigError(f"This model knows no classes, got {condition!r}. Leave it out.")
        return None
    try:
        labels = torch.as_tensor(n_class if condition is None else condition, device=device).long()
    except (TypeError, ValueError, RuntimeError) as error:  # a text, say, from a file of somebody's
        raise ConfigError(
            f"This model is told a class from 0 to {n_class - 1}, got {str(condition)[:60]!r}. "
            "Choose one of its classes, or none."
        ) from error
    if labels.ndim > 1 or labels.numel() not in (1, batch_size):
        raise ConfigError(f"Give one class, or one for each of {batch_size} rows.")
    if bool((labels < 0).any() or (labels > n_class).any()):
        raise ConfigError(
            f"A class must be from 0 to {n_class - 1} ({n_class} for none), got "
            f"{labels.flatten().tolist()[:5]}."
        )
    return labels.expand(batch_size)


@dataclass(frozen=True, eq=False)
class RasterState:
    """B prefixes of a picture, and what the next pixels need of them; never written to."""

    tokens: Tensor  # (B, length), BOS first
    above: tuple[Tensor, ...]  # made when the row began; batch first, as are all of them
    current: tuple[Tensor, ...]  # left behind by the finished pixels of the row
    labels: Tensor | None  # (B,)

    @property
    def length(self) -> int:
        return self.tokens.shape[1]

    def select(self, rows: Tensor) -> RasterState:
        """Return the State whose row i is this one's `rows[i]`."""
        return RasterState(
            self.tokens.index_select(0, rows),
            tuple(tensor.index_select(0, rows) for tensor in self.above),
            tuple(tensor.index_select(0, rows) for tensor in self.current),
            None if self.labels is None else self.labels.index_select(0, rows),
        )


class Raster(nn.Module):
    """Base of the families that draw pixel by pixel; see the four methods that each supplies."""

    reach = 0  # pixels to the left that `read_pixels` looks at
    rows_above = 0  # rows of values that `start_row` looks at

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.vocab_size = config.levels + 1
        self.context_length = config.height * config.width * config.colors  # BOS, all but the last
        self.n_features = config.colors * features_per_value(config.levels)
        self.register_buffer("features", value_features(config.levels), persistent=False)

    def after_load(self) -> None:
        """Make what a checkpoint leaves out because the config alone determines it."""
        self.features = value_features(self.config.levels)
        for module in self.modules():
            if module is not self and hasattr(module, "after_load"):
                module.after_load()

    # What a family supplies. Values are (..., D), D features a pixel; hidden (..., F).

    def hidden(self, values: Tensor, labels: Tensor | None) -> Tensor:
        """Map values (B, H, W, D) to hidden (B, H, W, F), all pixels at once."""
        raise NotImplementedError

    def start_row(
        self, values: Tensor, state: RasterState
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return `above` and an empty `current` for the row that follows the finished rows.

        `values` (B, rows_above, W, D) are those of the rows before; the State is that of the end
        of the row before, or of nothing at all.
        """
        raise NotImplementedError

    def read_pixels(
        self, values: Tensor, state: RasterState, first: int, finished: int
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return hidden (B, n, F) of n pixels from column `first` on, and the new `current`.

        `values` (B, reach + n, D) begin left of them. Only `finished` of the pixels enter
        `current`: the last one is not, as long as some of its colours are still unknown.
        """
        raise NotImplementedError

    def level_logits(self, hidden: Tensor) -> Tensor:
        """Map hidden (..., F) to logits (..., colors, levels)."""
        raise NotImplementedError

    # What all of them do.

    def picture_logits(self, values: Tensor, condition=None) -> Tensor:
        """Map values (B, H, W, D) to logits (B, H, W, colors, levels)."""
        labels = labels_of(condition, len(values), self.config.n_class, values.device)
        return self.level_logits(self.hidden(values, labels))

    def values(self, tokens: Tensor) -> Tensor:
        """Map tokens (..., W * colors) to the features (..., W, D) of each pixel."""
        features = F.embedding(tokens, self.features)
        return features.unflatten(-2, (-1, self.config.colors)).flatten(-2)

    def forward(self, tokens: Tensor, condition=None) -> Tensor:
        """Map tokens (B, T) to logits (B, T, V); row i scores token i + 1.

        Raises:
            ContextFullError: T is more than the tokens of a picture.
        """
        return self.forward_embedded(self.embed(tokens), condition)

    def embed(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, T) to their features (B, T, K); those of BOS are all zeros."""
        return F.embedding(tokens, self.features)

    def forward_embedded(self, embedded: Tensor, condition=None) -> Tensor:
        """Map features (B, T, K) of tokens to logits (B, T, V); row i scores token i + 1."""
        B, T, K = embedded.shape
        if T > self.context_length:
            raise ContextFullError(
                f"The picture is full: it has {self.context_length} values, and row {T} of the "
                "logits was asked for. Begin a new picture."
            )
        c = self.config
        per_row = c.width * c.colors
        rows = -(-T // per_row)
        pixels = F.pad(embedded[:, 1:], (0, 0, 0, rows * per_row - T + 1))  # unknown is zero
        values = pixels.reshape(B, rows, c.width, c.colors * K)
        return with_start(self.picture_logits(values, condition).flatten(1, 3)[:, :T])

    def nats(self, tokens: Tensor, condition=None) -> Tensor:
        """Return -log p (B, T) of every value of whole pictures (B, T), as `forward` has it.

        It is what training needs; a mixture need not be spread over all levels for it.
        """
        c = self.config
        labels = labels_of(condition, len(tokens), c.n_class, tokens.device)
        pictures = tokens.view(len(tokens), c.height, c.width * c.colors)
        hidden = self.hidden(self.values(pictures), labels)
        return self.head.nats(hidden, pictures.unflatten(-1, (c.width, c.colors))).flatten(1)

    def initial_state(self, batch_size: int, condition=None) -> RasterState:
        """Return the State of `batch_size` empty prefixes, with one class each or one for all."""
        device = self.features.device
        labels = labels_of(condition, batch_size, self.config.n_class, device)
        tokens = torch.empty(batch_size, 0, dtype=torch.int64, device=device)
        return RasterState(tokens, (), (), labels)

    @torch.inference_mode()
    def step(self, tokens: Tensor, state: RasterState) -> tuple[Tensor, RasterState]:
        """Read tokens (B, N); return the logits (B, V) of what follows, and the new State.

        Raises:
            ContextFullError: the picture has no room for N more tokens.
        """
        logits, state = self._read(tokens, state)
        return with_start(logits[-1][:, -1]), state

    @torch.inference_mode()
    def step_every(self, tokens: Tensor, state: RasterState) -> tuple[Tensor, RasterState]:
        """Read tokens (B, N); return the logits (B, N, V) after each of them, and the new State."""
        logits, state = self._read(tokens, state)
        return with_start(torch.cat(logits, dim=1)), state

    def _read(self, tokens: Tensor, state: RasterState) -> tuple[Sequence[Tensor], RasterState]:
        """Return the logits (B, n, levels) of each part of the chunk, and the new State."""
        check_room(self, state, tokens.shape[1])
        part = self.config.colors * self._pixels_at_once(tokens.device.type)
        at, end, found = state.length, state.length + tokens.shape[1], []
        known = torch.cat((state.tokens, tokens), dim=1)
        while at < end:
            stop = min(end, (at // part + 1) * part)
            logits, state = self._read_in_row(known[:, :stop], at, state)
            found.append(logits)
            at = stop
        return found, state

    def _pixels_at_once(self, device_type: str) -> int:
        """One on a CPU, where a chunk shall have the bits of single steps; elsewhere a row."""
        return 1 if device_type == "cpu" else self.config.width

    def _read_in_row(self, known: Tensor, at: int, state: RasterState):
        """Make the logits number `at` to the end of known (B, end), all of one row."""
        c, end = self.config, known.shape[1]
        per_row = c.width * c.colors
        row, place = divmod(at, per_row)
        begin = row * per_row  # of the row, counting values; value i is token i + 1
        if place == 0:
            above, current = self.start_row(self._rows_before(known, row), state)
            state = RasterState(state.tokens, above, current, state.labels)
        first, last = place // c.colors, (end - 1 - begin) // c.colors
        left = min(self.reach, first)
        values = self._window(known, begin + (first - left) * c.colors, end)
        values = F.pad(values, (0, 0, self.reach - left, 0))
        finished = last - first + (end % c.colors == 0)
        hidden, current = self.read_pixels(values, state, first, finished)
        logits = self.level_logits(hidden).flatten(1, 2)  # (B, n * colors, levels)
        start = place - first * c.colors
        logits = logits[:, start : start + end - at]
        return logits, RasterState(known, state.above, current, state.labels)

    def _window(self, known: Tensor, start: int, stop: int) -> Tensor:
        """Return the features (B, n, D) of values start..stop, what is not known being zero."""
        tokens = known[:, start + 1 : stop + 1]
        lacking = -(stop - start) % self.config.colors + (stop - start - tokens.shape[1])
        return self.values(F.pad(tokens, (0, lacking), value=self.config.levels))

    def _rows_before(self, known: Tensor, row: int) -> Tensor:
        """Return the values (B, rows_above, W, D) before a row: zeros outside the picture."""
        present, width = min(self.rows_above, row), self.config.width
        if present == 0:
            shape = (len(known), self.rows_above, width, self.n_features)
            return self.features.new_zeros(shape)
        per_row = width * self.config.colors
        values = self._window(known, (row - present) * per_row, row * per_row)
        values = values.unflatten(1, (present, width))
        return F.pad(values, (0, 0, 0, 0, self.rows_above - present, 0))
