"""Gated causal convolutions over tokens: each layer looks a few places back, and further each time.

Layer l mixes its input now and `dilation` places ago (and so on, `kernel_size` of them) and lets a
second mix decide how much of the first passes: x + W (a * sigmoid(b)). All positions are computed
at once in training, as in a Transformer, and what it sees is bounded, as of an n-gram:
`receptive_field` tokens.

References: gates as in Dauphin et al. 2017, arXiv:1612.08083; dilation as in van den Oord et al.
2016, arXiv:1609.03499 and Kalchbrenner et al. 2016 (ByteNet), arXiv:1610.10099.
Deviations: a LayerNorm before every layer; the output matrix is the embedding's transpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from playground.errors import ConfigError, check_range, check_whole
from playground.models.append_only import AppendOnly
from playground.models.base import SHORT, one_by_one, rowwise_linear
from playground.models.rnn import logistic

FIRST_CAPACITY = 64  # tokens; doubled whenever it is used up
MAX_FIELD = 2**16  # tokens


@dataclass(frozen=True)
class CausalConvConfig:
    vocab_size: int
    channels: int = 128
    n_layer: int = 6
    kernel_size: int = 3
    dilation_cycle: int = 6  # layer l is dilated by 2^(l mod this)
    dropout: float = 0.0

    def __post_init__(self):
        check_whole("vocab_size", self.vocab_size, 1, 2**20)
        check_whole("channels", self.channels, 1, 2**12)
        check_whole("n_layer", self.n_layer, 1, 128)
        check_whole("kernel_size", self.kernel_size, 2, 16)
        check_whole("dilation_cycle", self.dilation_cycle, 1, 14)
        check_range("dropout", self.dropout, 0.0, 0.9)
        if self.receptive_field > MAX_FIELD:
            raise ConfigError(
                f"The layers would look {self.receptive_field:,} tokens back, at most "
                f"{MAX_FIELD:,} are kept. Lower n_layer, kernel_size or dilation_cycle."
            )

    @property
    def dilations(self) -> tuple[int, ...]:
        return tuple(2 ** (layer % self.dilation_cycle) for layer in range(self.n_layer))

    @property
    def receptive_field(self) -> int:
        """Tokens that the logits depend on."""
        return 1 + (self.kernel_size - 1) * sum(self.dilations)


@dataclass(frozen=True, eq=False)  # readers of a buffer are told apart by identity
class LayerInputs:
    """State of B prefixes: what every layer was given so far, in memory that relatives share."""

    buffer: AppendOnly  # (n_layer, B, capacity, C)
    length: int

    @classmethod
    def reader(cls, memory: Tensor, length: int) -> LayerInputs:
        """Return a State of memory that nobody else has yet."""
        buffer = AppendOnly(memory, memory.shape[2])
        buffer.add(state := cls(buffer, length))
        return state

    def reserve(self, new_tokens: int) -> LayerInputs:
        """Return a State of `length + new_tokens` whose new places are the caller's to write."""
        end = self.length + new_tokens
        if self.buffer.claim(self.length, state := LayerInputs(self.buffer, end)):
            return state
        return self.reader(self._copy(self.buffer.memory[:, :, : self.length], end), end)

    def _copy(self, kept: Tensor, end: int) -> Tensor:
        capacity = self.buffer.capacity
        while capacity < end:
            capacity *= 2
        memory = kept.new_zeros(kept.shape[0], kept.shape[1], capacity, kept.shape[3])
        memory[:, :, : kept.shape[2]] = kept
        return memory

    def select(self, rows: Tensor) -> LayerInputs:
        """Return the State whose row i is this one's `rows[i]`."""
        kept = self.buffer.memory[:, :, : self.length].index_select(1, rows)
        return self.reader(self._copy(kept, self.length), self.length)

    def cut(self, length: int) -> LayerInputs:
        """Return the State of the first `length` tokens, which shares this one's memory.

        Raises:
            ValueError: this State is shorter.
        """
        if not 0 <= length <= self.length:
            raise ValueError(f"cut needs a length from 0 to {self.length}, got {length}")
        with self.buffer.lock:
            self.buffer.add(state := LayerInputs(self.buffer, length))
        return state


