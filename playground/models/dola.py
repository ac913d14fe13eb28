"""Decoding by contrasting layers: a model against what it would have said some layers earlier.

log p_last - log p_early of the plausible tokens, where the early layer is chosen anew at each
position. The idea: facts are added by late layers, what is merely fluent is there before.

Reference: Chuang et al. 2024, arXiv:2309.03883. As in the authors' code and in transformers, the
difference of p and q is the mean of KL(m || p) and KL(m || q), m halfway between them, where
Jensen and Shannon have KL(p || m) and KL(q || m).
Deviations: an early layer goes through the final norm like the last one (`head`); each row chooses
its own early layer, where transformers takes one for the batch, since a row must not depend on
those beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from playground.errors import ConfigError, check_range, check_whole
from playground.models.base import ARModel, HasLayers, State, device_of
from playground.models.guided import by_row

DOLA_LAYERS = ("low", "high")
MANY_LAYERS, NEAR = 40, 20  # no more than 20 layers of a model with more than 40 are looked at


def premature_layers(n_layer: int, which: str | Sequence[int]) -> tuple[int, ...]:
    """Return the layers below the last that DoLa looks at, of `n_layer` that can be read.

    As transformers chooses for a model whose embedding is tied to its output: the first layers
    are left out, because there the likeliest next token is the one just read.
    """
    last = n_layer - 1
    if which == "high":
        return tuple(range(max(last // 2, last - NEAR if last > MANY_LAYERS else 0), last, 2))
    if which == "low":
        first = 2 if last > 2 else last // 2
        return tuple(range(first, NEAR if last > MANY_LAYERS else last // 2, 2)) or (first,)
    return tuple(sorted(set(which)))


class DoLa(nn.Module):
    """What the last layers add counts, not what was there before.

    log p_last - log p_early of the tokens with p_last >= relative_top * max p_last, where the early
    layer is the one among the candidates, at each position, that differs most from the last one;
    -inf for all other tokens.
    """

    def __init__(
        self,
        model: ARModel,
        dola_layers: str | Sequence[int] = "high",
        relative_top: float = 0.1,
    ):
        super().__init__()
        check_range("relative_top", relative_top, 0.0, 1.0)
        if not isinstance(model, HasLayers):
            raise ConfigError(
                f"DoLa compares the layers of a model, and {type(model).__name__} has none that "
                "can be read. Choose a Transformer or an LSTM."
            )
        if dola_layers not in DOLA_LAYERS and (isinstance(dola_layers, str) or not dola_layers):
            raise ConfigError(
                f"dola_layers must be {' or '.join(DOLA_LAYERS)}, or numbers of layers; got "
                f"{dola_layers!r}."
            )
        self.model, self.dola_layers, self.relative_top = model, dola_layers, relative_top
        self.vocab_size, self.context_length = model.vocab_size, model.context_length
        device = device_of(model)
        with torch.inference_mode():
            one = torch.zeros(1, 1, dtype=torch.int64, device=device)
            n_layer = len(model.step_layers(one, model.initial_state(1))[0])
        if n_layer < 2:
            raise ConfigError(
                "DoLa needs a layer before the last. Choose a model with more layers."
            )
        self.layers = premature_layers(n_layer, dola_layers)
        for layer in self.layers:
            check_whole("a layer of dola_layers", layer, 0, n_layer - 2)

    def forward(self, tokens: Tensor, condition: Any = None) -> Tensor:
        """Map tokens (B, T) to logits (B, T, V); row i scores token i + 1."""
        return self._contrast_rows(self.model.forward_layers(tokens))

    def initial_state(self, batch_size: int, condition: Any = None) -> State:
        """Return the State of `batch_size` empty prefixes, which is the model's."""
        return self.model.initial_state(batch_size, condition)

    @torch.inference_mode()
    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Read tokens (B, N); return the logits (B, V) of what follows, and the new State.

        Raises:
            ContextFullError: the context has no room for N more tokens.
        """
        hidden, state = self.model.step_layers(tokens, state)
        return self._contrast_rows(hidden[:, :, -1:])[:, 0], state

    @torch.inference_mode()
    def step_every(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Read tokens (B, N); return the logits (B, N, V) after each of them, and the new State."""
        hidden, state = self.model.step_layers(tokens, state)
        return self._contrast_rows(hidden), state

    def _contrast_rows(self, hidden: Tensor) -> Tensor:
        """Map hidden states (L', B, N, C) to logits (B, N, V), the output layer row by row too."""
        chosen = hidden[[*self.layers, -1]].transpose(0, 1)  # (B, L + 1, N, C)
        return by_row(self._contrast, chosen)

    def _contrast(self, hidden: Tensor) -> Tensor:
        """Map hidden states (B, L + 1, N, C) of the early layers and the last to logits."""
        logits = self.model.head(hidden.contiguous()).float()  # (B, L + 1, N, V)
        log_p = logits.log_softmax(-1)
        early, last = log_p[:, :-1], log_p[:, -1:]
        probs = logits.softmax(-1)
        halfway = 0.5 * (probs[:, :-1] + probs[:, -1:])
        distance = F.kl_div(early, halfway, reduction="none").sum(-1)
        distance = distance + F.kl_div(last, halfway, reduction="none").sum(-1)  # (B, L, N)
        furthest = distance.argmax(1, keepdim=True)[..., None]  # (B, 1, N, 1)
        base = early.take_along_dim(furthest, dim=1)[:, 0]  # (B, N, V)
        return plausible(last[:, 0], last[:, 0] - base, self.relative_top)


def plausible(log_p: Tensor, scores: Tensor, share: float) -> Tensor:
    """Return `scores` (..., V) where log p is at least that of `share` times the largest p.

    -inf elsewhere. Li et al. 2023, arXiv:2210.15097, eq. 3. The likeliest token always stays.
    """
    least = log_p.amax(-1, keepdim=True) + (math.log(share) if share else -math.inf)
    return scores.masked_fill((log_p < least) | (log_p == -torch.inf), -torch.inf)
