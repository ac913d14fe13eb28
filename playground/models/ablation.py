"""A model without some of its attention heads, to see what the rest does on its own.

What the heads that are left out have read counts as 0 before the output projection of their layer
(zero ablation: Michel et al. 2019, arXiv:1905.10650), at every position, also those of the prompt.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from playground.errors import ConfigError, check_whole
from playground.models.base import ARModel, HasHeads, check_room
from playground.models.conditioned import without_wrappers


@dataclass(frozen=True)
class ReadTokens:
    """The tokens (B, length) of B prefixes and nothing else; never written to."""

    tokens: Tensor

    @property
    def length(self) -> int:
        return self.tokens.shape[1]

    def select(self, rows: Tensor) -> ReadTokens:
        """Return the State whose row i is this one's `rows[i]`."""
        return ReadTokens(self.tokens.index_select(0, rows))

    def cut(self, length: int) -> ReadTokens:
        """Return the State of the first `length` tokens."""
        return ReadTokens(self.tokens[:, :length])


class WithoutHeads(nn.Module):
    """`model` without `heads`, pairs of layer and head from 0; an ARModel like any other.

    It reads its prefix anew at every step, since a cache of the whole model would remember what
    the heads have done: a step costs as much as `forward`.

    Raises:
        ConfigError: the model's heads cannot be left out, or it has no such head.
    """

    def __init__(self, model: ARModel, heads: Iterable[tuple[int, int]]):
        super().__init__()
        inner = without_wrappers(model)
        if not isinstance(inner, HasHeads):
            raise ConfigError(
                f"{type(inner).__name__} has no attention heads to leave out. Choose a Transformer."
            )
        self.model, self.heads = inner, frozenset(heads)
        for layer, head in self.heads:
            check_whole("layer", layer, 0, inner.n_layer - 1)
            check_whole("head", head, 0, inner.n_head - 1)
        self.vocab_size, self.context_length = inner.vocab_size, inner.context_length

    def forward(self, tokens: Tensor, condition: Any = None) -> Tensor:
        """Map tokens (B, T) to logits (B, T, V); row i scores token i + 1."""
        rows = [self.model.forward_without(row, self.heads) for row in tokens.split(1)]
        return torch.cat(rows)  # one at a time: no row's result depends on those beside it

    def initial_state(self, batch_size: int, condition: Any = None) -> ReadTokens:
        """Return the State of `batch_size` empty prefixes."""
        device = next(self.model.parameters()).device
        return ReadTokens(torch.empty(batch_size, 0, dtype=torch.int64, device=device))

    def step(self, tokens: Tensor, state: ReadTokens) -> tuple[Tensor, ReadTokens]:
        """Read tokens (B, N); return the logits (B, V) of what follows, and the new State.

        Raises:
            ContextFullError: the context has no room for N more tokens.
        """
        logits, state = self.step_every(tokens, state)
        return logits[:, -1], state

    @torch.inference_mode()
    def step_every(self, tokens: Tensor, state: ReadTokens) -> tuple[Tensor, ReadTokens]:
        """Read tokens (B, N); return the logits (B, N, V) after each of them, and the new State."""
        check_room(self, state, tokens.shape[1])
        read = torch.cat((state.tokens, tokens), dim=1)
        return self.forward(read)[:, state.length :], ReadTokens(read)
