"""In which order the pixels of a picture are decided.

The chain rule holds in any order: p(x) = prod_t p(x_o(t) | x_o(1), ..., x_o(t-1)) is the same joint
distribution for every permutation o. What a model of limited size can learn of its factors is not
the same: Larochelle & Murray 2011 (NADE) fix one at random, and later work averages over many.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np

ORDERS = {
    "raster": "row by row",
    "column": "column by column",
    "spiral": "around the edge, then inwards",
    "random": "scattered, the same for all",
}


@lru_cache(maxsize=16)
def pixels_in_order(order: str, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return the row-major number of every pixel (height * width,) in the order of decision.

    Columns go from the left to the right, the spiral clockwise from the top left; `seed` chooses
    the permutation of the order `random` and means nothing to the others. The array is shared, so
    it cannot be written to.
    """
    number = np.arange(height * width)
    grid = number.reshape(height, width)
    if order == "column":
        number = grid.T.ravel()
    elif order == "spiral":
        number = np.concatenate(_rings(grid))
    elif order == "random":
        number = np.array(sorted(number.tolist(), key=lambda pixel: _ticket(seed, pixel)))
    elif order != "raster":
        raise ValueError(order)
    number.setflags(write=False)
    return number


def _rings(grid: np.ndarray) -> list[np.ndarray]:
    """Peel the top row off a grid and turn the rest to the left, until nothing is left."""
    peeled = []
    while grid.size:
        peeled.append(grid[0])
        grid = np.rot90(grid[1:])
    return peeled


def _ticket(seed: int, pixel: int) -> bytes:
    """Return what a pixel is sorted by: no library's generator, which a release may change."""
    return hashlib.sha256(f"pixel order {seed} {pixel}".encode()).digest()
