"""Recurrent networks side by side: vanilla RNN, GRU and LSTM, with what was found to help them.

h_t = cell(x_t, h_{t-1}), layer upon layer. Three things may be added: layer normalisation of what
enters a cell (Ba et al. 2016, arXiv:1607.06450), and between layers a residual connection
x + h (He et al. 2015, arXiv:1512.03385; Prakash et al. 2016, arXiv:1610.03098) or a highway
t * h + (1 - t) * x, t = sigmoid(W x + b) (Srivastava et al. 2015, arXiv:1505.00387).

References: Elman 1990; Cho et al. 2014, arXiv:1406.1078 (GRU, with the reset gate behind the
product, as cuDNN has it); Hochreiter & Schmidhuber 1997 (LSTM).
Deviations: the output matrix is the embedding's transpose behind a linear layer, and dropout is
between layers only, both as in `rnn.py`, whose LSTM has a kernel of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from playground.errors import ConfigError, check_range, check_whole
from playground.models.base import SHORT, one_by_one, rowwise_linear
from playground.models.rnn import logistic

GATES = {"rnn": 1, "gru": 3, "lstm": 4}  # vectors of n_hidden that a cell computes
GATE_NAMES = {  # which of them lie in 0..1, in the order of the weights
    "rnn": ("",),
    "gru": ("reset gate", "update gate", ""),
    "lstm": ("input gate", "forget gate", "", "output gate"),
}
CONNECTIONS = ("plain", "residual", "highway")
CARRY = -2.0  # bias of a highway's gate, so that it begins by passing its input on


@dataclass(frozen=True)
class RecurrentConfig:
    vocab_size: int
    cell: str = "gru"  # one of GATES
    n_layer: int = 1
    n_embd: int = 128
    n_hidden: int = 256
    layer_norm: bool = False
    connection: str = "plain"  # one of CONNECTIONS
    dropout: float = 0.0

    def __post_init__(self):
        check_whole("vocab_size", self.vocab_size, 1, 2**20)
        check_whole("n_layer", self.n_layer, 1, 32)
        check_whole("n_embd", self.n_embd, 1, 2**14)
        check_whole("n_hidden", self.n_hidden, 1, 2**14)
        check_range("dropout", self.dropout, 0.0, 0.9)
        if self.cell not in GATES:
            raise ConfigError(f"cell must be one of {', '.join(GATES)}, got {self.cell!r}.")
        if self.connection not in CONNECTIONS:
            raise ConfigError(
                f"connection must be one of {', '.join(CONNECTIONS)}, got {self.connection!r}."
            )


@dataclass(frozen=True)
class RecurrentState:
    """Output h and, of LSTMs, cell c of every layer, (n_layer, B, n_hidden); never written to."""

    h: Tensor
    c: Tensor  # of other cells (0, B, n_hidden)
    length: int

    def select(self, rows: Tensor) -> RecurrentState:
        """Return the State whose row i is this one's `rows[i]`."""
        h, c = self.h.index_select(1, rows), self.c.index_select(1, rows)
        return RecurrentState(h, c, self.length)


