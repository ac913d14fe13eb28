"""What the kernels share: products with packed weights, norms, exponentials.

Everything is computed row by row in one order, whatever rows are beside it, so a row has the same
bits alone and in a batch. The arithmetic is float32, also where weights are stored as float16.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numba import carray, njit

from playground.models.vector_code import (
    HAS_LONG_VECTORS,
    PANEL,
    bits_as_float,
    pointer,
    tile,
)

log = logging.getLogger(__name__)

WIDE, PAIR = (4, 2) if HAS_LONG_VECTORS else (2, 1)  # panels of a tile of 1 and of 2 rows
SKEW = 16  # values between rows, lest rows of 2^n values fight over the same cache lines
REDUCE = {"reassoc", "contract", "nsz"}  # what sums need to be vectorised
F = np.float32
SHARED = (  # compiled into every kernel, or into another family's
    "atomics.py", "vector_code.py", "vector_math.py", "lstm_kernel.py", "pixelcnn_kernel.py",
    "transformer_kernel.py", "llama_jobs.py",
)  # fmt: skip


def compiled(signature: str):
    """Compile for one signature, without the GIL, kept on disk where there is a place for it."""

    def wrap(function):
        options = {"nogil": True, "error_model": "numpy"}
        try:
            kernel = njit(cache=True, **options)(function)
            file = kernel._cache._cache_file  # numba looks at the kernel's own module alone
            file._source_stamp = (file._source_stamp, *shared_sources())
            kernel.compile(signature)
        except (RuntimeError, OSError) as error:  # a read-only installation without a home folder
            log.warning("%s is compiled anew in every process: %s", function.__name__, error)
            return njit(signature, **options)(function)
        kernel.disable_compile()
        return kernel

    return wrap


def shared_sources() -> list[tuple[float, int]]:
    """Return time and size of the modules that are compiled into every kernel."""
    folder = Path(__file__).parent
    found = [(folder / name).stat() for name in SHARED]
    return [(file.st_mtime, file.st_size) for file in found]


@njit
def floats(address, rows, columns):
    """Return the float32 matrix at an address."""
    return carray(pointer(address), (rows, columns), np.float32)


@njit
def padded(columns):
    """Return the distance of rows that have room for whole panels."""
    return (columns + PANEL - 1) // PANEL * PANEL + SKEW


def linear_of(is_half: bool):
    """Return the product with weights of one type, whose tiles are compiled for it.

    Each has a name of its own. Kernels that were compiled in different processes bring machine code
    of their helpers along, and in one process the first of a name serves all: numba tells helpers
    apart by name and by a number that depends on what was imported before.
    """
    item = 2 if is_half else 4

    def linear(x, stride, rows, depth, weights, out, out_stride, columns):
        """Multiply x (rows, depth) by packed weights into out (rows, whole panels of columns)."""
        panels = (columns + PANEL - 1) // PANEL
        size, step, to_step = item * PANEL * depth, 4 * stride, 4 * out_stride
        for first in range(0, panels, WIDE):  # weights are read once, rows go by
            w, to, row, left = weights + first * size, out + 4 * PANEL * first, x, rows
            block = min(WIDE, panels - first)
            while left:
                done = 1
                if left >= 8 and HAS_LONG_VECTORS:
                    done = 8
                    for p in range(block):
                        o = to + 4 * PANEL * p
                        tile(8, 1, is_half, row, stride, w + p * size, depth, o, out_stride)
                elif left >= 4 and HAS_LONG_VECTORS:
                    done = 4
                    for p in range(block):
                        o = to + 4 * PANEL * p
                        tile(4, 1, is_half, row, stride, w + p * size, depth, o, out_stride)
                elif block < WIDE:
                    for p in range(block):
                        o = to + 4 * PANEL * p
                        tile(1, 1, is_half, row, stride, w + p * size, depth, o, out_stride)
                elif left >= 2:
                    done = 2
                    for p in range(0, WIDE, PAIR):
                        o = to + 4 * PANEL * p
                        tile(2, PAIR, is_half, row, stride, w + p * size, depth, o, out_stride)
                else:
                    tile(1, WIDE, is_half, row, stride, w, depth, to, out_stride)
                row, to, left = row + done * step, to + done * to_step, left - done

    linear.__name__ = linear.__qualname__ = f"linear_{'half' if is_half else 'float'}"
    return njit(linear)


linear_half, linear_float = linear_of(True), linear_of(False)


@njit
def linear(x, depth, weights, is_half, out, columns):
    """Multiply x (R, > depth) by packed weights (depth, columns) into out (R, > columns)."""
    x_stride, out_stride = x.strides[0] // 4, out.strides[0] // 4
    at, to, rows = x.ctypes.data, out.ctypes.data, x.shape[0]
    if is_half:
        linear_half(at, x_stride, rows, depth, weights, to, out_stride, columns)
    else:
        linear_float(at, x_stride, rows, depth, weights, to, out_stride, columns)


@njit(fastmath={"contract"})
def exp(x):
    """Compute e^x of a float32 to its last bit or two, in a way that vectorises."""
    x = min(max(x, F(-87.0)), F(88.0))
    k = np.int32(x * F(1.4426950408889634) + F(1024.5)) - np.int32(1024)  # rounds
    r = x - F(k) * F(0.693145751953125)
    r -= F(k) * F(1.428606765330187e-06)  # ln 2 in two parts
    p = (F(1 / 720) * r + F(1 / 120)) * r + F(1 / 24)
    p = ((p * r + F(1 / 6)) * r + F(0.5)) * r + F(1.0)
    return (p * r + F(1.0)) * bits_as_float((k + np.int32(127)) << np.int32(23))


@njit(fastmath=REDUCE)
def layer_norm(x, weight, C, out):
    """Normalise each row of x (R, C) into out; `weight` (C,) is an address."""
    scales = floats(weight, 1, C)
    for r in range(x.shape[0]):
        mean = F(0.0)
        for i in range(C):
            mean += x[r, i]
        mean /= F(C)
        variance = F(0.0)
        for i in range(C):
            variance += (x[r, i] - mean) * (x[r, i] - mean)
        scale = F(1.0) / np.sqrt(variance / F(C) + F(1e-5))
        for i in range(C):
            out[r, i] = (x[r, i] - mean) * scale * scales[0, i]


@njit
def add(x, more, columns):
    """Add more (R, C) to x (R, C)."""
    for r in range(x.shape[0]):
        for i in range(columns):
            x[r, i] += more[r, i]


@njit
def copy(x, out, columns):
    """Copy x (R, C) to out (R, C)."""
    for r in range(x.shape[0]):
        for i in range(columns):
            out[r, i] = x[r, i]
