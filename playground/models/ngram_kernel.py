"""Log-probabilities of an n-gram model by one search per order, as machine code."""

from __future__ import annotations

import numpy as np
from numba import carray

from playground.models.vector_code import pointer
from playground.models.vector_math import compiled

GRAMS, COUNTS, SIZE = range(3)  # columns of `tables`, one row an order


@compiled("void(int64[:, ::1], float64[:, ::1], int64, int64[:, ::1], int64, float32[:, :, ::1])")
def ngram_log_probs(tables, discounts, bits, tokens, start, out):
    """Write log p (B, T - start, V) after each of tokens (B, T) from `start` on.

    The same sums in the same order as `NGram._log_probs` (Chen & Goodman 1998, eq. 26).
    """
    V = out.shape[2]
    probs = np.empty(V, np.float64)
    for b in range(out.shape[0]):
        for i in range(start, tokens.shape[1]):
            probs[:] = 1.0 / V
            context = np.int64(0)
            for n in range(1, min(tables.shape[0], i + 2) + 1):
                if n > 1:  # one token further back
                    context += tokens[b, i - n + 2] << (bits * (n - 2))
                size = tables[n - 1, SIZE]
                grams = carray(pointer(tables[n - 1, GRAMS]), size, np.int64)
                counts = carray(pointer(tables[n - 1, COUNTS]), size, np.int32)
                first = np.searchsorted(grams, context << bits)
                end, total, freed = first, 0.0, 0.0
                while end < size and grams[end] < (context + 1) << bits:
                    total += counts[end]
                    freed += discounts[n - 1, min(counts[end], 3) - 1]
                    end += 1
                if end == first:
                    break  # a context never seen has no longer context that was
                for token in range(V):
                    probs[token] *= freed / total
                for entry in range(first, end):
                    kept = counts[entry] - discounts[n - 1, min(counts[entry], 3) - 1]
                    probs[grams[entry] & ((np.int64(1) << bits) - 1)] += kept / total
            for token in range(V):
                out[b, i - start, token] = np.log(probs[token])
