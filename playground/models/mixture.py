"""Discretised mixture of logistics: a smooth distribution over brightness, cut at the levels.

A level's probability is what the mixture has between its edges, the lowest and the highest level
taking all that lies beyond (Salimans et al. 2017, arXiv:1701.05517, eq. 2): few numbers for any
number of levels, and neighbouring levels are alike from the start.

Deviation: one mixture a value, and colours see each other through masks, where PixelCNN++ shifts
the means of green and blue by linear functions of the others.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST_LOG_SCALE = -7.0  # a logistic far narrower than a level; narrower ones only overflow


def level_logprobs(parameters: Tensor, levels: int) -> Tensor:
    """Map weights, means and log scales (..., 3 M), M each, to log-probabilities (..., levels)."""
    level = torch.arange(levels, device=parameters.device)
    return logprobs_of(parameters.unsqueeze(-1), level, levels)


def token_logprobs(parameters: Tensor, tokens: Tensor, levels: int) -> Tensor:
    """Map parameters (..., 3 M) to the log-probabilities (...) of tokens (...) alone."""
    return logprobs_of(parameters.unsqueeze(-1), tokens[..., None, None], levels).squeeze(-1)


def logprobs_of(parameters: Tensor, level: Tensor, levels: int) -> Tensor:
    """Map parameters (..., 3 M, 1) and levels that fit to (..., M, n) to log p (..., n).

    Levels stand at equal distances from -1 to 1. With sigma(b) - sigma(a) written as
    sigma(b) sigma(-a) (1 - e^(a-b)) nothing cancels, however far a level is in a tail.
    """
    weight, mean, log_scale = parameters.float().chunk(3, dim=-2)  # (..., M, 1)
    half = 1 / (levels - 1)
    place = level * 2 * half - 1
    narrowness = torch.exp(-log_scale.clamp_min(LEAST_LOG_SCALE))
    below_upper = -F.softplus((mean - place - half) * narrowness)  # log sigma(b)
    above_lower = -F.softplus((place - half - mean) * narrowness)  # log sigma(-a)
    between = torch.log(-torch.expm1(-2 * half * narrowness))
    mass = below_upper + above_lower + between  # (..., M, n)
    mass = torch.where(level == 0, below_upper, mass)
    mass = torch.where(level == levels - 1, above_lower, mass)
    return torch.logsumexp(weight.log_softmax(-2) + mass, dim=-2)


def rowwise_logprobs(parameters: Tensor, levels: int) -> Tensor:
    """Do the same, each vector of parameters (..., 3 M) as if it were alone.

    The last few values of a tensor are computed by other formulas than the others, so a row
    beside others would differ from the same row alone in its last bits.
    """
    rows = parameters.flatten(0, -2).split(1)
    return torch.cat([level_logprobs(row, levels) for row in rows]).view(
        *parameters.shape[:-1], levels
    )


def spread_out(bias: Tensor, colors: int) -> None:
    """Set the biases (colors * 3 M,) so that the mixture begins wide and its means apart."""
    parts = bias.view(colors, 3, -1)
    parts.zero_()
    parts[:, 1] = torch.linspace(-1, 1, parts.shape[2] + 2)[1:-1]
    parts[:, 2] = -1.0
