"""Steps of a WaveNet as one call of machine code, for CPUs.

A sample of a small model is forty tiny products, and calling them costs ten times what they do.
See `transformer_kernel.py` for what a plan is, and for why a row has the same bits alone and beside
others.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from playground.models.lstm_kernel import add_bias, logistic, tanh
from playground.models.pixelcnn_kernel import add_start, rectify
from playground.models.vector_math import F, compiled, copy, exp, floats, linear, padded

# Entries of the plan, then LAYER_SIZE entries a layer.
N_LAYER, CHANNELS, SKIP_CHANNELS, LEVELS, KERNEL_SIZE, HOP, IS_HALF = range(7)  # numbers
EMBEDDING, INNER, INNER_BIAS, OUTER, OUTER_BIAS, LAYERS = range(7, 13)  # addresses
DILATION, GATES, GATES_BIAS, OUTPUTS, OUTPUTS_BIAS, LAYER_SIZE = range(6)
BELOW_ONE = 1 - 2.0**-50  # as in `strategies.draw`


@njit(fastmath={"contract"})
def gate(x, bias, told, C, out):
    """Write tanh(a) * logistic(b) of the halves of x (2 C,) and its biases to out (C,)."""
    for i in range(C):
        content = x[i] + bias[i] + told[i]
        strength = x[C + i] + bias[C + i] + told[C + i]
        out[i] = tanh(content) * logistic(strength)


@njit
def read_one(plan, tokens, memory, place, time, biases, skips):
    """Read one token (B,) of each row into `place` of memory (n_layer, B, capacity, C).

    Sums its skips up in skips (B, > S); returns False if a token is unknown.
    """
    B, C, S, k = len(tokens), plan[CHANNELS], plan[SKIP_CHANNELS], plan[KERNEL_SIZE]
    is_half = plan[IS_HALF] != 0
    frame = min(time // plan[HOP], biases.shape[1] - 1)
    table = floats(plan[EMBEDDING], plan[LEVELS] + 1, C)
    window = np.empty((B, padded(k * C)), np.float32)
    gates = np.empty((B, padded(2 * C)), np.float32)
    gated = np.empty((B, padded(C)), np.float32)
    outputs = np.empty((B, padded(C + S)), np.float32)
    x = np.empty((B, C), np.float32)
    for b in range(B):
        if tokens[b] < 0 or tokens[b] > plan[LEVELS]:
            return False
        for i in range(C):
            x[b, i] = table[tokens[b], i]
        for i in range(S):
            skips[b, i] = F(0.0)
    for layer in range(plan[N_LAYER]):
        a = LAYERS + LAYER_SIZE * layer
        d, queue = plan[a + DILATION], memory[layer]
        for b in range(B):
            for j in range(k - 1):
                past = queue[b, place - (k - 1 - j) * d]
                for i in range(C):
                    window[b, j * C + i] = past[i]
            for i in range(C):
                window[b, (k - 1) * C + i] = x[b, i]
                queue[b, place, i] = x[b, i]
        linear(window, k * C, plan[a + GATES], is_half, gates, 2 * C)
        bias = floats(plan[a + GATES_BIAS], 1, 2 * C)[0]
        for b in range(B):
            told = biases[b, frame, layer * 2 * C : (layer + 1) * 2 * C]
            gate(gates[b], bias, told, C, gated[b])
        linear(gated, C, plan[a + OUTPUTS], is_half, outputs, C + S)
        bias = floats(plan[a + OUTPUTS_BIAS], 1, C + S)[0]
        for b in range(B):
            for i in range(C):
                x[b, i] += outputs[b, i] + bias[i]
            for i in range(S):
                skips[b, i] += outputs[b, C + i] + bias[C + i]
    return True


@njit
def head(plan, skips, logits):
    """Write the logits (B, levels + 1) of skips (B, > S)."""
    S, levels, is_half = plan[SKIP_CHANNELS], plan[LEVELS], plan[IS_HALF] != 0
    B = logits.shape[0]
    x = np.empty((B, padded(S)), np.float32)
    inner = np.empty((B, padded(S)), np.float32)
    outer = np.empty((B, padded(levels)), np.float32)
    rectify(skips, S, x)
    linear(x, S, plan[INNER], is_half, inner, S)
    add_bias(inner, floats(plan[INNER_BIAS], 1, S), S)
    rectify(inner, S, x)
    linear(x, S, plan[OUTER], is_half, outer, levels)
    add_bias(outer, floats(plan[OUTER_BIAS], 1, levels), levels)
    copy(outer, logits, levels)
    add_start(logits, levels)


@njit
def draw(logits, levels, inverse_temperature, uniform, weights):
    """Return the level that a uniform number falls on in the cumulated probabilities."""
    most = logits[0]
    for i in range(1, levels):
        most = max(most, logits[i])
    for i in range(levels):
        weights[i] = exp((logits[i] - most) * inverse_temperature)
    total = 0.0
    for i in range(levels):
        total += weights[i]
    mark, cumulated = uniform * total * BELOW_ONE, 0.0
    for i in range(levels):
        cumulated += weights[i]
        if cumulated > mark:
            return i
    return levels - 1


@compiled(
    "boolean(int64[::1], int64[:, ::1], float32[:, :, :, ::1], int64, int64, "
    "float32[:, :, ::1], float32[:, :, ::1])"
)
def wavenet_step(plan, tokens, memory, place, time, biases, logits):
    """Read tokens (B, N), the first of them number `time`; return False if one is unknown.

    Writes each layer's inputs to memory (n_layer, B, capacity, C) from `place` on, and the logits
    (B, wanted, V) of the last tokens. Tokens whose logits are not wanted need no head.
    """
    B, N = tokens.shape
    skips = np.empty((B, padded(plan[SKIP_CHANNELS])), np.float32)
    for n in range(N):
        if not read_one(plan, tokens[:, n], memory, place + n, time + n, biases, skips):
            return False
        wanted = n - (N - logits.shape[1])
        if wanted >= 0:
            head(plan, skips, logits[:, wanted])
    return True


@compiled(
    "boolean(int64[::1], int64, float32[:, :, :, ::1], int64, int64, float32[:, :, ::1], "
    "float64[::1], float64, int64[::1], float32[:, ::1])"
)
def wavenet_sample(
    plan, token, memory, place, time, biases, uniforms, inverse_temperature, tokens, logits
):
    """Read `token`, draw what follows with a uniform number, read it, and so on, N times.

    Writes the tokens (N,) and the logits (N, V) that each was drawn from.
    """
    skips = np.empty((1, padded(plan[SKIP_CHANNELS])), np.float32)
    weights = np.empty(plan[LEVELS], np.float32)
    newest = np.array([token])
    for n in range(len(uniforms)):
        if not read_one(plan, newest, memory, place + n, time + n, biases, skips):
            return False
        head(plan, skips, logits[n : n + 1])
        newest[0] = draw(logits[n], plan[LEVELS], F(inverse_temperature), uniforms[n], weights)
        tokens[n] = newest[0]
    return True
