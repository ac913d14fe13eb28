"""SampleRNN in two tiers: a slow network that hears frames, a quick one that writes samples.

Token t is in frame t // S at place t % S, S = frame_size; BOS is token 0 and so the first place of
frame 0. p(x_t | x_<t) = softmax(f(x_{t-S}, ..., x_{t-1}, u)): a perceptron f reads the last S
tokens, and u, which is what a GRU that has read every frame before t's own has to say about place
t % S. The GRU moves once a frame, so what it remembers reaches S times as far as its steps do.
What is before the sequence is BOS, and the GRU begins with zeros.

Reference: Mehri et al. 2017, arXiv:1612.07837 (the two-tier model; truncated sequences).
Deviations: both tiers read one embedding of the levels, which starts as cosines of the level so
that neighbours are alike, where the paper tells the frame tier amplitudes: mu-law levels are no
more linear in loudness than in pressure, and one table is learned. u is narrower than the
perceptron's layers. No weight normalisation, and the first State is not learned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from playground.errors import ConfigError, check_range, check_whole
from playground.models.base import rowwise_linear
from playground.models.packing import Memory, Packed, forget, half_if_exact, packed
from playground.models.raster import with_start
from playground.models.rnn import logistic

MAX_WINDOW = 2**14  # values that the sample tier reads of the last tokens, for every token anew


@dataclass(frozen=True)
class SampleRNNConfig:
    levels: int = 256
    frame_size: int = 16  # tokens of a frame, and tokens that the sample tier reads
    n_embd: int = 16
    n_hidden: int = 192  # of the frame tier
    n_layer: int = 1
    n_condition: int = 64  # values that the frame tier tells each place of a frame
    n_mlp: int = 256  # of the sample tier

    def __post_init__(self):
        check_whole("levels", self.levels, 2, 2**12)
        check_whole("frame_size", self.frame_size, 1, 2**10)
        check_whole("n_embd", self.n_embd, 1, 2**10)
        check_whole("n_hidden", self.n_hidden, 1, 2**14)
        check_whole("n_layer", self.n_layer, 1, 32)
        check_whole("n_condition", self.n_condition, 1, 2**12)
        check_whole("n_mlp", self.n_mlp, 1, 2**14)
        if self.frame_size * self.n_embd > MAX_WINDOW:
            raise ConfigError(
                f"frame_size x n_embd must be at most {MAX_WINDOW:,}, got {self.frame_size} x "
                f"{self.n_embd}. Lower one of them."
            )


@dataclass(frozen=True)
class SampleRNNState:
    """The last tokens, and the frame tier's outputs after each finished frame; never written to."""

    tokens: Tensor  # (B, frame_size), BOS where there were none yet
    h: Tensor  # (n_layer, B, n_hidden)
    length: int

    def select(self, rows: Tensor) -> SampleRNNState:
        """Return the State whose row i is this one's `rows[i]`."""
        tokens, h = self.tokens.index_select(0, rows), self.h.index_select(1, rows)
        return SampleRNNState(tokens, h, self.length)


class Head(nn.Module):
    """The sample tier behind its first layer: one more layer, and the logits of the levels."""

    def __init__(self, n_mlp: int, levels: int):
        super().__init__()
        self.inner = nn.Linear(n_mlp, n_mlp)
        self.outer = nn.Linear(n_mlp, levels)


