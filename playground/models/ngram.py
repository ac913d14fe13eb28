"""n-gram counts with interpolated, modified Kneser-Ney smoothing: no weights, only counting.

p(x_t | x_<t) = p(x_t | the last n-1 tokens). Each order keeps what it has seen, discounted, and
gives the discounted mass to the next shorter context; lower orders count in how many *different*
contexts a token was seen, not how often. A context never seen leaves everything to the shorter
one. The bottom is uniform, so no probability is 0 and all logits are finite.

Reference: Chen & Goodman 1998, TR-10-98 (modified Kneser-Ney, eq. 26-28); Kneser & Ney 1995.
Deviation: the sequence start is no context of its own, since training text is one long stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from playground.errors import ConfigError, check_whole


@dataclass(frozen=True)
class NGramConfig:
    vocab_size: int
    order: int = 6  # longest n-gram; contexts have order - 1 tokens
    sizes: tuple[int, ...] = ()  # distinct n-grams of each order; set by `fit_ngram`

    def __post_init__(self):
        check_whole("vocab_size", self.vocab_size, 2, 2**20)
        check_whole("order", self.order, 1, 32)
        object.__setattr__(self, "sizes", tuple(self.sizes or (0,) * self.order))
        for size in self.sizes:
            check_whole("each of sizes", size, 0, 2**28)
        if len(self.sizes) != self.order:
            raise ConfigError(f"sizes must have order = {self.order} entries, got {self.sizes}.")
        if self.bits * self.order > 63:
            raise ConfigError(
                f"An n-gram must fit into 63 bits: with {self.vocab_size} tokens order is at most "
                f"{63 // self.bits}, got {self.order}."
            )

    @property
    def bits(self) -> int:
        """Bits of one token inside a packed n-gram."""
        return max(1, (self.vocab_size - 1).bit_length())


@dataclass(frozen=True)
class NGramState:
    """The last tokens (B, at most order - 1) of B prefixes."""

    tail: Tensor
    length: int

    def select(self, rows: Tensor) -> NGramState:
        """Return the State whose row i is this one's `rows[i]`."""
        return NGramState(self.tail.index_select(0, rows), self.length)


