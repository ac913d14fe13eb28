"""The first stage of a model that lists only part of its distribution: choose among what is listed.

The mass of all other tokens stands in one column, `rest_token`, which is no token and can never
be chosen. So it is taken out before anything else happens, in sight: the stage is in the charts
and in the Trace, and what comes after it is a distribution over what is listed alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from playground.decoding.context import Context
from playground.decoding.lane import Lane
from playground.models.base import ARModel


@dataclass(frozen=True)
class ListedOnly:
    """What a Processor is to a lane; nobody can choose it or leave it out."""

    rest_token: int

    name = "listed"
    is_off = False
    temperature = None

    def __call__(self, logits: Tensor, context: Context) -> Tensor:
        """Map logits (B, V) to the same without the column of what is not listed."""
        column = torch.tensor([self.rest_token], device=logits.device)
        return logits.index_fill(-1, column, -torch.inf)

    def is_over(self, context: Context) -> list[bool]:
        return [False] * len(context.tokens)

    def __str__(self) -> str:
        return self.name

    def to_json(self) -> list[Any]:
        return [self.name, {}]


def among_listed(lane: Lane, model: ARModel) -> Lane:
    """Return the lane as it decides on `model`: itself, unless that lists only part."""
    rest_token = getattr(model, "rest_token", None)
    if rest_token is None or lane.rest_token == rest_token:
        return lane
    return replace(lane, processors=(ListedOnly(rest_token), *lane.processors))
