"""One whole step of a Llama-like decoder as one call of machine code, for CPUs.

A step of such a model is a walk through its weights, so what counts is that they come in at the
speed of memory: `row_dots` reads them where torch keeps them, or a copy in 16 bits if that holds
the same values, each matrix as one stream. Products and attention are jobs that a helper shares,
with the same bits whoever does them (`llama_jobs.py`).

`plan` and `places` are tables of sizes and addresses that `llama_stepping.py` makes.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from playground.models.llama_jobs import (
    AT,
    ATTENTION,
    BATCH,
    CAPACITY,
    CHUNK,
    DEPTH,
    GROUP,
    HELPER_ROOM,
    HELPER_TO,
    JOB_SIZE,
    KV_HEADS,
    MATRICES,
    MOST,
    PER,
    ROOM,
    ROWS,
    SIZE,
    START,
    TO,
    TO_STRIDE,
    UNITS,
    WHAT,
    WIDTH,
    X_STRIDE,
    X,
    helper_is_free,
    run,
)  # fmt: skip
from playground.models.vector_code import FLOAT32
from playground.models.vector_math import REDUCE, F, compiled, exp, floats

# Entries of a plan, then LAYER_SIZE addresses a layer; an address of 0 is something left out.
N_LAYER, N_EMBD, VOCAB_SIZE, N_HEAD, N_KV_HEAD, HEAD_SIZE, N_INNER, KIND = range(8)  # numbers
EMBEDDING, FREQUENCIES, NUMBERS, NORM, HEAD, HEAD_BIAS, LAYERS = range(8, 15)  # addresses
(
    NORM_ATTENTION, Q, K, V, Q_BIAS, K_BIAS, V_BIAS, Q_NORM, K_NORM, PROJECT, PROJECT_BIAS,
    NORM_MLP, GATE, UP, GATE_BIAS, UP_BIAS, DOWN, DOWN_BIAS, LAYER_SIZE,
) = range(19)  # fmt: skip
EPSILON, ROTARY_SCALE = 0, 1  # of NUMBERS, two floats

# Addresses in `places`: what R rows need while they pass, and the helper's own room.
STREAM, NORMED, WIDE, INNER, HEADS, TURNS, SCORES, OWN, OWN_SCORES, N_PLACES = range(10)

PIECE_BYTES = 48 * 1024  # of weights: some microseconds, and half of a small second-level cache
MIN_SHARED = 1 << 15  # multiplications of attention that are worth a helper


@njit
def multiply(plan, job, mailbox, places, x, depth, out, rows, a, width, b, width_b, c, width_c):
    """Multiply x (R, depth) by up to three matrices into out (R, their columns together)."""
    kind, total = plan[KIND], width + width_b + width_c
    row_bytes = depth * (4 if kind == FLOAT32 else 2)
    per = max(PIECE_BYTES // row_bytes, (total + MOST - 1) // MOST, 1)
    job[WHAT], job[UNITS], job[PER], job[WIDTH] = kind, total, per, 1
    job[X], job[X_STRIDE], job[ROWS], job[DEPTH] = x, depth, rows, depth
    job[TO], job[HELPER_TO], job[TO_STRIDE] = out, places[OWN], total
    job[MATRICES], job[MATRICES + 1] = a, width
    job[MATRICES + 2], job[MATRICES + 3] = b, width_b
    job[MATRICES + 4], job[MATRICES + 5] = c, width_c
    run(job, mailbox)


@njit
def add_bias(x, begin, columns, bias):
    if bias:
        values = floats(bias, 1, columns)
        for r in range(x.shape[0]):
            for i in range(columns):
                x[r, begin + i] += values[0, i]


@njit(fastmath=REDUCE)
def rms_norm(x, begin, columns, weight, epsilon, out, to):
    """Normalise `columns` values of each row of x from `begin` on into out, from `to` on."""
    scales = floats(weight, 1, columns)
    for r in range(x.shape[0]):
        total = F(0.0)
        for i in range(columns):
            total += x[r, begin + i] * x[r, begin + i]
        scale = F(1.0) / np.sqrt(total / F(columns) + epsilon)
        for i in range(columns):
            out[r, to + i] = scales[0, i] * (x[r, begin + i] * scale)


@njit
def find_turns(plan, turns, start):
    """Write cosines, then sines, of the angles of positions `start` on to turns (N, D)."""
    N, D = turns.shape
    half = D // 2
    frequencies, scale = floats(plan[FREQUENCIES], 1, half), floats(plan[NUMBERS], 1, 2)
    for n in range(N):
        for i in range(half):
            angle = F(start + n) * frequencies[0, i]
            turns[n, i] = np.cos(angle) * scale[0, ROTARY_SCALE]
            turns[n, half + i] = np.sin(angle) * scale[0, ROTARY_SCALE]


@njit
def rotate(x, begin, turns):
    """Turn the pairs (x_i, x_{i + D/2}) of each row from `begin` on; row r is at r % N."""
    N, D = turns.shape
    half = D // 2
    for r in range(x.shape[0]):
        for i in range(half):
            low, high = x[r, begin + i], x[r, begin + half + i]
            cos, sin = turns[r % N, i], turns[r % N, half + i]
            x[r, begin + i] = low * cos - high * sin
            x[r, begin + half + i] = high * cos + low * sin


@njit
def attention(plan, at, qkv, turns, memory, start, heads, job, mailbox, places):
    """Rotate qkv, remember keys and values in memory (2, B, H_kv, capacity, D), fill `heads`.

    All of a chunk is written before any of it attends; position i reads exactly i + 1 of it.
    """
    (_, B, Hk, capacity, D), H, chunk = memory.shape, plan[N_HEAD], turns.shape[0]
    epsilon = floats(plan[NUMBERS], 1, 2)[0, EPSILON]
    add_bias(qkv, 0, H * D, plan[at + Q_BIAS])
    add_bias(qkv, H * D, Hk * D, plan[at + K_BIAS])
    add_bias(qkv, (H + Hk) * D, Hk * D, plan[at + V_BIAS])
    for h in range(H + Hk):
        weight = plan[at + Q_NORM] if h < H else plan[at + K_NORM]
        if weight:
            rms_norm(qkv, h * D, D, weight, epsilon, qkv, h * D)
        rotate(qkv, h * D, turns)
    R = qkv.shape[0]
    for r in range(R):
        for h in range(Hk):
            for d in range(D):
                memory[0, r // chunk, h, start + r % chunk, d] = qkv[r, (H + h) * D + d]
                memory[1, r // chunk, h, start + r % chunk, d] = qkv[r, (H + Hk + h) * D + d]
    job[WHAT], job[UNITS], job[PER], job[WIDTH] = ATTENTION, H, 1, D
    if R * H * D * (start + chunk) < MIN_SHARED:
        job[PER] = H
    job[X], job[X_STRIDE], job[ROWS] = qkv.ctypes.data, qkv.shape[1], R
    job[TO], job[HELPER_TO], job[TO_STRIDE] = heads.ctypes.data, places[OWN], H * D
    job[AT], job[CHUNK], job[START], job[CAPACITY] = memory.ctypes.data, chunk, start, capacity
    job[KV_HEADS], job[GROUP], job[SIZE], job[BATCH] = Hk, H // Hk, D, B
    run(job, mailbox)


@njit
def add_to_stream(stream, more):
    for r in range(stream.shape[0]):
        for i in range(stream.shape[1]):
            stream[r, i] += more[r, i]


@njit
def block(plan, at, memory, start, chunk, R, job, mailbox, places):
    """Add one layer's attention and perceptron to the stream."""
    C, H, Hk, D, inner = (
        plan[N_EMBD], plan[N_HEAD], plan[N_KV_HEAD], plan[HEAD_SIZE], plan[N_INNER],
    )  # fmt: skip
    epsilon, none = floats(plan[NUMBERS], 1, 2)[0, EPSILON], np.int64(0)
    stream, normed = floats(places[STREAM], R, C), floats(places[NORMED], R, C)
    qkv, heads = floats(places[WIDE], R, (H + 2 * Hk) * D), floats(places[HEADS], R, H * D)
    rms_norm(stream, 0, C, plan[at + NORM_ATTENTION], epsilon, normed, 0)
    multiply(
        plan, job, mailbox, places, places[NORMED], C, places[WIDE], R,
        plan[at + Q], H * D, plan[at + K], Hk * D, plan[at + V], Hk * D,
    )  # fmt: skip
    turns = floats(places[TURNS], chunk, D)
    attention(plan, at, qkv, turns, memory, start, heads, job, mailbox, places)
    multiply(
        plan, job, mailbox, places, places[HEADS], H * D, places[NORMED], R,
        plan[at + PROJECT], C, none, none, none, none,
    )  # fmt: skip
    add_bias(normed, 0, C, plan[at + PROJECT_BIAS])
    add_to_stream(stream, normed)
    rms_norm(stream, 0, C, plan[at + NORM_MLP], epsilon, normed, 0)
    multiply(
        plan, job, mailbox, places, places[NORMED], C, places[WIDE], R,
        plan[at + GATE], inner, plan[at + UP], inner, none, none,
    )  # fmt: skip
    wide, gated = floats(places[WIDE], R, 2 * inner), floats(places[INNER], R, inner)
    add_bias(wide, 0, inner, plan[at + GATE_BIAS])
    add_bias(wide, inner, inner, plan[at + UP_BIAS])
    for r in range(R):
        for i in range(inner):
            gate = wide[r, i]
            gated[r, i] = gate / (F(1.0) + exp(-gate)) * wide[r, inner + i]
    multiply(
        plan, job, mailbox, places, places[INNER], inner, places[NORMED], R,
        plan[at + DOWN], C, none, none, none, none,
    )  # fmt: skip
    add_bias(normed, 0, C, plan[at + DOWN_BIAS])
    add_to_stream(stream, normed)


