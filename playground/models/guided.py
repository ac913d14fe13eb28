"""A model against itself without the prompt or the condition: classifier-free guidance.

log p_s(x_t | x_<t, c) = log p(x_t | x_<t) + s (log p(x_t | x_<t, c) - log p(x_t | x_<t)) + const.

References: Ho & Salimans 2022, arXiv:2207.12598; for text Sanchez et al. 2023, arXiv:2306.17806.
Deviation from transformers: without a negative prompt the unconditional branch begins with BOS, not
with the prompt's last token, since our models have never seen a text without BOS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from playground.errors import ConfigError, check_range, check_whole
from playground.models.base import ARModel, State, check_room, device_of, step_prefixes

GUIDANCE_SCALES = (0.0, 20.0)
FLOOR = -1e3  # stands for log 0 in a difference, which inf would make no number


def by_row(combine: Callable[..., Tensor], *parts: Tensor) -> Tensor:
    """Return `combine` of parts (B, ...), computed for each of the B rows alone.

    On a CPU `exp`, `log` and sums treat the last few values of a tensor in another way than the
    others, so a row beside others would differ in its last bits from the same row alone.
    """
    if parts[0].shape[0] == 1 or parts[0].is_cuda:
        return combine(*parts)
    return torch.cat([combine(*row) for row in zip(*(p.split(1) for p in parts), strict=True)])


def logprobs(logits: Tensor) -> Tensor:
    """Return log p in float32, with a number where a part of a model excludes a token."""
    return logits.float().log_softmax(-1).clamp(min=FLOOR)


@dataclass(frozen=True)
class GuidedState:
    """The States of both branches, and the BOS token (B, 1) that the second begins with."""

    conditional: State
    unconditional: State
    bos: Tensor
    length: int

    def select(self, rows: Tensor) -> GuidedState:
        """Return the State whose row i is this one's `rows[i]`."""
        return GuidedState(
            self.conditional.select(rows), self.unconditional.select(rows),
            self.bos.index_select(0, rows), self.length,
        )  # fmt: skip


