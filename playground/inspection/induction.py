"""Which heads copy: induction heads and previous-token heads, by score on repeated noise.

A random sequence is read twice. At its second time an induction head looks from each token to the
one that followed it the first time, which is what comes next (Olsson et al. 2022,
arXiv:2209.11895); a previous-token head looks to its left neighbour, on which the first kind
relies (Elhage et al. 2021, "A mathematical framework for transformer circuits"). It shows which
heads look that way on noise, and how much better the model predicts the second time. It does not
show that those heads bring it about (leave them out for that), nor what they do in real text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from playground.errors import ConfigError, check_whole
from playground.inspection.attention import HasAttentionRows
from playground.models.base import ARModel, device_of
from playground.models.conditioned import without_wrappers

LENGTH = 32  # tokens of the sequence that is read twice
SEQUENCES = 4
LN_2 = math.log(2)


@dataclass(frozen=True)
class Induction:
    """Scores of all heads, each the mean weight over sequences and positions, in 0..1."""

    sequences: np.ndarray  # (S, 1 + 2 n) int: BOS, noise, the same noise
    induction: np.ndarray  # (n_layer, n_head): on the token after the first occurrence
    previous: np.ndarray  # (n_layer, n_head): on the token before
    spread: np.ndarray  # (n_layer, n_head): standard deviation of `induction` among sequences
    chance: float  # what a head scores that looks at all tokens alike
    bits: np.ndarray  # (2 n,): mean surprisal of each token that was read, in bits

    @property
    def first_bits(self) -> float:
        """Mean surprisal of the noise when it is new, in bits a token."""
        return float(self.bits[: len(self.bits) // 2].mean())

    @property
    def second_bits(self) -> float:
        """Mean surprisal of the noise when it comes again; its first token announces nothing."""
        return float(self.bits[len(self.bits) // 2 + 1 :].mean())

    def strongest(self, k: int = 5) -> list[tuple[int, int, float]]:
        """Return (layer, head, induction score) of the `k` heads that score best."""
        order = np.argsort(-self.induction, axis=None, kind="stable")[:k]
        at = [np.unravel_index(i, self.induction.shape) for i in order]
        return [(int(i), int(j), float(self.induction[i, j])) for i, j in at]


def repeated_noise(
    tokenizer: Any, length: int, sequences: int, seed: int, vocab_size: int | None = None
) -> Tensor:
    """Return BOS and noise twice, (sequences, 1 + 2 * length), without special tokens.

    No token comes twice within the noise where the vocabulary is large enough, so that what came
    before says which one follows.
    """
    size = vocab_size or tokenizer.vocab_size
    special = getattr(tokenizer, "is_special", None)
    ends = {tokenizer.bos_token, getattr(tokenizer, "eos_token", None)}
    plain = [t for t in range(size) if t not in ends and not (special and special(t))]
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(sequences):
        order = torch.cat(
            [
                torch.randperm(len(plain), generator=generator)
                for _ in range(-(-length // len(plain)))
            ]
        )
        noise = torch.tensor(plain)[order[:length]]
        rows.append(torch.cat((torch.tensor([tokenizer.bos_token]), noise, noise)))
    return torch.stack(rows)


@torch.inference_mode()
def induction(
    model: ARModel,
    tokenizer: Any,
    length: int = LENGTH,
    sequences: int = SEQUENCES,
    seed: int = 0,
) -> Induction:
    """Return induction and previous-token scores of every head of `model`.

    Raises:
        ConfigError: the model has no attention, or its context does not hold the noise twice.
    """
    inner = without_wrappers(model)
    if not isinstance(inner, HasAttentionRows):
        raise ConfigError(
            f"{type(inner).__name__} has no attention, so no induction heads. Choose a Transformer."
        )
    longest = 512 if inner.context_length is None else min(512, (inner.context_length - 1) // 2)
    check_whole("length", length, 2, longest)
    check_whole("sequences", sequences, 1, 64)
    size = min(inner.vocab_size, tokenizer.vocab_size)
    noise = repeated_noise(tokenizer, length, sequences, seed, size)
    scores, bits = [], []
    for row in noise.to(device_of(inner)).split(1):  # a row has the same result beside others

        def keep(weights: Tensor) -> Tensor:  # (1, H, T, T) -> (2, H)
            # row t looks to t - n + 1; the last of the noise stands at t = 2 n
            after = weights[0].diagonal(1 - length, 1, 2)[:, 2:]  # rows n + 1 .. 2 n
            before = weights[0].diagonal(-1, 1, 2)
            return torch.stack((after.mean(-1), before.mean(-1)))

        scores.append(inner.attention_rows(row, 0, keep).float().cpu().numpy())
        logprobs = inner.forward(row)[0, :-1].float().log_softmax(-1)
        bits.append(-logprobs.gather(1, row[0, 1:, None])[:, 0].cpu().numpy() / LN_2)
    found = np.stack(scores)  # (S, L, 2, H)
    return Induction(
        sequences=noise.numpy(),
        induction=found[:, :, 0].mean(0),
        previous=found[:, :, 1].mean(0),
        spread=found[:, :, 0].std(0),
        chance=float((1 / np.arange(length + 2, 2 * length + 2)).mean()),
        bits=np.mean(bits, axis=0),
    )


def copying_heads(found: Induction, least: float) -> Sequence[tuple[int, int]]:
    """Return (layer, head) of the heads whose induction score is at least `least`, best first."""
    return [at[:2] for at in found.strongest(found.induction.size) if at[2] >= least]