class Layer(nn.Module):
    """One gated convolution, added to what it is given."""

    def __init__(self, config: CausalConvConfig, dilation: int):
        super().__init__()
        C = config.channels
        self.dilation, self.kernel_size, self.dropout = dilation, config.kernel_size, config.dropout
        self.norm = nn.LayerNorm(C, bias=False)
        self.gates = nn.Linear(config.kernel_size * C, 2 * C)  # oldest place first
        self.project = nn.Linear(C, C, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map the stream (B, T, C) to itself, all positions at once."""
        return x + self.mix(self.norm(x), 0, F.linear)

    def mix(self, normed: Tensor, start: int, linear) -> Tensor:
        """Return what the layer adds at the places from `start` on, of all it was given (B, T, C).

        `linear` is `F.linear`, or `rowwise_linear`, which no row beside influences.
        """
        reach = (self.kernel_size - 1) * self.dilation
        short = max(0, reach - start)  # places before the first are 0
        padded = F.pad(normed[:, max(0, start - reach) :], (0, 0, short, 0))
        N = normed.shape[1] - start
        places = [
            padded[:, k * self.dilation : k * self.dilation + N] for k in range(self.kernel_size)
        ]
        both = linear(torch.cat(places, dim=-1), self.gates.weight, self.gates.bias)
        passed, gate = both.chunk(2, dim=-1)
        mixed = F.dropout(passed * logistic(gate), self.dropout, self.training)
        return linear(mixed, self.project.weight)


class CausalConv(nn.Module):
    """A stack of Layers between an embedding and its transpose."""

    context_length = None  # what is older than the receptive field is not looked at

    def __init__(self, config: CausalConvConfig):
        super().__init__()
        self.config = config
        self.vocab_size = config.vocab_size
        self.dilations, self.receptive_field = config.dilations, config.receptive_field
        self.embedding = nn.Embedding(config.vocab_size, config.channels)
        self.layers = nn.ModuleList(Layer(config, dilation) for dilation in self.dilations)
        self.norm = nn.LayerNorm(config.channels, bias=False)
        nn.init.normal_(self.embedding.weight, std=0.05)
        for layer in self.layers:  # the stream keeps its scale
            nn.init.normal_(layer.project.weight, std=0.02)

    def embed(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, T) to their embeddings (B, T, C)."""
        return self.embedding(tokens)

    def forward(self, tokens: Tensor, condition: Any = None) -> Tensor:
        """Map tokens (B, T) to logits (B, T, V); row i scores token i + 1."""
        return self.forward_embedded(self.embed(tokens))

    def forward_embedded(self, embedded: Tensor, condition: Any = None) -> Tensor:
        """Map embeddings (B, T, C) to logits (B, T, V); row i scores token i + 1."""
        return self.head(self._streams(embedded)[-1])

    def forward_layers(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, T) to the stream (n_layer + 1, B, T, C): embedding, then each layer."""
        return torch.stack(self._streams(self.embed(tokens)))

    def _streams(self, x: Tensor) -> list[Tensor]:
        streams = [x]
        for layer in self.layers:
            streams.append(layer(streams[-1]))
        return streams

    def head(self, hidden: Tensor) -> Tensor:
        """Map the stream (..., C) behind any layer to logits (..., V): final norm, unembedding."""
        return F.linear(self.norm(hidden), self.embedding.weight)

    def initial_state(self, batch_size: int, condition: Any = None) -> LayerInputs:
        """Return the State of `batch_size` empty prefixes."""
        c = self.config
        weight = self.embedding.weight.data
        shape = (c.n_layer, batch_size, FIRST_CAPACITY, c.channels)
        return LayerInputs.reader(weight.new_zeros(shape), 0)

    @torch.inference_mode()
    def step(self, tokens: Tensor, state: LayerInputs) -> tuple[Tensor, LayerInputs]:
        """Read tokens (B, N); return the logits (B, V) of what follows, and the new State."""
        streams, state = self._read(tokens, state)
        return self._rowwise_head(streams[-1][:, -1:])[:, 0], state

    @torch.inference_mode()
    def step_every(self, tokens: Tensor, state: LayerInputs) -> tuple[Tensor, LayerInputs]:
        """Read tokens (B, N); return the logits (B, N, V) after each of them, and the new State."""
        streams, state = self._read(tokens, state)
        return self._rowwise_head(streams[-1]), state

    @torch.inference_mode()
    def step_layers(self, tokens: Tensor, state: LayerInputs) -> tuple[Tensor, LayerInputs]:
        """Read tokens (B, N); return the stream (n_layer + 1, B, N, C) after each, and a State."""
        streams, state = self._read(tokens, state)
        return torch.stack(streams), state

    def _read(self, tokens: Tensor, state: LayerInputs) -> tuple[list[Tensor], LayerInputs]:
        if 1 < tokens.shape[1] <= SHORT:
            found, state = one_by_one(self._read, tokens, state)
            return [torch.cat(parts, dim=1) for parts in zip(*found, strict=True)], state
        start, state = state.length, state.reserve(tokens.shape[1])
        x = self.embed(tokens)
        streams = [x]
        for layer, memory in zip(self.layers, state.buffer.memory, strict=True):  # (B, capacity, C)
            seen = memory[:, : state.length]
            seen[:, start:] = layer.norm(x)
            oldest = max(0, start - (layer.kernel_size - 1) * layer.dilation)
            x = x + layer.mix(seen[:, oldest:], start - oldest, rowwise_linear)
            streams.append(x)
        return streams, state

    def _rowwise_head(self, x: Tensor) -> Tensor:
        """Return logits (B, N, V) of x (B, N, C), each position for itself."""
        parts = x.split(1, dim=1) if x.shape[1] <= SHORT else (x,)
        weight = self.embedding.weight
        return torch.cat([rowwise_linear(self.norm(part), weight) for part in parts], dim=1)
