"""What a decoder attends to besides its own tokens, read once and shared by all that is made of it.

The keys and values of cross-attention are the same at every step: they are kept, like a State,
for as long as somebody holds them, and no step adds to them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from playground.models.kv_cache import KVCache
from playground.models.pretrained_cache import row_cache, tensors_of


@dataclass(frozen=True, eq=False)
class Source:
    """What an encoder made of one source."""

    tokens: tuple[int, ...]  # S of them
    hidden: Tensor  # (1, S, C)
    cross: Any  # a transformers Cache: keys and values (1, n_head, S, D) of each layer
    empty: KVCache  # of the decoder's own tokens, before the first

    @property
    def num_bytes(self) -> int:
        """Bytes of all that is kept."""
        return sum(x.numel() * x.element_size() for x in (self.hidden, *tensors_of(self.cross)))


def source_of(
    tokens: tuple[int, ...], hidden: Tensor, first_step: Callable[[Any], object]
) -> Source:
    """Return the Source of encoded tokens (1, S, C).

    `first_step` lets the decoder read any token with the cache that it is given: that leaves the
    keys and values of the source, and shows how those of the decoder are laid out.
    """
    from transformers import DynamicCache, EncoderDecoderCache

    own, cross = DynamicCache(), DynamicCache()
    with torch.no_grad():
        first_step(EncoderDecoderCache(own, cross))
    like = own.layers[0].keys  # (1, n_head, 1, D)
    _, n_head, _, head_size = like.shape
    return Source(tokens, hidden, cross, KVCache.empty(len(own.layers), 1, n_head, head_size, like))


def both_caches(source: Source, cache: KVCache, length: int) -> Any:
    """Return a cache of one row that has read `length` tokens, and the source, to append to.

    What is appended goes into the memory of `cache`, which has reserved it.
    """
    from transformers import EncoderDecoderCache

    return EncoderDecoderCache(row_cache(cache, 0, length), source.cross)
