"""Steps of a SampleRNN, and whole stretches of sampling, as one call of machine code, for CPUs.

A step is five small products, and calling them costs ten times what they do. See `lstm_kernel.py`
for what a plan is; a row has the same bits alone, beside others, and in chunks of any size.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from playground.models.lstm_kernel import add_bias, logistic, tanh
from playground.models.pixelcnn_kernel import add_start
from playground.models.vector_math import F, compiled, copy, floats, linear, padded

# Entries of the plan, then LAYER_SIZE addresses a layer, then PLACE_SIZE a place of a frame.
N_LAYER, FRAME_SIZE, N_EMBD, N_HIDDEN, N_CONDITION, N_MLP, LEVELS, IS_HALF = range(8)  # numbers
EMBEDDING, READ, READ_BIAS, INNER, INNER_BIAS, OUTER, OUTER_BIAS, LAYERS = range(8, 16)  # addresses
INPUT, RECURRENT, INPUT_BIAS, RECURRENT_BIAS, LAYER_SIZE = range(5)
UPSAMPLE, UPSAMPLE_BIAS, PLACE_SIZE = range(3)
BELOW_ONE = 1 - 2.0**-50  # as in `decoding.strategies`


@njit(fastmath={"contract"})
def cell(from_input, from_output, input_bias, output_bias, h, H):
    """Update h (H,) of one row by its gates (3 H,), in the order reset, update, new."""
    for j in range(H):
        u, n = H + j, 2 * H + j
        reset = logistic(from_input[j] + input_bias[j] + from_output[j] + output_bias[j])
        update = logistic(from_input[u] + input_bias[u] + from_output[u] + output_bias[u])
        new = tanh(from_input[n] + input_bias[n] + reset * (from_output[n] + output_bias[n]))
        h[j] = update * h[j] + (F(1.0) - update) * new


@njit
def put_window(plan, tokens, out):
    """Write the embeddings of the tokens (S,) to out (>= S * C)."""
    C = plan[N_EMBD]
    table = floats(plan[EMBEDDING], plan[LEVELS] + 1, C)
    for s in range(plan[FRAME_SIZE]):
        for i in range(C):
            out[s * C + i] = table[tokens[s], i]


@njit
def hear(plan, frame, hs):
    """Change the frame tier's outputs hs (n_layer, B, H) by a frame of tokens (B, S)."""
    B, H, depth = len(frame), plan[N_HIDDEN], plan[FRAME_SIZE] * plan[N_EMBD]
    is_half = plan[IS_HALF] != 0
    x = np.empty((B, padded(max(depth, H))), np.float32)
    from_input = np.empty((B, padded(3 * H)), np.float32)
    from_output = np.empty((B, padded(3 * H)), np.float32)
    for b in range(B):
        put_window(plan, frame[b], x[b])
    for layer in range(plan[N_LAYER]):
        at, h = LAYERS + LAYER_SIZE * layer, hs[layer]
        linear(x, depth, plan[at + INPUT], is_half, from_input, 3 * H)
        linear(h, H, plan[at + RECURRENT], is_half, from_output, 3 * H)
        input_bias = floats(plan[at + INPUT_BIAS], 1, 3 * H)[0]
        output_bias = floats(plan[at + RECURRENT_BIAS], 1, 3 * H)[0]
        for b in range(B):
            cell(from_input[b], from_output[b], input_bias, output_bias, h[b], H)
        copy(h, x, H)
        depth = H


@njit
def layer(plan, x, depth, entry, columns):
    """Return x (R, > depth) after one layer of the sample tier, not yet rectified."""
    out = np.empty((len(x), padded(columns)), np.float32)
    linear(x, depth, plan[entry], plan[IS_HALF] != 0, out, columns)
    add_bias(out, floats(plan[entry + 1], 1, columns), columns)
    return out


@njit
def rectify(x, columns):
    """Replace what is below 0 in x (R, C)."""
    for r in range(len(x)):
        for i in range(columns):
            x[r, i] = max(x[r, i], F(0.0))


