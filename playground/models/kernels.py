"""One whole step of a model as one call of machine code, for CPUs.

A step of a small model is a hundred small operations, and calling them costs more than they do; a
step of a large one waits for its weights. So a kernel does everything from tokens to logits, and
reads weights once for all rows, in half precision where that is exact. The arithmetic is float32.

Each row goes through the same operations in the same order whatever rows are beside it and
however its prefix was cut into chunks: same bits, alone or in a batch. `plan` is a table of sizes
and addresses that `packing.py` makes.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from playground.models.vector_code import (
    HAS_LONG_VECTORS,
    LANES,
    PANEL,
    bits_as_float,
    dots,
    mix,
    pointer,
    tile,
)

# Entries of a Transformer's plan, then LAYER_SIZE addresses a layer.
N_LAYER, N_EMBD, VOCAB_SIZE, POSITIONS, TABLE_LENGTH, IS_HALF = range(6)  # numbers
EMBEDDING, TABLE, NORM, HEAD, LAYERS = range(6, 11)  # addresses
NORM_ATTENTION, QKV, PROJECT, NORM_MLP, EXPAND, CONTRACT, LAYER_SIZE = range(7)
ROTARY, ADDED = 0, 1  # POSITIONS: angles (2, T, D), or a table (T, C) that is added

WIDE, PAIR = (4, 2) if HAS_LONG_VECTORS else (2, 1)  # panels of a tile of 1 and of 2 rows
SKEW = 16  # values between rows, lest rows of 2^n values fight over the same cache lines
REDUCE = {"reassoc", "contract", "nsz"}  # what sums need to be vectorised
F = np.float32


def compiled(signature: str):
    """Compile for one signature, without the GIL, kept on disk where there is a place for it."""

    def wrap(function):
        options = {"nogil": True, "error_model": "numpy"}
        try:
            return njit(signature, cache=True, **options)(function)
        except RuntimeError as error:  # a read-only installation without a home folder
            if "cannot cache" not in str(error):
                raise
            return njit(signature, **options)(function)

    return wrap


@njit
def floats(address, rows, columns):
    """Return the float32 matrix at an address."""
    return carray(pointer(address), (rows, columns))


@njit
def padded(columns):
    """Return the distance of rows that have room for whole panels."""
    return (columns + PANEL - 1) // PANEL * PANEL + SKEW


def linear_of(is_half: bool):
    """Return the product with weights of one type, whose tiles are compiled for it."""
    item = 2 if is_half else 4

    @njit
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

    return linear


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
def rotate(x, at, turns, position, length):
    """Turn the pairs (x_i, x_{i + D/2}) from place `at` of x on, as `transformer.rotate` does."""
    half = turns.shape[1] // 2
    for i in range(half):
        low, high = x[at + i], x[at + half + i]
        cos, sin = turns[position, i], turns[length + position, half + i]
        x[at + i] = low * cos - high * sin
        x[at + half + i] = high * cos + low * sin


@njit(fastmath=REDUCE)
def attend(q, k, v, n, D, scores, out):
    """Mix v (n, D) into out (D,) by the softmax of q (D,) with k (n, D); but scores, addresses."""
    if D % LANES == 0:
        dots(q, k, n, D, scores.ctypes.data)
    else:
        queries, keys = floats(q, 1, D), floats(k, n, D)
        for t in range(n):
            total = F(0.0)
            for d in range(D):
                total += queries[0, d] * keys[t, d]
            scores[t] = total
    scale, top, total = F(1.0) / np.sqrt(F(D)), scores[0], F(0.0)
    for t in range(n):
        top = max(top, scores[t])
    for t in range(n):
        scores[t] = exp((scores[t] - top) * scale)
    for t in range(n):
        total += scores[t]
    for t in range(n):
        scores[t] /= total
    if D % LANES == 0:
        mix(scores.ctypes.data, v, n, D, out)
    else:
        values, mixed = floats(v, n, D), floats(out, 1, D)
        for d in range(D):
            mixed[0, d] = F(0.0)
        for t in range(n):
            for d in range(D):
                mixed[0, d] += scores[t] * values[t, d]


@njit
def embed(plan, tokens, start, x):
    """Write the embeddings of tokens (B, N) to x (B * N, C); return False if one is unknown."""
    C, V, N = plan[N_EMBD], plan[VOCAB_SIZE], tokens.shape[1]
    table, positions = floats(plan[EMBEDDING], V, C), floats(plan[TABLE], plan[TABLE_LENGTH], C)
    for r in range(x.shape[0]):
        token = tokens[r // N, r % N]
        if token < 0 or token >= V:
            return False
        for i in range(C):
            x[r, i] = table[token, i]
        if plan[POSITIONS] == ADDED:
            for i in range(C):
                x[r, i] += positions[start + r % N, i]
    return True


@njit
def attention(plan, qkv, memory, start, chunk, heads):
    """Rotate qkv (R, 3 C), remember keys and values, mix values into heads (R, C).

    `memory` (2, B, H, capacity, D) is this layer's. All of the chunk is written before any of
    it attends, and position i reads exactly i + 1 of what is there.
    """
    (_, B, H, capacity, D), C, length = memory.shape, plan[N_EMBD], plan[TABLE_LENGTH]
    turns = floats(plan[TABLE], 2 * length, D)
    for r in range(qkv.shape[0]):
        row, at = r // chunk, start + r % chunk
        for h in range(H):
            if plan[POSITIONS] == ROTARY:
                rotate(qkv[r], h * D, turns, at, length)
                rotate(qkv[r], C + h * D, turns, at, length)
            for d in range(D):
                memory[0, row, h, at, d] = qkv[r, C + h * D + d]
                memory[1, row, h, at, d] = qkv[r, 2 * C + h * D + d]
    scores = np.empty(start + chunk, np.float32)
    one_head = 4 * capacity * D  # bytes
    for r in range(qkv.shape[0]):
        row, n = r // chunk, start + r % chunk + 1
        q, out = qkv.ctypes.data + qkv.strides[0] * r, heads.ctypes.data + heads.strides[0] * r
        for h in range(H):
            k = memory.ctypes.data + one_head * (row * H + h)
            attend(q + 4 * D * h, k, k + one_head * B * H, n, D, scores, out + 4 * D * h)


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


@njit
def block(plan, layer, x, memory, start, chunk, normed, wide, heads):
    """Add one layer's attention and perceptron to the stream x (R, C); the last three are room."""
    at, C, is_half = LAYERS + LAYER_SIZE * layer, plan[N_EMBD], plan[IS_HALF] != 0
    layer_norm(x, plan[at + NORM_ATTENTION], C, normed)
    linear(normed, C, plan[at + QKV], is_half, wide, 3 * C)
    attention(plan, wide, memory, start, chunk, heads)
    linear(heads, C, plan[at + PROJECT], is_half, normed, C)
    add(x, normed, C)
    layer_norm(x, plan[at + NORM_MLP], C, normed)
    linear(normed, C, plan[at + EXPAND], is_half, wide, 4 * C)
    for r in range(wide.shape[0]):
        for i in range(4 * C):
            positive = max(wide[r, i], F(0.0))
            wide[r, i] = positive * positive
    linear(wide, 4 * C, plan[at + CONTRACT], is_half, normed, C)
    add(x, normed, C)


