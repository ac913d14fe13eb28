"""Long short-term memory: the whole past in one vector of fixed size.

p(x_t | x_<t) = softmax(W h_t), where h_t and the cell c_t are updated from x_{t-1} through
forget, input and output gates. A step costs the same however long the prefix is.

References: Hochreiter & Schmidhuber 1997; Gers et al. 2000 (forget gate); forget bias 1 as in
Jozefowicz et al. 2015.
Deviations: the output matrix is the embedding's transpose (Press & Wolf 2017, arXiv:1608.05859)
behind a linear layer; dropout between layers only, not on the recurrence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from playground.errors import check_range, check_whole
from playground.models.base import rowwise_linear
from playground.models.packing import (
    MAX_CHUNK,
    MAX_HEAD_ROWS,
    NO_HIDDEN,
    NO_LOGITS,
    NO_TOKENS,
    Memory,
    Packed,
    forget,
    half_if_exact,
    packed,
)

INTERNALS = ("hidden", "cell", "input gate", "forget gate", "output gate")


@dataclass(frozen=True)
class LSTMConfig:
    vocab_size: int
    n_layer: int = 2
    n_embd: int = 128
    n_hidden: int = 512
    dropout: float = 0.0

    def __post_init__(self):
        check_whole("vocab_size", self.vocab_size, 1, 2**20)
        check_whole("n_layer", self.n_layer, 1, 32)
        check_whole("n_embd", self.n_embd, 1, 2**14)
        check_whole("n_hidden", self.n_hidden, 1, 2**14)
        check_range("dropout", self.dropout, 0.0, 0.9)


def logistic(x: Tensor) -> Tensor:
    """Compute 1 / (1 + exp(-x)) so that a value has the same bits wherever it stands in x.

    `sigmoid` computes the last few values of a tensor by another formula than the others, so a
    row beside others would differ from the same row alone unless its size is a multiple of 32.
    """
    return 0.5 * (0.5 * x).tanh() + 0.5


@dataclass(frozen=True)
class LSTMState:
    """Output h and cell c, each (n_layer, B, n_hidden); never written to."""

    h: Tensor
    c: Tensor
    length: int

    def select(self, rows: Tensor) -> LSTMState:
        """Return the State whose row i is this one's `rows[i]`."""
        return LSTMState(self.h.index_select(1, rows), self.c.index_select(1, rows), self.length)


