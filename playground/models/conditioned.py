"""A model with its condition bound, so that whoever steps it need not know there is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from playground.models.base import ARModel, HasSampleAhead, State, step_prefixes
from playground.models.guided import Guided


class Conditioned(nn.Module):
    """p(x_t | x_<t, c) for one c: a class, a small picture, whatever `model` is told.

    Runs, Steppers and charts take a model and a prefix; a drawn garment is a prefix of pixels under
    a class. A guided model is bound from outside, `Conditioned(Guided(model, s), c)`, since its
    unconditional branch must not be told.

    `excluded` are tokens that never follow, whatever a temperature or a penalty does to the others:
    a start token, say, inside a picture.

    Raises:
        ConfigError: the model knows no such condition.
    """

    def __init__(self, model: ARModel, condition: Any = None, excluded: Sequence[int] = ()):
        super().__init__()
        self.model, self.condition, self.excluded = model, condition, tuple(excluded)
        self.vocab_size, self.context_length = model.vocab_size, model.context_length
        model.initial_state(1, condition)  # tells now whether it is known

    def forward(self, tokens: Tensor, condition: Any = None) -> Tensor:
        """Map tokens (B, T) to logits (B, T, V); row i scores token i + 1."""
        condition = self.condition if condition is None else condition
        return self._exclude(self.model.forward(tokens, condition))

    def initial_state(self, batch_size: int, condition: Any = None) -> State:
        """Return the State of `batch_size` empty prefixes, all under the condition."""
        condition = self.condition if condition is None else condition
        return self.model.initial_state(batch_size, condition)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Read tokens (B, N); return the logits (B, V) of what follows, and the new State."""
        logits, state = self.model.step(tokens, state)
        return self._exclude(logits), state

    def step_every(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Read tokens (B, N); return the logits (B, N, V) after each of them, and the new State."""
        logits, states = self.step_prefixes(tokens, state)
        return logits, states[-1]

    def step_prefixes(self, tokens: Tensor, state: State) -> tuple[Tensor, Sequence[State]]:
        """Read tokens (B, N); return the logits (B, N, V) and the State after each of them."""
        logits, states = step_prefixes(self.model, tokens, state)
        return self._exclude(logits), states

    def sample_ahead(
        self, token: Tensor, state: State, uniforms: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor, State] | None:
        """Draw tokens (N,) with logits (N, V), if `model` can; see `HasSampleAhead`.

        The model knows of no exclusion: a token that is drawn although it is excluded has a logit
        of -inf, and is not what a decoder chooses.
        """
        if not isinstance(self.model, HasSampleAhead):
            return None
        drawn = self.model.sample_ahead(token, state, uniforms, temperature)
        if drawn is None:
            return None
        tokens, logits, state = drawn
        return tokens, self._exclude(logits), state

    def _exclude(self, logits: Tensor) -> Tensor:
        if not self.excluded:
            return logits
        index = torch.tensor(self.excluded, device=logits.device)
        return logits.index_fill(-1, index, -torch.inf)


def as_drawn(
    model: ARModel, bos_token: int, condition: Any = None, guidance_scale: float = 1.0
) -> Conditioned:
    """Return a model of pictures or sounds as decoders step it: told, guided, never restarting.

    Guidance of 1 is the plain model; it needs a condition to be guided towards.

    Raises:
        ConfigError: the model knows no such condition, or the scale is out of range.
    """
    if guidance_scale != 1.0 and condition is not None:
        model = Guided(model, guidance_scale)  # the prompt is BOS: all that is drawn is guided
    return Conditioned(model, condition, (bos_token,))


def unwrapped(model: ARModel) -> tuple[ARModel, Any]:
    """Return the trained model inside of what binds, guides or steers one, and what it is told."""
    condition = None
    while isinstance(getattr(model, "model", None), nn.Module):
        if isinstance(model, Conditioned):
            condition = model.condition
        model = model.model
    return model, condition


def without_wrappers(model: ARModel) -> ARModel:
    """Return the trained model inside of what binds, guides or steers one model."""
    return unwrapped(model)[0]
