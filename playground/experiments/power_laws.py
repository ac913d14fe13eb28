"""The loss as a power law of parameters and tokens: L(N, D) = E + A / N^a + B / D^b.

Hoffmann et al. 2022, arXiv:2203.15556, eq. 2. Deviations: least squares of the loss itself instead
of a Huber loss of its logarithm, since some dozens of runs have no outliers to spare; and no
optimizer with a starting point to choose. For given exponents the law is linear, so they are
looked for on a grid that narrows around the best (variable projection, Golub & Pereyra 1973), and
the same runs always give the same law.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from playground.errors import DataError

LEAST, MOST = 0.01, 2.5  # exponents that are looked for
POINTS, ROUNDS = 17, 9  # a side of the grid, and how often it narrows, by half each time
FLOPS = 6  # a parameter and token of training: 2 forward, 4 backward (Kaplan et al. 2020)


@dataclass(frozen=True)
class PowerLaw:
    """L(N, D) = E + A / N^a + B / D^b, in the unit of the losses it was fitted to."""

    E: float  # what no model gets below
    A: float
    a: float
    B: float
    b: float

    def loss(self, parameters: np.ndarray | float, tokens: np.ndarray | float):
        """Return the loss of models of N parameters that read D tokens."""
        return self.E + self.A * np.power(parameters, -self.a) + self.B * np.power(tokens, -self.b)

    @property
    def share(self) -> float:
        """The exponent of the best N against the computation: N grows as C to this (eq. 4)."""
        return self.b / (self.a + self.b)


@dataclass(frozen=True)
class Fit:
    """A law, how far it is from what was measured, and other laws that other runs would give."""

    law: PowerLaw
    error: float  # root of the mean squared difference
    again: tuple[PowerLaw, ...]  # of resampled (N, D)

    def range(self, name: str) -> tuple[float, float]:
        """Return the 95 % bootstrap interval of a figure of the law."""
        values = [getattr(law, name) for law in self.again]
        low, high = np.quantile(values, (0.025, 0.975))
        return float(low), float(high)


def fit(parameters, tokens, losses, *, resamples: int = 200, seed: int = 0) -> Fit:
    """Fit the law to runs; the intervals come from drawing whole (N, D) anew, with their seeds.

    Raises:
        DataError: there are fewer than three sizes or amounts of text, which cannot tell a law.
    """
    N, D, L = (np.asarray(values, float) for values in (parameters, tokens, losses))
    if min(len(set(N)), len(set(D))) < 3:
        raise DataError(
            f"A power law needs three sizes and three amounts of text; there are {len(set(N))} "
            f"and {len(set(D))}. Make more: python -m train.experiment scaling."
        )
    law = _law(N, D, L)
    cells = [np.flatnonzero((N == n) & (D == d)) for n, d in dict.fromkeys(zip(N, D, strict=True))]
    generator, again = np.random.default_rng(seed), []
    while len(again) < resamples:
        drawn = np.concatenate([cells[i] for i in generator.integers(len(cells), size=len(cells))])
        if min(len(set(N[drawn])), len(set(D[drawn]))) >= 3:
            again.append(_law(N[drawn], D[drawn], L[drawn]))
    error = float(np.sqrt(np.mean((law.loss(N, D) - L) ** 2)))
    return Fit(law, error, tuple(again))


def _law(N: np.ndarray, D: np.ndarray, L: np.ndarray) -> PowerLaw:
    n_0, d_0 = np.exp(np.log(N).mean()), np.exp(np.log(D).mean())  # so that all terms are about 1
    low, high = np.log(LEAST), np.log(MOST)
    middle, half = np.array([(low + high) / 2] * 2), (high - low) / 2
    for _ in range(ROUNDS):
        grids = [np.exp(np.clip(m + half * np.linspace(-1, 1, POINTS), low, high)) for m in middle]
        errors, weights = _on_grid(N / n_0, D / d_0, L, *grids)
        i, j = np.unravel_index(np.argmin(errors), errors.shape)
        a, b = grids[0][i], grids[1][j]
        middle, half = np.log([a, b]), half / 2
    E, A, B = weights[i, j]
    return PowerLaw(float(E), float(A * n_0**a), float(a), float(B * d_0**b), float(b))


def _on_grid(N, D, L, of_a, of_b) -> tuple[np.ndarray, np.ndarray]:
    """Return the squared errors and the best E, A, B ≥ 0 of every pair of exponents.

    The errors of a linear fit follow from sums over the runs, w' G w - 2 w' r + L' L, which are
    a product of matrices for the whole grid.
    """
    u = np.power(N[:, None], -of_a)  # (runs, a)
    v = np.power(D[:, None], -of_b)  # (runs, b)
    shape = (len(of_a), len(of_b))
    gram, right = np.empty((*shape, 3, 3)), np.empty((*shape, 3))
    for i, j, sums in (
        (0, 0, float(len(L))), (0, 1, u.sum(0)[:, None]), (0, 2, v.sum(0)),
        (1, 1, (u * u).sum(0)[:, None]), (1, 2, u.T @ v), (2, 2, (v * v).sum(0)),
    ):  # fmt: skip
        gram[..., i, j] = gram[..., j, i] = sums
    right[..., 0], right[..., 1], right[..., 2] = L.sum(), (u.T @ L)[:, None], v.T @ L
    best, weights = np.full(shape, np.inf), np.zeros((*shape, 3))
    for size in (3, 2, 1):  # non-negative least squares: with every set of terms left out
        for kept in map(list, combinations(range(3), size)):
            part = gram[..., kept, :][..., kept] + 1e-10 * np.eye(size)
            some = np.linalg.solve(part, right[..., kept, None])[..., 0]
            errors = (
                (some[..., None, :] @ part @ some[..., None])[..., 0, 0]
                - 2 * (some * right[..., kept]).sum(-1)
                + L @ L
            )
            better = (some >= 0).all(-1) & (errors < best)
            found = np.zeros((*shape, 3))
            found[..., kept] = some
            best = np.where(better, errors, best)
            weights[better] = found[better]
        if size == 3 and (weights > 0).all():
            break  # nothing is gained by leaving a term out
    return best, weights