@compiled(
    "boolean(int64[::1], int64[:, ::1], float32[:, :, :, :, :, ::1], int64, "
    "float32[:, ::1], int64[::1], int64[::1])"
)
def llama_step(plan, tokens, memory, start, logits, places, mailbox):
    """Read tokens (B, N) at positions `start` on; return False if one of them is unknown.

    Keys and values go to memory (n_layer, 2, B, n_kv_head, capacity, D), the logits to logits:
    (B * N, V), or (B, V) of the last tokens.
    """
    (B, N), C, V = tokens.shape, plan[N_EMBD], plan[VOCAB_SIZE]
    R, rows = B * N, logits.shape[0]
    stream, table = floats(places[STREAM], R, C), floats(plan[EMBEDDING], V, C)
    for r in range(R):
        token = tokens[r // N, r % N]
        if token < 0 or token >= V:
            return False
        for i in range(C):
            stream[r, i] = table[token, i]
    find_turns(plan, floats(places[TURNS], N, plan[HEAD_SIZE]), start)
    job = np.zeros(JOB_SIZE, np.int64)
    job[ROOM], job[HELPER_ROOM] = places[SCORES], places[OWN_SCORES]
    for layer in range(plan[N_LAYER]):
        at = LAYERS + LAYER_SIZE * layer
        block(plan, at, memory[layer], start, N, R, job, mailbox, places)
    every = R // rows
    for r in range(rows):  # from the first on, so that none is needed after it is written over
        for i in range(C):
            stream[r, i] = stream[every * (r + 1) - 1, i]
    last = floats(places[STREAM], rows, C)
    epsilon, none = floats(plan[NUMBERS], 1, 2)[0, EPSILON], np.int64(0)
    rms_norm(last, 0, C, plan[NORM], epsilon, floats(places[NORMED], rows, C), 0)
    multiply(
        plan, job, mailbox, places, places[NORMED], C, np.int64(logits.ctypes.data), rows,
        plan[HEAD], V, none, none, none, none,
    )  # fmt: skip
    add_bias(logits, 0, V, plan[HEAD_BIAS])
    if mailbox.size:
        helper_is_free(mailbox.ctypes.data)
    return True


@compiled("boolean(uint32[::1], uint16[::1])")
def narrow(values, out):
    """Write the upper halves of float32 values, as bfloat16; return False once one has a lower."""
    for first in range(0, values.size, 1 << 14):
        lower = np.uint32(0)
        for i in range(first, min(values.size, first + (1 << 14))):
            out[i] = np.uint16(values[i] >> np.uint32(16))
            lower |= values[i] & np.uint32(0xFFFF)
        if lower:
            return False
    return True