class Guided(nn.Module):
    """Classifier-free guidance: what the prompt makes likelier becomes likelier still.

    log u + s (log p - log u), where p has read everything and u, the unconditional branch, has
    read BOS, the negative prompt and what comes after the prompt, and knows no `condition`. So a
    model with a condition and no prompt but BOS (`prompt_length=1`) is guided towards its
    condition, and a text towards its prompt. While the prompt is read the logits are the model's.

    s = 1 is the model, s = 0 the unconditional branch. A decoder that slides its window drops the
    prompt; the first `prompt_length` tokens that it still shows then count as the prompt.
    """

    def __init__(
        self,
        model: ARModel,
        guidance_scale: float,
        prompt_length: int = 1,
        negative_prompt: Sequence[int] = (),
    ):
        super().__init__()
        check_range("guidance_scale", guidance_scale, *GUIDANCE_SCALES)
        check_whole("prompt_length", prompt_length, 1, 2**20)
        for token in negative_prompt:
            check_whole("a token of negative_prompt", token, 0, model.vocab_size - 1)
        self.model, self.guidance_scale = model, guidance_scale
        self.prompt_length, self.negative_prompt = prompt_length, tuple(negative_prompt)
        self.vocab_size = model.vocab_size
        self.context_length = model.context_length
        if self.context_length is not None:
            longer = max(0, 1 + len(self.negative_prompt) - prompt_length)
            self.context_length -= longer  # the unconditional branch is full before the other
            if self.context_length < prompt_length:
                raise ConfigError(
                    f"A negative prompt of {len(self.negative_prompt)} tokens leaves no room in a "
                    f"context of {model.context_length}. Shorten it."
                )

    def forward(self, tokens: Tensor, condition: Any = None) -> Tensor:
        """Map tokens (B, T) to logits (B, T, V); row i scores token i + 1."""
        logits = self.model.forward(tokens, condition)
        fresh = self._fresh(tokens, 0, tokens[:, :1])
        return logits if fresh is None else self._guide_newest(logits, self.model.forward(fresh), 0)

    def initial_state(self, batch_size: int, condition: Any = None) -> GuidedState:
        """Return the State of `batch_size` empty prefixes."""
        conditional = self.model.initial_state(batch_size, condition)
        device = device_of(self.model)
        bos = torch.zeros(batch_size, 1, dtype=torch.int64, device=device)  # not read yet
        return GuidedState(conditional, self.model.initial_state(batch_size), bos, 0)

    @torch.inference_mode()
    def step(self, tokens: Tensor, state: GuidedState) -> tuple[Tensor, GuidedState]:
        """Read tokens (B, N); return the logits (B, V) of what follows, and the new State.

        Raises:
            ContextFullError: the context has no room for N more tokens.
        """
        check_room(self, state, tokens.shape[1])
        bos = state.bos if state.length else tokens[:, :1]
        logits, conditional = self.model.step(tokens, state.conditional)
        unconditional = state.unconditional
        fresh = self._fresh(tokens, state.length, bos)
        if fresh is not None:
            without, unconditional = self.model.step(fresh, unconditional)
            logits = by_row(self._guide, logits, without)
        length = state.length + tokens.shape[1]
        return logits, GuidedState(conditional, unconditional, bos, length)

    def step_every(self, tokens: Tensor, state: GuidedState) -> tuple[Tensor, GuidedState]:
        """Read tokens (B, N); return the logits (B, N, V) after each of them, and the new State."""
        logits, states = self.step_prefixes(tokens, state)
        return logits, states[-1]

    @torch.inference_mode()
    def step_prefixes(self, tokens: Tensor, state: GuidedState) -> tuple[Tensor, list[GuidedState]]:
        """Read tokens (B, N); return the logits (B, N, V) and the State after each of them."""
        check_room(self, state, tokens.shape[1])
        bos = state.bos if state.length else tokens[:, :1]
        logits, conditional = step_prefixes(self.model, tokens, state.conditional)
        unconditional = [state.unconditional] * len(conditional)
        fresh = self._fresh(tokens, state.length, bos)
        if fresh is not None:
            without, read = step_prefixes(self.model, fresh, state.unconditional)
            logits = self._guide_newest(logits, without, state.length)
            first = self._unguided(state.length)
            unconditional[first:] = read[first - len(conditional) :]
        pairs = zip(conditional, unconditional, strict=True)
        return logits, [
            GuidedState(*pair, bos, state.length + n) for n, pair in enumerate(pairs, start=1)
        ]

    def _unguided(self, length: int) -> int:
        """Return how many tokens after the first `length` are read before the prompt's last."""
        return max(0, self.prompt_length - 1 - length)

    def _fresh(self, tokens: Tensor, length: int, bos: Tensor) -> Tensor | None:
        """Return what the unconditional branch reads while the other reads tokens (B, N).

        It begins when the other reads the last token of the prompt. There is a row of logits for
        each token but those of the negative prompt, and BOS if it precedes one.
        """
        if self.guidance_scale == 1 or tokens.shape[1] <= self._unguided(length):
            return None
        if length >= self.prompt_length:
            return tokens
        negative = torch.tensor([self.negative_prompt], dtype=torch.int64, device=tokens.device)
        after = tokens[:, self.prompt_length - length :]
        return torch.cat((bos, negative.expand(len(tokens), -1), after), dim=1)

    def _guide_newest(self, logits: Tensor, without: Tensor, length: int) -> Tensor:
        """Guide logits (B, N, V) from the prompt's last token on by the last of `without`."""
        first = self._unguided(length)
        newest = logits[:, first:]
        guided = by_row(self._guide, newest, without[:, without.shape[1] - newest.shape[1] :])
        return torch.cat((logits[:, :first], guided), dim=1)

    def _guide(self, logits: Tensor, without: Tensor) -> Tensor:
        p, u = logprobs(logits), logprobs(without)
        return (u + self.guidance_scale * (p - u)).masked_fill(logits == -torch.inf, -torch.inf)