class Cell(nn.Module):
    """One layer: what it makes of its input and of its own last output."""

    def __init__(self, config: RecurrentConfig, n_input: int):
        super().__init__()
        self.kind, self.n_hidden = config.cell, config.n_hidden
        wide = GATES[config.cell] * config.n_hidden
        self.weight_ih = nn.Parameter(torch.empty(wide, n_input))
        self.weight_hh = nn.Parameter(torch.empty(wide, config.n_hidden))
        self.bias_ih = nn.Parameter(torch.zeros(wide))
        self.bias_hh = nn.Parameter(torch.zeros(wide))
        self.norm_input = self.norm_hidden = None
        if config.layer_norm:
            self.norm_input = nn.LayerNorm(wide, bias=False)
            self.norm_hidden = nn.LayerNorm(wide, bias=False)
        bound = config.n_hidden**-0.5
        nn.init.uniform_(self.weight_ih, -bound, bound)
        for block in self.weight_hh.data.split(config.n_hidden):
            nn.init.orthogonal_(block)  # Le et al. 2015, Henaff et al. 2016: the past neither
        if config.cell == "lstm":  # grows nor fades at first; a forget gate begins open
            self.bias_ih.data[config.n_hidden : 2 * config.n_hidden] = 1.0

    def forward(self, x: Tensor, h: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Read x (B, T, K) after h and c (B, H); return outputs (B, T, H), and the last h and c."""
        if self.norm_input is None:
            return self._fused(x, h, c)
        inputs = self.norm_input(F.linear(x, self.weight_ih)) + self.bias_ih
        outputs = []
        for now in inputs.unbind(1):
            past = self.norm_hidden(F.linear(h, self.weight_hh)) + self.bias_hh
            h, c = self._update(now, past, h, c)
            outputs.append(h)
        return torch.stack(outputs, dim=1), h, c

    def _fused(self, x: Tensor, h: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Do the same by torch's own loop."""
        weights = [self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh]
        options = (
            True,
            1,
            0.0,
            self.training,
            False,
            True,
        )  # …, batch first
        if self.kind == "lstm":
            outputs, h, c = torch.lstm(x, (h[None], c[None]), weights, *options)
            return outputs, h[0], c[0]
        run = torch.gru if self.kind == "gru" else torch.rnn_tanh
        outputs, h = run(x, h[None], weights, *options)
        return outputs, h[0], c

    def _update(self, now: Tensor, past: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Return the next h and c from what input and past say of the gates (..., G H)."""
        if self.kind == "rnn":
            return (now + past).tanh(), c
        if self.kind == "gru":
            (r, z, n), (past_r, past_z, past_n) = now.chunk(3, -1), past.chunk(3, -1)
            r, z = logistic(r + past_r), logistic(z + past_z)
            n = (n + r * past_n).tanh()
            return n + z * (h - n), c
        i, f, g, o = (now + past).chunk(4, -1)
        c = logistic(f) * c + logistic(i) * g.tanh()
        return logistic(o) * c.tanh(), c

    def internals(self, x: Tensor, h: Tensor, c: Tensor | None) -> dict[str, Tensor]:
        """Return outputs, an LSTM's cells and the gates (B, T, H) as x (B, T, K) is read."""
        hidden, _, _ = self(x, h, c)
        before = torch.cat((h[:, None], hidden[:, :-1]), dim=1)
        now, past = F.linear(x, self.weight_ih), F.linear(before, self.weight_hh)
        if self.norm_input is not None:
            now, past = self.norm_input(now), self.norm_hidden(past)
        parts = (now + self.bias_ih + past + self.bias_hh).chunk(GATES[self.kind], -1)
        named = zip(GATE_NAMES[self.kind], parts, strict=True)
        gates = {name: logistic(part) for name, part in named if name}
        if self.kind != "lstm":
            return {"hidden": hidden, **gates}
        cells, new = [], gates["input gate"] * parts[2].tanh()
        for forget, added in zip(gates["forget gate"].unbind(1), new.unbind(1), strict=True):
            c = forget * c + added
            cells.append(c)
        return {"hidden": hidden, "cell": torch.stack(cells, dim=1), **gates}

    def step(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Read one x (B, 1, K); return h and c (B, 1, H); no row beside influences a row."""
        now, past = rowwise_linear(x, self.weight_ih), rowwise_linear(h, self.weight_hh)
        if self.norm_input is not None:
            now, past = self.norm_input(now), self.norm_hidden(past)
        return self._update(now + self.bias_ih, past + self.bias_hh, h, c)


class Recurrent(nn.Module):
    """Stacked cells between an embedding and its transpose."""

    context_length = None  # the state has a fixed size, so there is no limit

    def __init__(self, config: RecurrentConfig):
        super().__init__()
        c = self.config = config
        self.vocab_size = c.vocab_size
        self.embedding = nn.Embedding(c.vocab_size, c.n_embd)
        # What is added to a layer's output, or mixed with it, has to be as wide.
        self.widen = nn.Linear(c.n_embd, c.n_hidden) if c.connection != "plain" else None
        widths = [c.n_embd if self.widen is None else c.n_hidden] + [c.n_hidden] * (c.n_layer - 1)
        self.cells = nn.ModuleList(Cell(c, width) for width in widths)
        self.carries = nn.ModuleList()
        if c.connection == "highway":
            self.carries.extend(nn.Linear(c.n_hidden, c.n_hidden) for _ in range(c.n_layer))
            for carry in self.carries:
                nn.init.constant_(carry.bias, CARRY)
        self.project = nn.Linear(c.n_hidden, c.n_embd)
        self.output_bias = nn.Parameter(torch.zeros(c.vocab_size))
        nn.init.normal_(self.embedding.weight, std=0.1)

    def embed(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, T) to their embeddings (B, T, C)."""
        return self.embedding(tokens)

    def forward(self, tokens: Tensor, condition: Any = None) -> Tensor:
        """Map tokens (B, T) to logits (B, T, V); row i scores token i + 1."""
        return self.forward_embedded(self.embed(tokens))

    def forward_embedded(self, embedded: Tensor, condition: Any = None) -> Tensor:
        """Map embeddings (B, T, C) to logits (B, T, V); row i scores token i + 1."""
        outputs, _ = self._layers(embedded, self.initial_state(len(embedded)))
        return self.head(F.dropout(outputs[-1], self.config.dropout, self.training))

    def forward_layers(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, T) to the outputs (n_layer, B, T, n_hidden) of each layer."""
        outputs, _ = self._layers(self.embed(tokens), self.initial_state(len(tokens)))
        return torch.stack(outputs)

    @torch.inference_mode()
    def internals(self, tokens: Tensor, state: RecurrentState) -> dict[str, Tensor]:
        """Return what every unit holds after each of tokens (B, T), (n_layer, B, T, n_hidden).

        The tokens are read after `state`. "hidden" is a cell's own output, before it is added to
        or mixed with its input; of LSTMs there is "cell"; of GRUs and LSTMs there are their gates.
        """
        x, layers = self.embed(tokens), []
        x = x if self.widen is None else self.widen(x)
        for layer, cell in enumerate(self.cells):
            past_c = state.c[layer] if len(state.c) else None
            layers.append(cell.internals(x, state.h[layer], past_c))
            x = self._connect(layer, x, layers[-1]["hidden"], F.linear)
        return {kind: torch.stack([told[kind] for told in layers]) for kind in layers[0]}

    def head(self, hidden: Tensor) -> Tensor:
        """Map outputs (..., n_hidden) of a layer to logits (..., V)."""
        return F.linear(self.project(hidden), self.embedding.weight, self.output_bias)

    def _layers(self, x: Tensor, state: RecurrentState) -> tuple[list[Tensor], RecurrentState]:
        """Return the outputs (B, N, n_hidden) of each layer over x (B, N, C), and the State."""
        T, outputs, hs, cs = x.shape[1], [], [], []
        x = x if self.widen is None else self.widen(x)
        for layer, cell in enumerate(self.cells):
            past_c = state.c[layer] if len(state.c) else None
            made, h, c = cell(x, state.h[layer], past_c)
            x = self._connect(layer, x, made, F.linear)
            outputs.append(x)
            hs.append(h)
            cs.append(c)
            if layer + 1 < len(self.cells):
                x = F.dropout(x, self.config.dropout, self.training)
        c = torch.stack(cs) if len(state.c) else state.c
        return outputs, RecurrentState(torch.stack(hs), c, state.length + T)

    def _connect(self, layer: int, x: Tensor, made: Tensor, linear) -> Tensor:
        """Return what the next layer reads of a layer's input and output."""
        if self.config.connection == "residual":
            return x + made
        if self.config.connection == "highway":
            carry = self.carries[layer]
            return x + logistic(linear(x, carry.weight, carry.bias)) * (made - x)
        return made

    def initial_state(self, batch_size: int, condition: Any = None) -> RecurrentState:
        """Return the State of `batch_size` empty prefixes."""
        n_layer, H = self.config.n_layer, self.config.n_hidden
        h = self.embedding.weight.data.new_zeros(n_layer, batch_size, H)
        return RecurrentState(h, h if self.config.cell == "lstm" else h[:0], 0)

    @torch.inference_mode()
    def step(self, tokens: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """Read tokens (B, N); return the logits (B, V) of what follows, and the new State."""
        outputs, state = self._read(tokens, state)
        return self._rowwise_head(outputs[-1][:, -1:])[:, 0], state

    @torch.inference_mode()
    def step_every(self, tokens: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """Read tokens (B, N); return the logits (B, N, V) after each of them, and the new State."""
        outputs, state = self._read(tokens, state)
        return self._rowwise_head(outputs[-1]), state

    @torch.inference_mode()
    def step_layers(self, tokens: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """Read tokens (B, N); return the outputs (n_layer, B, N, n_hidden) of each, and a State."""
        outputs, state = self._read(tokens, state)
        return torch.stack(outputs), state

    def _read(self, tokens: Tensor, state: RecurrentState) -> tuple[list[Tensor], RecurrentState]:
        """Return the outputs (B, N, n_hidden) of each layer, and the State; row by row."""
        x = self.embed(tokens)
        if tokens.shape[1] <= SHORT:
            found, state = one_by_one(self._step, x, state)
            return [torch.cat(parts, dim=1) for parts in zip(*found, strict=True)], state
        parts, states = [], []
        for row in range(len(tokens)):  # kernels for several rows sum in another order
            one = RecurrentState(state.h[:, row : row + 1], state.c[:, row : row + 1], state.length)
            outputs, one = self._layers(x[row : row + 1], one)
            parts.append(outputs)
            states.append(one)
        outputs = [torch.cat(layer) for layer in zip(*parts, strict=True)]
        h, c = torch.cat([s.h for s in states], dim=1), torch.cat([s.c for s in states], dim=1)
        return outputs, RecurrentState(h, c, states[0].length)

    def _step(self, x: Tensor, state: RecurrentState) -> tuple[list[Tensor], RecurrentState]:
        """Do the same for x (B, 1, C), all rows at once."""
        outputs, hs, cs = [], [], []
        if self.widen is not None:
            x = rowwise_linear(x, self.widen.weight, self.widen.bias)
        for layer, cell in enumerate(self.cells):
            past_c = state.c[layer][:, None] if len(state.c) else state.h[layer][:, None]
            h, c = cell.step(x, state.h[layer][:, None], past_c)
            x = self._connect(layer, x, h, rowwise_linear)
            outputs.append(x)
            hs.append(h[:, 0])
            cs.append(c[:, 0])
        c = torch.stack(cs) if len(state.c) else state.c
        return outputs, RecurrentState(torch.stack(hs), c, state.length + 1)

    def _rowwise_head(self, outputs: Tensor) -> Tensor:
        """Return logits (B, N, V) of outputs (B, N, n_hidden), each position for itself."""
        parts = outputs.split(1, dim=1) if outputs.shape[1] <= SHORT else (outputs,)
        weights = (
            (self.project.weight, self.project.bias),
            (self.embedding.weight, self.output_bias),
        )
        logits = [rowwise_linear(rowwise_linear(x, *weights[0]), *weights[1]) for x in parts]
        return torch.cat(logits, dim=1)
