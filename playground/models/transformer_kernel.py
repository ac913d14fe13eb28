"""One whole step of a Transformer as one call of machine code, for CPUs.

A step of a small model is a hundred small operations, and calling them costs more than they do; a
step of a large one waits for its weights. So a kernel does everything from tokens to logits, and
reads the weights once for all rows.

Each row goes through the same operations in the same order whatever rows are beside it and
however its prefix was cut into chunks: same bits, alone or in a batch. `plan` is a table of sizes
and addresses that `stepping.py` makes.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from playground.models.vector_code import LANES, dots, mix
from playground.models.vector_math import (
    REDUCE,
    F,
    add,
    compiled,
    copy,
    exp,
    floats,
    layer_norm,
    linear,
    padded,
)

# Entries of a Transformer's plan, then LAYER_SIZE addresses a layer.
N_LAYER, N_EMBD, VOCAB_SIZE, POSITIONS, TABLE_LENGTH, IS_HALF = range(6)  # numbers
EMBEDDING, TABLE, NORM, HEAD, LAYERS = range(6, 11)  # addresses
NORM_ATTENTION, QKV, PROJECT, NORM_MLP, EXPAND, CONTRACT, LAYER_SIZE = range(7)
ROTARY, ADDED = 0, 1  # POSITIONS: angles (2, T, D), or a table (T, C) that is added


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