class NGram(nn.Module):
    """Sorted, packed n-grams with their counts, one pair of arrays per order."""

    context_length = None  # only the last order - 1 tokens are kept, so there is no limit

    def __init__(self, config: NGramConfig):
        super().__init__()
        self.config = config
        self.vocab_size = config.vocab_size
        self.register_buffer("discounts", torch.zeros(config.order, 3, dtype=torch.float64))
        orders = range(1, config.order + 1)
        self._names = tuple((f"grams_{order}", f"counts_{order}") for order in orders)
        for order, size in enumerate(config.sizes, start=1):
            self.register_buffer(f"grams_{order}", torch.zeros(size, dtype=torch.int64))
            self.register_buffer(f"counts_{order}", torch.zeros(size, dtype=torch.int32))

    def after_load(self) -> None:
        """Check what looking n-grams up relies on.

        Raises:
            ConfigError: n-grams out of order, counts below 1, or discounts beyond the counts.
        """
        counts = torch.arange(1, 4, device=self.discounts.device)
        if (self.discounts <= 0).any() or (self.discounts >= counts).any():
            raise ConfigError("a discount is not between 0 and the count it is taken from")
        for order in range(1, self.config.order + 1):
            grams, counts = getattr(self, f"grams_{order}"), getattr(self, f"counts_{order}")
            if (grams.diff() <= 0).any() or (grams < 0).any() or (counts < 1).any():
                raise ConfigError(f"the n-grams of order {order} are out of order")
            token = grams & ((1 << self.config.bits) - 1)
            if (token >= self.vocab_size).any():
                raise ConfigError(f"the n-grams of order {order} name unknown tokens")

    def forward(self, tokens: Tensor, condition: Any = None) -> Tensor:
        """Map tokens (B, T) to logits (B, T, V); row i scores token i + 1."""
        return self._log_probs_after(tokens, 0)

    def initial_state(self, batch_size: int, condition: Any = None) -> NGramState:
        """Return the State of `batch_size` empty prefixes."""
        empty = torch.empty(batch_size, 0, dtype=torch.int64, device=self.discounts.device)
        return NGramState(empty, 0)

    @torch.inference_mode()
    def step(self, tokens: Tensor, state: NGramState) -> tuple[Tensor, NGramState]:
        """Read tokens (B, N); return the logits (B, V) of what follows, and the new State."""
        read = torch.cat((state.tail, tokens), dim=1)
        tail = read[:, max(0, read.shape[1] - (self.config.order - 1)) :]
        if (tables := self._tables()) is not None:
            logits = self._by_kernel(tables, read, read.shape[1] - 1)[:, 0]
            return logits, NGramState(tail, state.length + tokens.shape[1])
        known = torch.full((tail.shape[0],), tail.shape[1], device=tail.device)
        logits = self._log_probs(tail, known)
        return logits, NGramState(tail, state.length + tokens.shape[1])

    @torch.inference_mode()
    def step_every(self, tokens: Tensor, state: NGramState) -> tuple[Tensor, NGramState]:
        """Read tokens (B, N); return the logits (B, N, V) after each of them, and the new State."""
        logits, states = self.step_prefixes(tokens, state)
        return logits, states[-1]

    @torch.inference_mode()
    def step_prefixes(self, tokens: Tensor, state: NGramState) -> tuple[Tensor, list[NGramState]]:
        """Read tokens (B, N); return the logits (B, N, V) and the State after each of them."""
        known, N, width = state.tail.shape[1], tokens.shape[1], self.config.order - 1
        read = torch.cat((state.tail, tokens), dim=1)
        ends = range(known + 1, known + N + 1)
        states = [
            NGramState(read[:, max(0, end - width) : end], state.length + n)
            for n, end in enumerate(ends, start=1)
        ]
        if (tables := self._tables()) is not None:
            return self._by_kernel(tables, read, known), states
        return self._log_probs_after(read, known), states

    def _tables(self) -> np.ndarray | None:
        """Return address of n-grams, of counts, and number, an order a row, if on a CPU."""
        parts = self._buffers
        if parts["discounts"].device.type != "cpu" or parts["discounts"].dtype != torch.float64:
            return None
        tables = [(parts[grams], parts[counts]) for grams, counts in self._names]
        if not all(t.is_contiguous() for pair in tables for t in pair):
            return None
        return np.array([(g.data_ptr(), c.data_ptr(), g.numel()) for g, c in tables], np.int64)

    def _by_kernel(self, tables: np.ndarray, tokens: Tensor, start: int) -> Tensor:
        """Return what `_log_probs_after` does, in a hundredth of the time."""
        from playground.models.ngram_kernel import ngram_log_probs

        rows = tokens.contiguous().numpy()
        out = np.empty((len(rows), rows.shape[1] - start, self.vocab_size), np.float32)
        discounts = self._buffers["discounts"].numpy()
        ngram_log_probs(tables, discounts, self.config.bits, rows, start, out)
        return torch.from_numpy(out)

    def _log_probs_after(self, tokens: Tensor, start: int) -> Tensor:
        """Return log p (B, T - start, V) after each of tokens (B, T) from `start` on."""
        (B, T), width = tokens.shape, self.config.order - 1
        known = torch.arange(start + 1, T + 1, device=tokens.device).clamp(max=width).repeat(B)
        padded = torch.cat((tokens.new_zeros(B, width), tokens), dim=1)
        tails = padded.unfold(1, width, 1)[:, 1:] if width else tokens.new_zeros(B, T, 0)
        tails = tails[:, start:].reshape(B * (T - start), width)
        return self._log_probs(tails, known).view(B, T - start, -1)

    def _log_probs(self, tails: Tensor, known: Tensor) -> Tensor:
        """Return log p (P, V) after tails (P, W), of which the last `known` (P,) tokens are real.

        Orders are visited from the shortest; each adds its discounted counts to what the
        previous one left (Chen & Goodman 1998, eq. 26).
        """
        P, V, bits = tails.shape[0], self.vocab_size, self.config.bits
        probs = torch.full((P, V), 1.0 / V, dtype=torch.float64, device=tails.device)
        context = torch.zeros(P, dtype=torch.int64, device=tails.device)
        for order in range(1, min(self.config.order, tails.shape[1] + 1) + 1):
            if order > 1:  # one token further back
                context = context + (tails[:, -(order - 1)] << (bits * (order - 2)))
            grams, counts = getattr(self, f"grams_{order}"), getattr(self, f"counts_{order}")
            low = torch.searchsorted(grams, context << bits)
            high = torch.searchsorted(grams, (context + 1) << bits)
            width = torch.where(known >= order - 1, high - low, 0)
            if not width.any():
                break  # a context never seen has no longer context that was
            row = torch.repeat_interleave(torch.arange(P, device=tails.device), width)
            offset = torch.arange(len(row), device=tails.device) - (width.cumsum(0) - width)[row]
            entry = low[row] + offset
            token, count = grams[entry] & ((1 << bits) - 1), counts[entry].double()
            discount = self.discounts[order - 1][counts[entry].clamp(max=3).long() - 1]
            total = count.new_zeros(P).index_add_(0, row, count)
            freed = count.new_zeros(P).index_add_(0, row, discount)
            seen = total > 0
            scale = torch.where(seen, total, 1.0)
            probs = probs * torch.where(seen, freed / scale, 1.0)[:, None]
            probs.index_put_((row, token), (count - discount) / scale[row], accumulate=True)
        return probs.log().float()