@njit
def unembed(plan, x, every, logits):
    """Write the logits (R / every, V) of each `every`-th row of the stream x (R, C)."""
    C, V, rows = plan[N_EMBD], plan[VOCAB_SIZE], logits.shape[0]
    room = np.empty((rows, padded(C)), np.float32)
    normed = np.empty((rows, padded(C)), np.float32)
    wide = np.empty((rows, padded(V)), np.float32)
    for r in range(rows):
        for i in range(C):
            room[r, i] = x[every * (r + 1) - 1, i]
    layer_norm(room, plan[NORM], C, normed)
    linear(normed, C, plan[HEAD], plan[IS_HALF] != 0, wide, V)
    copy(wide, logits, V)


@compiled(
    "boolean(int64[::1], int64[:, ::1], float32[:, :, :, :, :, ::1], int64, "
    "float32[:, :, ::1], float32[:, ::1])"
)
def transformer_step(plan, tokens, memory, start, hidden, logits):
    """Read tokens (B, N) at positions `start` on; return False if one of them is unknown.

    Keys and values go to memory (n_layer, 2, B, H, capacity, D), the stream after each layer to
    hidden (n_layer + 1 or 0, R, C), the logits to logits: (B * N, V), or (B, V) of the last
    tokens, or none. Without tokens, logits are those of what `hidden` (1, R, C) holds.
    """
    C, R = plan[N_EMBD], tokens.size if tokens.size else hidden.shape[1]
    x = np.empty((R, padded(C)), np.float32)
    if tokens.size:
        normed = np.empty((R, padded(C)), np.float32)
        wide = np.empty((R, padded(4 * C)), np.float32)
        heads = np.empty((R, padded(C)), np.float32)
        if not embed(plan, tokens, start, x):
            return False
        for layer in range(plan[N_LAYER]):
            if hidden.size:
                copy(x, hidden[layer], C)
            block(plan, layer, x, memory[layer], start, tokens.shape[1], normed, wide, heads)
        if hidden.size:
            copy(x, hidden[plan[N_LAYER]], C)
    else:
        copy(hidden[0], x, C)
    if logits.size:
        unembed(plan, x, R // logits.shape[0], logits)
    return True
