"""What a model would say if it stopped after each of its layers.

The output head is applied to the hidden state after every layer (nostalgebraist 2020,
"interpreting GPT: the logit lens"). It shows when the answer can first be read off in the
vocabulary. It does not show what the layer computes: early layers need not write in the basis that
the head reads, so nonsense there means "not yet in this language", not "nothing known" (a tuned
lens learns the translation: Belrose et al. 2023, arXiv:2303.08112).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from playground.decoding.window import visible_window
from playground.errors import ConfigError, check_whole
from playground.models.base import ARModel, HasLayers, State, device_of
from playground.models.conditioned import unwrapped, without_wrappers

LENS_TOKENS = 32  # newest positions that are read, unless told otherwise
MAX_LOGITS = 2**23  # that are held at once, 32 MB

NOBODY_KNOWS = -1


@dataclass(frozen=True)
class Lens:
    """What every one of L layers says at each of N positions about the token that comes next.

    Position i of the lens has read everything up to position `first + i` of the sequence. The
    last layer is the model itself. Where nobody knows what followed `followed` and `rank` are -1
    and `followed_prob` is nan.
    """

    first: int
    top: np.ndarray  # (L, N) int: the likeliest token
    top_prob: np.ndarray  # (L, N): its probability
    chosen_prob: np.ndarray  # (L, N): of the token that the last layer finds likeliest
    kl: np.ndarray  # (L, N): KL(last layer || this layer) in bits, 0 in the last
    followed: np.ndarray  # (N,) int: the token that followed
    followed_prob: np.ndarray  # (L, N)
    rank: np.ndarray  # (L, N) int: of the token that followed, 1 is the likeliest

    @property
    def decided(self) -> np.ndarray:
        """Layer (N,) from which on the likeliest token stays that of the last layer."""
        differs = self.top != self.top[-1]
        last = len(differs) - 1 - differs[::-1].argmax(axis=0)  # newest layer that differs
        return np.where(differs.any(axis=0), last + 1, 0)


def has_layers(model: ARModel) -> bool:
    """True if the model, or the trained one inside of it, can be read between its layers."""
    return isinstance(without_wrappers(model), HasLayers)


@torch.inference_mode()
def logit_lens(
    model: ARModel,
    prefix: Sequence[int],
    token: int | None = None,
    newest: int = LENS_TOKENS,
    state: State | None = None,
) -> Lens:
    """Return what each layer says at the `newest` last positions of `prefix` (BOS first).

    Everything before is read without being told; the vocabulary of a layer is looked at for a few
    positions at a time.

    Args:
        token: what followed the whole prefix, if that is known.
        state: of `prefix`, if there is one; then most of it need not be read again.

    Raises:
        ConfigError: the model cannot be read between its layers, or `newest` is below 1.
    """
    inner, condition = unwrapped(model)
    if not isinstance(inner, HasLayers):
        raise ConfigError(
            f"{type(inner).__name__} cannot be read between its layers. Choose a Transformer or an "
            "LSTM."
        )
    check_whole("newest", newest, 1, 2**16)
    window = visible_window(prefix, inner.context_length)
    device = device_of(inner)
    N = min(newest, len(window))
    if hasattr(state, "cut") and state.length == len(window):
        state = state.cut(len(window) - N)
    else:
        state = inner.initial_state(1, condition)
    if (unread := len(window) - N - state.length) > 0:
        _, state = inner.step(torch.tensor([window[:unread]], device=device), state)
    hidden, _ = inner.step_layers(torch.tensor([window[-N:]], device=device), state)
    hidden = hidden[:, 0]  # (L, N, C)
    followed = [*window[len(window) - N + 1 :], NOBODY_KNOWS if token is None else token]
    followed = torch.tensor(followed, device=device)
    size = max(1, MAX_LOGITS // inner.vocab_size)
    parts = [
        _read(inner, hidden[:, i : i + size], followed[i : i + size]) for i in range(0, N, size)
    ]
    found = {name: np.concatenate([p[name] for p in parts], axis=-1) for name in parts[0]}
    return Lens(first=len(prefix) - N, followed=followed.cpu().numpy(), **found)


def _read(model: HasLayers, hidden: Tensor, followed: Tensor) -> dict[str, np.ndarray]:
    """Return the arrays (L, N) of a Lens for hidden states (L, N, C)."""
    final = model.head(hidden[-1]).float().log_softmax(-1)  # (N, V)
    probs, chosen = final.exp(), final.argmax(-1)
    entropy = (probs * final).nan_to_num(0.0).sum(-1)  # 0 log 0 is 0
    known = followed >= 0
    rows = []
    for layer in hidden:
        logits = model.head(layer).float()
        total = logits.logsumexp(-1)
        top_logit, top = logits.max(-1)
        told = logits.gather(1, followed.clamp(min=0)[:, None])  # (N, 1)
        picked = logits.gather(1, chosen[:, None])[:, 0]
        cross = (probs * logits).nan_to_num(0.0, neginf=-torch.inf).sum(-1) - total
        rank = 1 + (logits > told).sum(-1)
        rows.append(
            {
                "top": top,
                "top_prob": (top_logit - total).exp(),
                "chosen_prob": (picked - total).exp(),
                "kl": (entropy - cross).clamp(min=0) / math.log(2),
                "followed_prob": (told[:, 0] - total).exp().masked_fill(~known, torch.nan),
                "rank": rank.masked_fill(~known, NOBODY_KNOWS),
            }
        )
    rows[-1]["kl"] = torch.zeros_like(rows[-1]["kl"])
    return {name: torch.stack([row[name] for row in rows]).cpu().numpy() for name in rows[0]}