class SampleRNN(nn.Module):
    """A GRU over frames that conditions a perceptron over samples."""

    context_length = None  # the state has a fixed size, so there is no limit

    def __init__(self, config: SampleRNNConfig):
        super().__init__()
        self.config = c = config
        self.vocab_size = c.levels + 1
        self.embedding = nn.Embedding(self.vocab_size, c.n_embd)
        self.gru = nn.GRU(c.frame_size * c.n_embd, c.n_hidden, c.n_layer, batch_first=True)
        self.upsample = nn.Linear(c.n_hidden, c.frame_size * c.n_condition)  # a part for each place
        self.read = nn.Linear(c.frame_size * c.n_embd + c.n_condition, c.n_mlp)
        self.head = Head(c.n_mlp, c.levels)
        place = (torch.arange(c.levels)[:, None] + 0.5) / c.levels
        waves = torch.cos(math.pi * place * torch.arange(1, c.n_embd + 1))
        self.embedding.weight.data[: c.levels] = waves
        self.embedding.weight.data[c.levels] = 0.0
        for layer in (self.read, self.head.inner):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def train(self, mode: bool = True) -> SampleRNN:
        """Set the mode as usual, and have the weights packed again before the next step."""
        forget(self)
        return super().train(mode)

    def forward(self, tokens: Tensor, condition: Any = None) -> Tensor:
        """Map tokens (B, T) to logits (B, T, V); row i scores token i + 1."""
        return self.forward_embedded(self.embed(tokens))

    def embed(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, T) to their embeddings (B, T, C)."""
        return self.embedding(tokens)

    def forward_embedded(self, embedded: Tensor, condition: Any = None) -> Tensor:
        """Map embeddings (B, T, C) to logits (B, T, V); row i scores token i + 1."""
        c, (B, T, C) = self.config, embedded.shape
        n = T // c.frame_size  # finished frames
        heard = embedded.new_zeros(B, 1, c.n_hidden)
        if n:
            frames = embedded[:, : n * c.frame_size].reshape(B, n, -1)
            heard = torch.cat((heard, self.gru(frames)[0]), dim=1)
        told = self.upsample(heard).view(B, -1, c.n_condition)[:, 1 : T + 1]
        before = self.embedding.weight[c.levels].expand(B, c.frame_size - 1, C)
        windows = self._windows(torch.cat((before, embedded), dim=1))
        x = self.read(torch.cat((windows, told.to(windows.dtype)), dim=-1)).relu()
        return with_start(self.head.outer(self.head.inner(x).relu()))

    def _windows(self, embedded: Tensor) -> Tensor:
        """Return each window (B, n, S * C) of embedded (B, n + S - 1, C), oldest token first."""
        return embedded.unfold(1, self.config.frame_size, 1).transpose(2, 3).flatten(2)

    def initial_state(self, batch_size: int, condition: Any = None) -> SampleRNNState:
        """Return the State of `batch_size` empty prefixes."""
        c, weight = self.config, self.embedding.weight.data
        tokens = torch.full((batch_size, c.frame_size), c.levels, device=weight.device)
        return SampleRNNState(tokens, weight.new_zeros(c.n_layer, batch_size, c.n_hidden), 0)

    @torch.inference_mode()
    def step(self, tokens: Tensor, state: SampleRNNState) -> tuple[Tensor, SampleRNNState]:
        """Read tokens (B, N); return the logits (B, V) of what follows, and the new State."""
        logits, state = self._read(tokens, state, 1)
        return logits[:, 0], state

    @torch.inference_mode()
    def step_every(self, tokens: Tensor, state: SampleRNNState) -> tuple[Tensor, SampleRNNState]:
        """Read tokens (B, N); return the logits (B, N, V) after each of them, and the new State."""
        return self._read(tokens, state, tokens.shape[1])

    @torch.inference_mode()
    def sample_ahead(
        self, token: Tensor, state: SampleRNNState, uniforms: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor, SampleRNNState] | None:
        """Read token (1, 1), then draw N levels and read all but the last of them.

        `uniforms` (N,) in [0, 1), float64, are looked up in the cumulated probabilities, as
        `decoding.strategies.draw` does; BOS is never drawn. Probabilities are float64 here, so a
        mark within a rounding error of an edge can fall on the other side of it than there.

        Returns:
            The levels drawn (N,), the logits (N, V) that each was drawn from with the bits that
            `step` gives, and the State before the last of them; None if no kernel can do it.

        Raises:
            ConfigError: the temperature is not above 0.
        """
        check_range("temperature", temperature, 0.0, 1e6, open_low=True)
        if (plan := packed(self, lay_out)) is None:
            return None
        from playground.models.samplernn_kernel import samplernn_ahead

        n = len(uniforms)
        known = torch.cat((state.tokens, token, token.new_empty(1, n)), dim=1)
        h, logits = state.h.clone(), state.h.new_empty(1, n, self.vocab_size)
        marks = uniforms.double().contiguous().numpy()
        if not samplernn_ahead(
            plan.plan, known.numpy(), state.length, h.numpy(), marks, temperature, logits.numpy()
        ):
            raise IndexError(f"tokens must be from 0 to {self.vocab_size - 1}")
        last = SampleRNNState(known[:, n:-1].clone(), h, state.length + n)
        return known[0, self.config.frame_size + 1 :].clone(), logits[0], last

    def _read(self, tokens: Tensor, state: SampleRNNState, wanted: int):
        """Return the logits (B, wanted, V) after the last tokens of (B, N), and the new State."""
        known = torch.cat((state.tokens, tokens), dim=1)
        if (plan := packed(self, lay_out)) is not None:
            logits, h = self._read_by_kernel(plan, known, state, wanted)
        else:
            logits, h = self._read_by_torch(known, state, wanted)
        after = known[:, tokens.shape[1] :].clone()
        return logits, SampleRNNState(after, h, state.length + tokens.shape[1])

    def _read_by_kernel(self, plan: Packed, known: Tensor, state: SampleRNNState, wanted: int):
        from playground.models.samplernn_kernel import samplernn_step

        S = self.config.frame_size
        is_heard = state.length // S != (state.length + known.shape[1] - S) // S
        h = state.h.clone() if is_heard else state.h
        logits = h.new_empty(len(known), wanted, self.vocab_size)
        if not samplernn_step(plan.plan, known.numpy(), state.length, h.numpy(), logits.numpy()):
            raise IndexError(f"tokens must be from 0 to {self.vocab_size - 1}")
        return logits, h

    def _read_by_torch(self, known: Tensor, state: SampleRNNState, wanted: int):
        """Do what `forward` does for known (B, S + N), row by row lest rows influence each other.

        Returns:
            The logits (B, wanted, V), and the frame tier's outputs (n_layer, B, H) thereafter.
        """
        S, end = self.config.frame_size, state.length + known.shape[1] - self.config.frame_size
        embedded, first = self.embedding(known), state.length // S
        h, heard = state.h, [state.h[-1]]
        for frame in range(first, end // S):
            at = (frame + 1) * S - state.length  # of the frame in known
            h = self._hear(embedded[:, at : at + S].flatten(1)[:, None], h)
            heard.append(h[-1])
        told = rowwise_linear(torch.stack(heard, 1), self.upsample.weight, self.upsample.bias)
        told = told.view(len(known), -1, self.config.n_condition)
        last = end - first * S  # the place of what follows, from the first of these frames on
        told = told[:, last - wanted + 1 : last + 1]
        x = torch.cat((self._windows(embedded[:, 1 - S - wanted :]), told), dim=-1)
        for layer in (self.read, self.head.inner):
            x = rowwise_linear(x, layer.weight, layer.bias).relu()
        return with_start(rowwise_linear(x, self.head.outer.weight, self.head.outer.bias)), h

    def _hear(self, x: Tensor, before: Tensor) -> Tensor:
        """Return the outputs (n_layer, B, H) after one frame x (B, 1, S * C)."""
        outputs = []
        for (w_ih, w_hh, b_ih, b_hh), h in zip(self.gru.all_weights, before, strict=True):
            h = h[:, None]  # (B, 1, H)
            from_input, from_output = rowwise_linear(x, w_ih, b_ih), rowwise_linear(h, w_hh, b_hh)
            reset, update, _ = logistic(from_input + from_output).chunk(3, dim=-1)
            new = from_input.chunk(3, -1)[2] + reset * from_output.chunk(3, -1)[2]
            x = update * h + (1 - update) * new.tanh()
            outputs.append(x[:, 0])
        return torch.stack(outputs)


def lay_out(model: SampleRNN, memory: Memory) -> list[int]:
    """Return the plan of `samplernn_kernel`, with what it points to in `memory`."""
    c, layers = model.config, model.gru.all_weights
    linears = (model.read, model.head.inner, model.head.outer)
    matrices = [m.weight for m in (model.upsample, *linears)]
    dtype = half_if_exact(matrices + [w for layer in layers for w in layer[:2]])
    plan = [c.n_layer, c.frame_size, c.n_embd, c.n_hidden, c.n_condition, c.n_mlp, c.levels]
    plan += [dtype is np.float16, memory.copy_of(model.embedding.weight)]
    for linear in linears:
        plan += [memory.panels(linear.weight, dtype), memory.copy_of(linear.bias)]
    for w_ih, w_hh, b_ih, b_hh in layers:
        plan += [memory.panels(w_ih, dtype), memory.panels(w_hh, dtype)]
        plan += [memory.copy_of(b_ih), memory.copy_of(b_hh)]
    places = (model.upsample.weight.split(c.n_condition), model.upsample.bias.split(c.n_condition))
    for weight, bias in zip(*places, strict=True):
        plan += [memory.panels(weight, dtype), memory.copy_of(bias)]
    return plan
