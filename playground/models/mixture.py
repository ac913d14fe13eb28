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
    """Map weights, means and log scales (..., 3 M), M each, to log-probabilities (..., levels).

    Levels stand at equal distances from -1 to 1. With sigma(b) - sigma(a) written as
    sigma(b) sigma(-a) (1 - e^(a-b)) nothing cancels, however far a level is in a tail.
    """
    weight, mean, log_scale = parameters.float().unsqueeze(-1).chunk(3, dim=-2)  # (..., M, 1)
    half = 1 / (levels - 1)
    level = torch.arange(levels, device=parameters.device) * 2 * half - 1
    narrowness = torch.exp(-log_scale.clamp_min(LEAST_LOG_SCALE))
    upper, lower = (level + half - mean) * narrowness, (level - half - mean) * narrowness
    below_upper, above_lower = -F.softplus(-upper), -F.softplus(lower)  # log sigma(b), sigma(-a)
    inside = below_upper + above_lower + torch.log(-torch.expm1(-2 * half * narrowness))
    first, last = below_upper[..., :1], above_lower[..., -1:]
    mass = torch.cat((first, inside[..., 1:-1], last), dim=-1)  # (..., M, levels)
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