class LSTM(nn.Module):
    """Stacked LSTM layers between an embedding and its transpose."""

    context_length = None  # the state has a fixed size, so there is no limit

    def __init__(self, config: LSTMConfig):
        super().__init__()
        self.config = config
        self.vocab_size = config.vocab_size
        self.embedding = nn.Embedding(config.vocab_size, config.n_embd)
        self.lstm = nn.LSTM(
            config.n_embd,
            config.n_hidden,
            config.n_layer,
            batch_first=True,
            dropout=config.dropout if config.n_layer > 1 else 0.0,
        )
        self.project = nn.Linear(config.n_hidden, config.n_embd)
        self.output_bias = nn.Parameter(torch.zeros(config.vocab_size))
        nn.init.normal_(self.embedding.weight, std=0.1)
        for layer in range(config.n_layer):  # gates lie in the order input, forget, cell, output
            forget = slice(config.n_hidden, 2 * config.n_hidden)
            getattr(self.lstm, f"bias_ih_l{layer}").data[forget] = 1.0
            getattr(self.lstm, f"bias_hh_l{layer}").data[forget] = 0.0

    def train(self, mode: bool = True) -> LSTM:
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
        outputs, _ = self.lstm(embedded)
        return self.head(F.dropout(outputs, self.config.dropout, self.training))

    def head(self, hidden: Tensor) -> Tensor:
        """Map outputs (..., n_hidden) of the last layer to logits (..., V)."""
        rows = hidden.reshape(-1, self.config.n_hidden)
        if len(rows) <= MAX_HEAD_ROWS and not torch.is_grad_enabled():
            if (plan := packed(self, lay_out)) is not None:
                from playground.models.lstm_kernel import lstm_step

                logits = rows.new_empty(len(rows), self.vocab_size)
                outputs = rows[None].numpy()
                lstm_step(plan.plan, NO_TOKENS, NO_HIDDEN, NO_HIDDEN, outputs, logits.numpy())
                return logits.view(*hidden.shape[:-1], self.vocab_size)
        return F.linear(self.project(hidden), self.embedding.weight, self.output_bias)

    def forward_layers(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, T) to the outputs (n_layer, B, T, n_hidden) of each layer."""
        return self._layers(self.embedding(tokens), self.initial_state(len(tokens)))[0]

    @torch.inference_mode()
    def internals(self, tokens: Tensor, state: LSTMState) -> dict[str, Tensor]:
        """Return INTERNALS of every unit after each of tokens (B, T), (n_layer, B, T, n_hidden).

        The tokens are read after `state`; "hidden" is the output. All outputs come first, by the
        fused kernel, so that the gates of a layer are one product.
        """
        x = self.embedding(tokens)
        outputs, _ = self._layers(x, state)
        layers = []
        for layer, (w_ih, w_hh, b_ih, b_hh) in enumerate(self.lstm.all_weights):
            h, cell = outputs[layer], state.c[layer]
            before = torch.cat((state.h[layer][:, None], h[:, :-1]), dim=1)  # (B, T, H)
            gates = F.linear(x, w_ih, b_ih) + F.linear(before, w_hh, b_hh)
            i, f, _, o = logistic(gates).chunk(4, dim=-1)
            new = i * gates.chunk(4, dim=-1)[2].tanh()
            cells = []
            for t in range(tokens.shape[1]):
                cell = f[:, t] * cell + new[:, t]
                cells.append(cell)
            layers.append((h, torch.stack(cells, dim=1), i, f, o))
            x = h
        stacked = map(torch.stack, zip(*layers, strict=True))
        return dict(zip(INTERNALS, stacked, strict=True))

    def _layers(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Return outputs (n_layer, B, N, n_hidden) of x (B, N, C) after `state`, and the next."""
        outputs, hs, cs = [], [], []
        for layer, weights in enumerate(self.lstm.all_weights):
            before = (state.h[layer : layer + 1].contiguous(), state.c[layer : layer + 1])
            x, h, c = torch.lstm(x, before, weights, True, 1, 0.0, False, False, True)
            outputs.append(x)
            hs.append(h)
            cs.append(c)
        return torch.stack(outputs), LSTMState(
            torch.cat(hs), torch.cat(cs), state.length + x.shape[1]
        )

    def initial_state(self, batch_size: int, condition: Any = None) -> LSTMState:
        """Return the State of `batch_size` empty prefixes."""
        shape = (self.config.n_layer, batch_size, self.config.n_hidden)
        zeros = self.embedding.weight.data.new_zeros(shape)
        return LSTMState(zeros, zeros, 0)

    @torch.inference_mode()
    def step(self, tokens: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Read tokens (B, N); return the logits (B, V) of what follows, and the new State."""
        if (plan := self._plan(tokens)) is not None:
            logits = state.h.new_empty(len(tokens), self.vocab_size)
            return logits, self._read_chunk(plan, tokens, state, logits=logits)
        outputs, state = self._read(tokens, state)
        return self._rowwise_head(outputs[:, -1:])[:, 0], state

    @torch.inference_mode()
    def step_every(self, tokens: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Read tokens (B, N); return the logits (B, N, V) after each of them, and the new State."""
        if (plan := self._plan(tokens)) is not None:
            logits = state.h.new_empty(*tokens.t().shape, self.vocab_size)
            state = self._read_chunk(plan, tokens, state, logits=logits.flatten(0, 1))
            return logits.transpose(0, 1).contiguous(), state
        outputs, state = self._read(tokens, state)
        return self._rowwise_head(outputs), state

    @torch.inference_mode()
    def step_layers(self, tokens: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Read tokens (B, N); return the outputs (n_layer, B, N, n_hidden) of each, and a State."""
        if (plan := self._plan(tokens)) is not None:
            shape = (self.config.n_layer, *tokens.t().shape, self.config.n_hidden)
            hidden = state.h.new_empty(shape)
            state = self._read_chunk(plan, tokens, state, hidden=hidden.flatten(1, 2))
            return hidden.transpose(1, 2).contiguous(), state
        return self._layers(self.embedding(tokens), state)

    def _plan(self, tokens: Tensor) -> Packed | None:
        """Return the packed weights if a kernel can read these tokens, None if torch has to."""
        return packed(self, lay_out) if tokens.shape[1] <= MAX_CHUNK else None

    def _read_chunk(
        self,
        plan: Packed,
        tokens: Tensor,
        state: LSTMState,
        *,
        logits: Tensor | None = None,
        hidden: Tensor | None = None,
    ) -> LSTMState:
        """Read tokens (B, N); fill logits and hidden, time before rows, as `lstm_step` does."""
        from playground.models.lstm_kernel import lstm_step

        h, c = state.h.clone(), state.c.clone()
        if not lstm_step(
            plan.plan,
            tokens.contiguous().numpy(),
            h.numpy(),
            c.numpy(),
            NO_HIDDEN if hidden is None else hidden.numpy(),
            NO_LOGITS if logits is None else logits.numpy(),
        ):
            raise IndexError(f"tokens must be from 0 to {self.vocab_size - 1}")
        return LSTMState(h, c, state.length + tokens.shape[1])

    def _read(self, tokens: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Return the last layer's outputs (B, N, n_hidden), and the new State."""
        length = state.length + tokens.shape[1]
        x = self.embedding(tokens)  # (B, N, C)
        if tokens.shape[1] > 1:
            outputs, (h, c) = self.lstm(x, (state.h, state.c))
        else:
            outputs, h, c = self._cell(x, state)
        return outputs, LSTMState(h, c, length)

    def _rowwise_head(self, outputs: Tensor) -> Tensor:
        x = rowwise_linear(outputs, self.project.weight, self.project.bias)
        return rowwise_linear(x, self.embedding.weight, self.output_bias)

    def _cell(self, x: Tensor, state: LSTMState) -> tuple[Tensor, Tensor, Tensor]:
        """One time step of x (B, 1, C), row by row so that rows do not influence each other."""
        hs, cs = [], []
        for layer in range(self.config.n_layer):
            w_ih, w_hh, b_ih, b_hh = self.lstm.all_weights[layer]
            h, c = state.h[layer][:, None], state.c[layer][:, None]  # (B, 1, H)
            gates = rowwise_linear(x, w_ih, b_ih) + rowwise_linear(h, w_hh, b_hh)
            i, f, _, o = logistic(gates).chunk(4, dim=-1)
            c = f * c + i * gates.chunk(4, dim=-1)[2].tanh()
            x = o * c.tanh()
            hs.append(x[:, 0])
            cs.append(c[:, 0])
        return x, torch.stack(hs), torch.stack(cs)


def lay_out(model: LSTM, memory: Memory) -> list[int]:
    """Return the plan of `lstm_kernel.lstm_step`, with what it points to in `memory`."""
    c, layers = model.config, model.lstm.all_weights
    matrices = [model.embedding.weight, model.project.weight]
    dtype = half_if_exact(matrices + [w for layer in layers for w in layer[:2]])
    plan = [c.n_layer, c.n_embd, c.n_hidden, c.vocab_size, dtype is np.float16]
    plan += [memory.copy_of(model.embedding.weight), memory.panels(model.project.weight, dtype)]
    plan += [memory.copy_of(model.project.bias), memory.panels(model.embedding.weight, dtype)]
    plan += [memory.copy_of(model.output_bias)]
    for from_input, from_output, bias, more_bias in layers:
        plan += [memory.panels(from_input, dtype), memory.panels(from_output, dtype)]
        plan += [memory.copy_of(bias + more_bias)]
    return plan
