"""What a model expects next, as whole numbers that a coder can share out exactly."""

from __future__ import annotations

import math

import numpy as np

from playground.compression.arithmetic import TOTAL
from playground.errors import CompressionError

WEIGHT_BITS = 38  # times TOTAL this is still below 2**63


class Expectation:
    """The frequencies of the tokens that can come next, and what each of them costs the model.

    Of the logits (V,) the first `alphabet` are those of tokens that can be coded; a start or end
    token comes after them and has no frequency. The exponential is taken in float64; from there on
    all is whole numbers, so no order of summation matters. Each token has a frequency above
    p * (TOTAL - alphabet): none costs more than -log2 p + log2(TOTAL / (TOTAL - alphabet)) bits,
    which are 2e-5 too many for 257 tokens and 4e-4 for 4,096, and none is impossible.

    Raises:
        CompressionError: the logits are no numbers.
    """

    def __init__(self, logits: np.ndarray, alphabet: int):
        self._logits = logits.astype(np.float64)  # a copy, laid out in one way whatever came in
        self._most = float(self._logits.max())
        if not math.isfinite(self._most):
            raise CompressionError(
                "The model's expectation is no number (NaN or infinite), so nothing can be coded "
                "by it. Choose another model."
            )
        self._parts = np.exp(self._logits - self._most)
        weights = (self._parts[:alphabet] * (1 << WEIGHT_BITS)).astype(np.int64)
        room = TOTAL - alphabet
        self.sizes = weights * room // max(1, int(weights.sum())) + 1  # (alphabet,)
        # What rounding left over goes to the likeliest, the first of equals.
        self.sizes[int(weights.argmax())] += TOTAL - int(self.sizes.sum())

    def part_of(self, token: int) -> tuple[int, int]:
        """Return where the token's part of TOTAL starts, and its size."""
        return int(self.sizes[:token].sum()), int(self.sizes[token])

    def at(self, target: int) -> tuple[int, int, int]:
        """Return the token whose part holds `target`, where that starts, and its size."""
        ends = np.cumsum(self.sizes)
        token = int(np.searchsorted(ends, target, side="right"))
        size = int(self.sizes[token])
        return token, int(ends[token]) - size, size

    def bits(self, token: int) -> float:
        """Return -log2 p of a token under the model itself, start and end token included."""
        nats = math.log(self._parts.sum()) + self._most - float(self._logits[token])
        return nats / math.log(2)