@njit
def tell(plan, known, first, place, h, logits):
    """Write logits (B, n, V) of what follows each of the tokens known (B, S + ...) from `first` on.

    They are of one frame, which the frame tier has told h (B, H); `place` is the first one's.
    """
    (B, n, V), S, K, M = logits.shape, plan[FRAME_SIZE], plan[N_CONDITION], plan[N_MLP]
    depth, is_half = S * plan[N_EMBD], plan[IS_HALF] != 0
    x = np.empty((n * B, padded(depth + K)), np.float32)
    told = np.empty((B, padded(K)), np.float32)
    for i in range(n):
        at = LAYERS + LAYER_SIZE * plan[N_LAYER] + PLACE_SIZE * (place + i)
        linear(h, plan[N_HIDDEN], plan[at + UPSAMPLE], is_half, told, K)
        add_bias(told, floats(plan[at + UPSAMPLE_BIAS], 1, K), K)
        for b in range(B):
            row, token = x[i * B + b], first + i
            put_window(plan, known[b, token - S + 1 : token + 1], row)
            row[depth : depth + K] = told[b, :K]
    x = layer(plan, x, depth + K, READ, M)
    rectify(x, M)
    x = layer(plan, x, M, INNER, M)
    rectify(x, M)
    x = layer(plan, x, M, OUTER, V - 1)
    for i in range(n):
        copy(x[i * B : i * B + B], logits[:, i], V - 1)
        add_start(logits[:, i], V - 1)


@njit
def are_known(tokens, vocab_size):
    for b in range(tokens.shape[0]):
        for t in range(tokens.shape[1]):
            if tokens[b, t] < 0 or tokens[b, t] >= vocab_size:
                return False
    return True


@compiled("boolean(int64[::1], int64[:, ::1], int64, float32[:, :, ::1], float32[:, :, ::1])")
def samplernn_step(plan, known, length, hs, logits):
    """Read N tokens, known (B, S + N) after the S before them; return False if one is unknown.

    `length` is how many were read before. Changes hs (n_layer, B, H) where a frame ends; writes
    logits (B, n, V) of what follows each of the last n tokens.
    """
    S, wanted = plan[FRAME_SIZE], logits.shape[1]
    N = known.shape[1] - S
    if not are_known(known, plan[LEVELS] + 1):
        return False
    at = 0
    while at < N:
        place = (length + at + 1) % S  # of what follows
        if place == 0:
            hear(plan, known[:, at + 1 : at + 1 + S], hs)
        end = min(N, at + S - place)  # beyond it is another frame
        first = max(at, N - wanted)
        if first < end:
            out = logits[:, first - (N - wanted) : end - (N - wanted)]
            tell(plan, known, S + first, place + first - at, hs[-1], out)
        at = end
    return True


@njit
def draw(logits, levels, uniform, temperature):
    """Return the level that a number in [0, 1) picks by its probability."""
    cumulated = np.empty(levels, np.float64)
    largest = logits[0]
    for i in range(1, levels):
        largest = max(largest, logits[i])
    total, top = 0.0, np.float64(largest / F(temperature))
    for i in range(levels):
        total += np.exp(np.float64(logits[i] / F(temperature)) - top)
        cumulated[i] = total
    mark = uniform * (total * BELOW_ONE)
    return np.searchsorted(cumulated, mark, side="right")


@compiled(
    "boolean(int64[::1], int64[:, ::1], int64, float32[:, :, ::1], float64[::1], float64, "
    "float32[:, :, ::1])"
)
def samplernn_ahead(plan, known, length, hs, uniforms, temperature, logits):
    """Draw and read levels; return False if a token is unknown.

    known (1, S + 1 + N) begins with the S tokens read before and the one to read, and receives the
    N drawn; logits (1, N, V) are what they are drawn from. The last one is not read.
    """
    S, levels = plan[FRAME_SIZE], plan[LEVELS]
    if not are_known(known[:, : S + 1], levels + 1):
        return False
    for n in range(len(uniforms)):
        place = (length + n + 1) % S
        if place == 0:
            hear(plan, known[:, n + 1 : n + 1 + S], hs)
        tell(plan, known, S + n, place, hs[-1], logits[:, n : n + 1])
        known[0, S + n + 1] = draw(logits[0, n], levels, uniforms[n], temperature)
    return True
