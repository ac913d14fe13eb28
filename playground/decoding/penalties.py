"""Processors that look back: they make likelier or rarer what came before."""

from __future__ import annotations

import torch
from torch import Tensor

from playground.decoding.context import Context


def repetition_penalty(logits: Tensor, context: Context, penalty: float) -> Tensor:
    """Make every token of the prefix less likely (Keskar et al. 2019, arXiv:1909.05858, eq. 2).

    Positive logits are divided by `penalty`, negative ones multiplied; the prompt counts.
    """
    tokens = context.tokens
    seen = logits.gather(-1, tokens)
    return logits.scatter(-1, tokens, torch.where(seen > 0, seen / penalty, seen * penalty))
