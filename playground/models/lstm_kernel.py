"""Whole steps of an LSTM as one call of machine code, for CPUs."""

from __future__ import annotations

import numpy as np
from numba import njit

from playground.models.vector_math import F, compiled, copy, exp, floats, linear, padded

# Entries of the plan, then LAYER_SIZE addresses a layer.
N_LAYER, N_EMBD, N_HIDDEN, VOCAB_SIZE, IS_HALF = range(5)  # numbers
EMBEDDING, PROJECT, PROJECT_BIAS, HEAD, HEAD_BIAS, LAYERS = range(5, 11)  # addresses
INPUT, RECURRENT, BIAS, LAYER_SIZE = range(4)


@njit(fastmath={"contract"})
def logistic(x):
    return F(1.0) / (F(1.0) + exp(-x))


@njit(fastmath={"contract"})
def tanh(x):
    return F(2.0) * logistic(F(2.0) * x) - F(1.0)


@njit(fastmath={"contract"})
def cell(from_input, from_output, bias, h, c, H):
    """Update h and c (H,) of one row by its gates (4 H,), in the order input, forget, cell, out."""
    for j in range(H):
        i = logistic(from_input[j] + from_output[j] + bias[j])
        f = logistic(from_input[H + j] + from_output[H + j] + bias[H + j])
        g = tanh(from_input[2 * H + j] + from_output[2 * H + j] + bias[2 * H + j])
        o = logistic(from_input[3 * H + j] + from_output[3 * H + j] + bias[3 * H + j])
        c[j] = f * c[j] + i * g
        h[j] = o * tanh(c[j])


@njit
def run_layer(plan, layer, x, depth, h, c, outputs):
    """Run x (N * B, depth), time first, through a layer; change h and c (B, H), fill outputs."""
    at, H, B = LAYERS + LAYER_SIZE * layer, plan[N_HIDDEN], h.shape[0]
    is_half, bias = plan[IS_HALF] != 0, floats(plan[at + BIAS], 1, 4 * H)
    from_input = np.empty((x.shape[0], padded(4 * H)), np.float32)
    from_output = np.empty((B, padded(4 * H)), np.float32)
    linear(x, depth, plan[at + INPUT], is_half, from_input, 4 * H)
    for first in range(0, x.shape[0], B):  # one time step
        linear(h, H, plan[at + RECURRENT], is_half, from_output, 4 * H)
        for b in range(B):
            cell(from_input[first + b], from_output[b], bias[0], h[b], c[b], H)
        copy(h, outputs[first : first + B], H)


@njit
def unembed(plan, x, logits):
    """Write the logits (R, V) of outputs x (R, H) of the last layer."""
    C, V, is_half, rows = plan[N_EMBD], plan[VOCAB_SIZE], plan[IS_HALF] != 0, x.shape[0]
    projected = np.empty((rows, padded(C)), np.float32)
    wide = np.empty((rows, padded(V)), np.float32)
    linear(x, plan[N_HIDDEN], plan[PROJECT], is_half, projected, C)
    add_bias(projected, floats(plan[PROJECT_BIAS], 1, C), C)
    linear(projected, C, plan[HEAD], is_half, wide, V)
    add_bias(wide, floats(plan[HEAD_BIAS], 1, V), V)
    copy(wide, logits, V)


@njit
def add_bias(x, bias, columns):
    for r in range(x.shape[0]):
        for i in range(columns):
            x[r, i] += bias[0, i]


@compiled(
    "boolean(int64[::1], int64[:, ::1], float32[:, :, ::1], float32[:, :, ::1], "
    "float32[:, :, ::1], float32[:, ::1])"
)
def lstm_step(plan, tokens, hs, cs, hidden, logits):
    """Read tokens (B, N); return False if one of them is unknown.

    Changes hs and cs (n_layer, B, H); writes each layer's outputs to hidden (n_layer or 0, N * B,
    H), time first, and logits to logits: (N * B, V), time first, or (B, V) of the last, or none.
    Without tokens, logits are those of what `hidden` (1, R, H) holds.
    """
    if tokens.size == 0:
        unembed(plan, hidden[0], logits)
        return True
    (B, N), C, V, H = tokens.shape, plan[N_EMBD], plan[VOCAB_SIZE], plan[N_HIDDEN]
    x, depth = np.empty((N * B, padded(C)), np.float32), C
    table = floats(plan[EMBEDDING], V, C)
    for r in range(N * B):
        token = tokens[r % B, r // B]
        if token < 0 or token >= V:
            return False
        for i in range(C):
            x[r, i] = table[token, i]
    for layer in range(plan[N_LAYER]):
        outputs = np.empty((N * B, padded(H)), np.float32)
        run_layer(plan, layer, x, depth, hs[layer], cs[layer], outputs)
        if hidden.size:
            copy(outputs, hidden[layer], H)
        x, depth = outputs, H
    if logits.size:
        unembed(plan, x[N * B - logits.shape[0] :], logits)
    return True
