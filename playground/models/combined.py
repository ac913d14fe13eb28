"""Models made of several that read the same tokens, and the list of all that are made of models.

p(x_t | x_<t) is put together from those of the parts, so whatever decodes one model decodes their
combination. The parts must mean the same by every token; whoever builds a combination checks that.

References: contrastive decoding, Li et al. 2023, arXiv:2210.15097, in the form of O'Brien & Lewis
2023, arXiv:2309.09117; products of experts, Hinton 2002; opinion pools, Genest & Zidek 1986.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from playground.errors import ConfigError, check_range
from playground.models.base import ARModel, State, check_room, step_prefixes
from playground.models.dola import DoLa, plausible
from playground.models.guided import Guided, by_row, logprobs

BETAS = (0.0, 10.0)
MAX_MODELS = 8
POOLS = ("mixture", "product")


@dataclass(frozen=True)
class CombinedState:
    """The States of the parts, which have all read the same."""

    parts: tuple[State, ...]

    @property
    def length(self) -> int:
        return self.parts[0].length

    def select(self, rows: Tensor) -> CombinedState:
        """Return the State whose row i is this one's `rows[i]`."""
        return CombinedState(tuple(part.select(rows) for part in self.parts))


def check_same_tokens(models: Sequence[ARModel]) -> None:
    """Raise ConfigError unless all models have as many tokens."""
    first = models[0].vocab_size
    for model in models:
        if model.vocab_size != first:
            raise ConfigError(
                f"Models can be combined only if they have the same tokens; these have {first} "
                f"and {model.vocab_size}. Choose models that share a tokenizer."
            )


class Combined(nn.Module):
    """Models side by side; a kind of combination says what becomes of their logits."""

    def __init__(self, models: Sequence[ARModel]):
        super().__init__()
        check_same_tokens(models)
        self.parts = nn.ModuleList(models)
        self.vocab_size = models[0].vocab_size
        limits = [m.context_length for m in models if m.context_length is not None]
        self.context_length = min(limits, default=None)

    def combine(self, *logits: Tensor) -> Tensor:
        """Return logits (..., V) from those of each part."""
        raise NotImplementedError

    def forward(self, tokens: Tensor, condition: Any = None) -> Tensor:
        """Map tokens (B, T) to logits (B, T, V); row i scores token i + 1."""
        return by_row(self.combine, *(part.forward(tokens, condition) for part in self.parts))

    def initial_state(self, batch_size: int, condition: Any = None) -> CombinedState:
        """Return the State of `batch_size` empty prefixes."""
        return CombinedState(tuple(p.initial_state(batch_size, condition) for p in self.parts))

    @torch.inference_mode()
    def step(self, tokens: Tensor, state: CombinedState) -> tuple[Tensor, CombinedState]:
        """Read tokens (B, N); return the logits (B, V) of what follows, and the new State.

        Raises:
            ContextFullError: the context has no room for N more tokens.
        """
        check_room(self, state, tokens.shape[1])
        pairs = zip(self.parts, state.parts, strict=True)
        logits, states = zip(*(part.step(tokens, own) for part, own in pairs), strict=True)
        return by_row(self.combine, *logits), CombinedState(states)

    def step_every(self, tokens: Tensor, state: CombinedState) -> tuple[Tensor, CombinedState]:
        """Read tokens (B, N); return the logits (B, N, V) after each of them, and the new State."""
        logits, states = self.step_prefixes(tokens, state)
        return logits, states[-1]

    @torch.inference_mode()
    def step_prefixes(
        self, tokens: Tensor, state: CombinedState
    ) -> tuple[Tensor, list[CombinedState]]:
        """Read tokens (B, N); return the logits (B, N, V) and the State after each of them."""
        check_room(self, state, tokens.shape[1])
        pairs = zip(self.parts, state.parts, strict=True)
        found = [step_prefixes(part, tokens, own) for part, own in pairs]
        states = [
            CombinedState(parts) for parts in zip(*(after for _, after in found), strict=True)
        ]
        return by_row(self.combine, *(logits for logits, _ in found)), states


class ContrastiveDecoding(Combined):
    """What a good model knows and a poor one does not: (1 + beta) log p - beta log q.

    Of the tokens with p >= alpha * max p, p the expert's, q the amateur's; -inf for all others,
    which keeps the amateur's mistakes from promoting nonsense. alpha = beta = 0 is the expert.

    O'Brien & Lewis 2023 write it with logits, which differ from log p by a constant that the
    softmax takes out. Li et al. 2023 have log p - log q, the limit of a large beta and a
    temperature as large.
    """

    def __init__(self, expert: ARModel, amateur: ARModel, alpha: float = 0.1, beta: float = 0.5):
        check_range("alpha", alpha, 0.0, 1.0)
        check_range("beta", beta, *BETAS)
        super().__init__((expert, amateur))
        self.alpha, self.beta = alpha, beta

    def combine(self, expert: Tensor, amateur: Tensor) -> Tensor:
        """Return the expert's logits (..., V), changed by the amateur's."""
        if self.alpha == self.beta == 0:
            return expert
        p, q = logprobs(expert), logprobs(amateur)
        scores = (1 + self.beta) * p - self.beta * q
        return plausible(expert.float().log_softmax(-1), scores, self.alpha)


class Ensemble(Combined):
    """Several models as one: the weighted mean of their probabilities, or of their log p.

    A mixture finds likely what any model does; a product, renormalised, what all of them do. The
    weights are made to sum to 1; a model with weight 0 is left out.
    """

    def __init__(
        self,
        models: Sequence[ARModel],
        weights: Sequence[float] | None = None,
        how: str = "mixture",
    ):
        weights = [1.0] * len(models) if weights is None else list(weights)
        if not 1 <= len(models) == len(weights) <= MAX_MODELS:
            raise ConfigError(
                f"An ensemble has 1 to {MAX_MODELS} models and a weight for each, got "
                f"{len(models)} models and {len(weights)} weights."
            )
        for weight in weights:
            check_range("a weight", weight, 0.0, 1e6)
        if not any(weights):
            raise ConfigError("All weights of the ensemble are 0. Give one of the models a weight.")
        if how not in POOLS:
            raise ConfigError(f"how must be {' or '.join(POOLS)}, got {how!r}.")
        check_same_tokens(models)
        super().__init__([m for m, w in zip(models, weights, strict=True) if w])
        self.weights = tuple(w / math.fsum(weights) for w in weights if w)
        self.how = how

    def combine(self, *logits: Tensor) -> Tensor:
        """Return log p (..., V) of the mixture, or of the product, of the models' p."""
        if len(logits) == 1:
            return logits[0]
        pairs = list(zip(logits, self.weights, strict=True))
        if self.how == "product":
            return sum(w * logprobs(part) for part, w in pairs).log_softmax(-1)
        shares = [part.float().log_softmax(-1) + math.log(w) for part, w in pairs]
        return torch.stack(shares).logsumexp(0)


COMBINATIONS: dict[str, type[nn.Module]] = {
    "guided": Guided,
    "contrastive_decoding": ContrastiveDecoding,
    "dola": DoLa,
    "ensemble": Ensemble,
}
