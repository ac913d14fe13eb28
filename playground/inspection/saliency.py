"""How much each token of a prefix matters to the probability of one that follows, by gradient.

The length of the gradient of log p(token | prefix) with respect to what the model is told of each
token: Simonyan et al. 2013, arXiv:1312.6034; for sequences Li et al. 2016, arXiv:1506.01066. It
shows what a small change of that token would do, here and now. It does not show what another token
there would do, and a token that matters to a decision that is certain anyway has a small one.
Times the input it has a sign, for or against (Shrikumar et al. 2016, arXiv:1605.01713).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from playground.decoding.window import visible_window
from playground.errors import ConfigError
from playground.models.base import ARModel, HasEmbedding, device_of
from playground.models.conditioned import unwrapped, without_wrappers
from playground.models.pretrained import PretrainedLM
from playground.models.wavenet import WaveNet

FRAME = 320  # tokens: whole frames of every model of sound here, so that none begins in one


def can_be_differentiated(model: ARModel) -> bool:
    """True if `saliency` can be asked for; counts have no gradient."""
    return isinstance(without_wrappers(model), HasEmbedding)


def saliency(
    model: ARModel,
    prefix: Sequence[int],
    token: int,
    newest: int | None = None,
    times_input: bool = False,
) -> np.ndarray:
    """Return how much each token of `prefix` (BOS first) matters to log p of `token` next.

    What a sliding window has dropped does not matter at all. Of a guided model it is the branch
    that is told the condition.

    Args:
        newest: about how many tokens are asked at most, which bounds memory; older ones are told
            as 0. That is exact where the receptive field is no longer. Of other models the prefix
            is read as if it began there.
        times_input: tell the gradient times the embedding instead of the gradient's length.

    Returns:
        (len(prefix),) float32: not negative, in nats a unit of embedding; or in nats, negative
        where the token speaks against.

    Raises:
        ConfigError: the model cannot be differentiated.
    """
    inner, condition = unwrapped(model)
    if not isinstance(inner, HasEmbedding):
        raise ConfigError(
            f"{type(inner).__name__} counts and has no gradient. Choose a neural network to see "
            "what matters to it."
        )
    window = visible_window(prefix, inner.context_length)
    start = 0
    if newest is not None and len(window) > newest:
        start = (len(window) - newest) // FRAME * FRAME
        window = (window[0], *window[1 + start :])
    options = {"start": start} if isinstance(inner, WaveNet) else {}  # where its frames begin
    rows = torch.tensor([window], device=device_of(inner))
    with torch.inference_mode(False), torch.enable_grad():
        embedded = inner.embed(rows).detach().clone().requires_grad_()
        if isinstance(inner, PretrainedLM):  # logits of 1,000 positions would be 0.2 GB
            logits = inner.read(embedded=embedded, every=False).logits[0, -1]
        else:
            logits = inner.forward_embedded(embedded, condition, **options)[0, -1].float()
        (gradient,) = torch.autograd.grad(logits.log_softmax(-1)[token], embedded)
    found = np.zeros(len(prefix), np.float32)
    if times_input:
        told = (gradient[0] * embedded.detach()[0]).sum(-1)
    else:
        told = gradient[0].norm(dim=-1)
    values = told.float().cpu().numpy()
    found[0] = values[0]
    found[len(prefix) - len(window) + 1 :] = values[1:]
    return found