def fit_ngram(tokens: Tensor, vocab_size: int, order: int) -> NGram:
    """Count the n-grams of one stream of tokens (T,) up to `order`.

    Raises:
        ConfigError: the n-grams do not fit into 63 bits, or the stream is shorter than one.
    """
    config = NGramConfig(vocab_size, order)
    stream = tokens.cpu().numpy().astype(np.int64)
    if len(stream) <= order:
        raise ConfigError(f"The text has {len(stream)} tokens, order {order} needs more.")
    length = len(stream) - order + 1
    packed = np.zeros(length, np.int64)
    for i in range(order):
        packed = (packed << config.bits) | stream[i : i + length]
    tables = {order: np.unique(packed, return_counts=True)}
    for shorter in range(order - 1, 0, -1):  # the distinct longer n-grams that end in this one
        suffixes = tables[shorter + 1][0] & ((1 << (config.bits * shorter)) - 1)
        tables[shorter] = np.unique(suffixes, return_counts=True)
    sizes = tuple(len(tables[n][0]) for n in range(1, order + 1))
    model = NGram(NGramConfig(vocab_size, order, sizes))
    for n, (grams, counts) in tables.items():
        getattr(model, f"grams_{n}").copy_(torch.from_numpy(grams))
        getattr(model, f"counts_{n}").copy_(torch.from_numpy(counts))
        model.discounts[n - 1] = torch.tensor(_discounts(counts), dtype=torch.float64)
    return model.eval()


def _discounts(counts: np.ndarray) -> tuple[float, float, float]:
    """Discounts of counts 1, 2 and 3+ (Chen & Goodman 1998, eq. 26), kept inside (0, count)."""
    n1, n2, n3, n4 = (max(1, int((counts == k).sum())) for k in (1, 2, 3, 4))
    y = n1 / (n1 + 2 * n2)
    raw = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    return tuple(min(max(d, 0.05), k - 0.05) for k, d in enumerate(raw, start=1))
