"""Neural n-gram: a perceptron over the embeddings of the last few tokens, and nothing older.

p(x_t | x_<t) = softmax(b + W [e(x_{t-n+1}); ...; e(x_{t-1})] + U tanh(d + H [the same])).

It was the first neural language model: tokens that are used alike get embeddings alike, so what is
learned of one context serves all that resemble it, which counts cannot do.

Reference: Bengio et al. 2003, "A Neural Probabilistic Language Model", JMLR 3, eq. 1.
Deviation: before the sequence starts, embeddings are 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from playground.errors import check_range, check_whole
from playground.models.base import SHORT, one_by_one, rowwise_linear


@dataclass(frozen=True)
class NeuralNGramConfig:
    vocab_size: int
    order: int = 9  # the token and the order - 1 before it that it depends on
    n_embd: int = 32
    n_hidden: int = 512
    direct: bool = True  # W, from the embeddings straight to the logits
    dropout: float = 0.0

    def __post_init__(self):
        check_whole("vocab_size", self.vocab_size, 1, 2**20)
        check_whole("order", self.order, 2, 256)
        check_whole("n_embd", self.n_embd, 1, 2**14)
        check_whole("n_hidden", self.n_hidden, 1, 2**16)
        check_range("dropout", self.dropout, 0.0, 0.9)


@dataclass(frozen=True)
class NeuralNGramState:
    """What the perceptron sees (B, order - 2, C): the embeddings before the next token's."""

    past: Tensor
    length: int

    def select(self, rows: Tensor) -> NeuralNGramState:
        """Return the State whose row i is this one's `rows[i]`."""
        return NeuralNGramState(self.past.index_select(0, rows), self.length)


class NeuralNGram(nn.Module):
    """Embedding, one hidden layer over a window, and the logits."""

    context_length = None  # the window has a fixed size, so there is no limit

    def __init__(self, config: NeuralNGramConfig):
        super().__init__()
        self.config = config
        self.vocab_size = config.vocab_size
        self.receptive_field = config.order - 1  # tokens
        seen = self.receptive_field * config.n_embd
        self.embedding = nn.Embedding(config.vocab_size, config.n_embd)
        self.hidden = nn.Linear(seen, config.n_hidden)
        self.output = nn.Linear(config.n_hidden, config.vocab_size)
        self.direct = nn.Linear(seen, config.vocab_size, bias=False) if config.direct else None
        nn.init.normal_(self.embedding.weight, std=0.1)

    def embed(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, T) to their embeddings (B, T, C)."""
        return self.embedding(tokens)

    def forward(self, tokens: Tensor, condition: Any = None) -> Tensor:
        """Map tokens (B, T) to logits (B, T, V); row i scores token i + 1."""
        return self.forward_embedded(self.embed(tokens))

    def forward_embedded(self, embedded: Tensor, condition: Any = None) -> Tensor:
        """Map embeddings (B, T, C) to logits (B, T, V); row i scores token i + 1."""
        return self._logits(self._windows(F.pad(embedded, (0, 0, self.config.order - 2, 0))))

    def _windows(self, padded: Tensor) -> Tensor:
        """Return what each of the last T positions of (B, order - 2 + T, C) sees, (B, T, W)."""
        windows = padded.unfold(1, self.config.order - 1, 1)  # (B, T, C, order - 1)
        return windows.transpose(2, 3).flatten(2)

    def _logits(self, windows: Tensor) -> Tensor:
        linear = rowwise_linear if torch.is_inference_mode_enabled() else F.linear
        hidden = linear(windows, self.hidden.weight, self.hidden.bias).tanh()
        hidden = F.dropout(hidden, self.config.dropout, self.training)
        logits = linear(hidden, self.output.weight, self.output.bias)
        return logits if self.direct is None else logits + linear(windows, self.direct.weight)

    def initial_state(self, batch_size: int, condition: Any = None) -> NeuralNGramState:
        """Return the State of `batch_size` empty prefixes."""
        shape = (batch_size, self.config.order - 2, self.config.n_embd)
        return NeuralNGramState(self.embedding.weight.data.new_zeros(shape), 0)

    @torch.inference_mode()
    def step(self, tokens: Tensor, state: NeuralNGramState) -> tuple[Tensor, NeuralNGramState]:
        """Read tokens (B, N); return the logits (B, V) of what follows, and the new State."""
        seen, state = self._read(tokens, state)
        return self._logits(self._windows(seen[:, 1 - self.config.order :]))[:, -1], state

    @torch.inference_mode()
    def step_every(
        self, tokens: Tensor, state: NeuralNGramState
    ) -> tuple[Tensor, NeuralNGramState]:
        """Read tokens (B, N); return the logits (B, N, V) after each of them, and the new State."""
        if 1 < tokens.shape[1] <= SHORT:
            found, state = one_by_one(self.step, tokens, state)
            return torch.stack(found, dim=1), state
        seen, state = self._read(tokens, state)
        return self._logits(self._windows(seen)), state

    def _read(self, tokens: Tensor, state: NeuralNGramState) -> tuple[Tensor, NeuralNGramState]:
        """Return the embeddings (B, order - 2 + N, C) with those before, and the new State."""
        seen = torch.cat((state.past, self.embed(tokens)), dim=1)
        past = seen[:, seen.shape[1] - (self.config.order - 2) :]
        return seen, NeuralNGramState(past, state.length + tokens.shape[1])
