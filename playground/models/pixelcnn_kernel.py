"""Steps of a Gated PixelCNN as one call of machine code, for CPUs.

A pixel of a small model is a hundred tiny operations, and calling them costs ten times what they
do. The vertical stack of a row is computed when its first value is asked for, the horizontal one
pixel by pixel; weights are read once for all rows of a batch. See `transformer_kernel.py` for what
a plan is, and for why a row has the same bits alone and beside others.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from playground.models.lstm_kernel import logistic, tanh
from playground.models.vector_math import F, compiled, copy, floats, linear, padded

# Entries of the plan, then LAYER_SIZE entries a layer.
N_LAYER, CHANNELS, WIDTH, COLORS, LEVELS, N_OUTPUT, N_FEATURES, IS_HALF, N_CLASS = range(9)
FEATURES, CLASSES, INNER, INNER_BIAS, OUTER, OUTER_BIAS, LAYERS = range(9, 16)  # addresses
KERNEL, DILATION, VERTICAL, VERTICAL_BIAS, LINK, LINK_BIAS, LEFT, PROJECT, PROJECT_BIAS = range(9)
LAYER_SIZE = 9
BELOW = F(20.0)  # nats from the least likely level to BOS, as in `raster.with_start`


@njit
def class_bias(plan, label, layer, stack):
    """Return what a class adds to a layer's stack, 0 vertical, 1 horizontal, as (1, 2 C)."""
    size = 2 * plan[CHANNELS]
    at = (label * plan[N_LAYER] + layer) * 2 + stack
    return floats(plan[CLASSES] + 4 * size * at, 1, size)


@njit(fastmath={"contract"})
def gate(x, C, out):
    """Write tanh(a) * logistic(b) of the halves of x (R, 2 C) to out (R, C)."""
    for r in range(x.shape[0]):
        for i in range(C):
            out[r, i] = tanh(x[r, i]) * logistic(x[r, C + i])


@njit
def add_row(x, bias, columns):
    """Add bias (1, columns) to every row of x."""
    for r in range(x.shape[0]):
        for i in range(columns):
            x[r, i] += bias[0, i]


@njit
def put_features(plan, tokens, value, first_known, out, at):
    """Write the features of a pixel's values, from number `value` on, to out; zeros if unknown.

    `first_known` is the number of the row's first value (or picture's): what is before it does
    not exist. Tokens (T,) begin with BOS, so value i is token i + 1.
    """
    K, levels = plan[N_FEATURES], plan[LEVELS]
    table = floats(plan[FEATURES], levels + 1, K)
    for color in range(plan[COLORS]):
        i = value + color
        token = levels
        if i >= first_known and i + 1 < tokens.shape[0]:
            token = tokens[i + 1]
        for k in range(K):
            out[at + color * K + k] = table[token, k]


@njit
def first_windows(plan, tokens, row, windows):
    """Fill windows (W, >= depth) with the features of the rows above, column by column."""
    W, colors, D = plan[WIDTH], plan[COLORS], plan[COLORS] * plan[N_FEATURES]
    size = plan[LAYERS + KERNEL]
    rows, side = size // 2, size // 2
    for p in range(W):
        for x in range(size):
            for y in range(rows):
                at = (x * rows + y) * D
                column, line = p + x - side, row - rows + y
                if column < 0 or column >= W or line < 0:
                    for i in range(D):
                        windows[p, at + i] = F(0.0)
                else:
                    put_features(plan, tokens, (line * W + column) * colors, 0, windows[p], at)


@njit
def later_windows(plan, layer, memory, own, windows):
    """Fill windows (W, >= depth) from memory (n, W, C), older rows first, and the row `own`."""
    W, C = plan[WIDTH], plan[CHANNELS]
    size, d = plan[LAYERS + LAYER_SIZE * layer + KERNEL], 0
    d = plan[LAYERS + LAYER_SIZE * layer + DILATION]
    rows, side = size // 2 + 1, size // 2 * d
    for p in range(W):
        for x in range(size):
            column = p + x * d - side
            for y in range(rows):
                at = (x * rows + y) * C
                for i in range(C):
                    if column < 0 or column >= W:
                        windows[p, at + i] = F(0.0)
                    elif y == rows - 1:
                        windows[p, at + i] = own[column, i]
                    else:
                        windows[p, at + i] = memory[y * d, column, i]


@njit
def start_row(plan, tokens, label, row, links, memory):
    """Fill links (n_layer, W, 2 C) for a row; move memory (n, W, C), all layers', one row on."""
    W, C, is_half, at = plan[WIDTH], plan[CHANNELS], plan[IS_HALF] != 0, 0
    v = np.empty((W, padded(C)), np.float32)
    gated = np.empty((W, padded(C)), np.float32)
    seen = np.empty((W, padded(2 * C)), np.float32)
    link = np.empty((W, padded(2 * C)), np.float32)
    for layer in range(plan[N_LAYER]):
        a = LAYERS + LAYER_SIZE * layer
        size = plan[a + KERNEL]
        if layer == 0:
            depth = size * (size // 2) * plan[COLORS] * plan[N_FEATURES]
            windows = np.empty((W, padded(depth)), np.float32)
            first_windows(plan, tokens, row, windows)
        else:
            n = size // 2 * plan[a + DILATION]
            depth = size * (size // 2 + 1) * C
            windows = np.empty((W, padded(depth)), np.float32)
            later_windows(plan, layer, memory[at : at + n], v, windows)
            for y in range(n - 1):
                memory[at + y] = memory[at + y + 1]
            copy(v, memory[at + n - 1], C)
            at += n
        linear(windows, depth, plan[a + VERTICAL], is_half, seen, 2 * C)
        add_row(seen, floats(plan[a + VERTICAL_BIAS], 1, 2 * C), 2 * C)
        if plan[N_CLASS]:
            add_row(seen, class_bias(plan, label, layer, 0), 2 * C)
        linear(seen, 2 * C, plan[a + LINK], is_half, link, 2 * C)
        add_row(link, floats(plan[a + LINK_BIAS], 1, 2 * C), 2 * C)
        if plan[N_CLASS]:
            add_row(link, class_bias(plan, label, layer, 1), 2 * C)
        copy(link, links[layer], 2 * C)
        gate(seen, C, gated)
        for p in range(W):
            for i in range(C):
                v[p, i] = gated[p, i] if layer == 0 else v[p, i] + gated[p, i]


@njit
def read_pixel(plan, tokens, value, links, queue, is_finished, h):
    """Write the stream of the pixel whose value number `value` is asked for to h (B, > C).

    links (B, n_layer, W, 2 C), queue (B, n, C): the pixels before it, each layer's; it joins them
    if it is finished.
    """
    B, C, W, colors = tokens.shape[0], plan[CHANNELS], plan[WIDTH], plan[COLORS]
    is_half, D, at = plan[IS_HALF] != 0, colors * plan[N_FEATURES], 0
    pixel = value // colors
    row, column = pixel // W, pixel % W
    seen = np.empty((B, padded(2 * C)), np.float32)
    gated = np.empty((B, padded(C)), np.float32)
    new = np.empty((B, padded(C)), np.float32)
    for layer in range(plan[N_LAYER]):
        a = LAYERS + LAYER_SIZE * layer
        columns = plan[a + KERNEL] // 2 + 1
        depth = columns * (D if layer == 0 else C)
        window = np.empty((B, padded(depth)), np.float32)
        if layer == 0:
            for b in range(B):
                for x in range(columns):
                    first = (pixel - columns + 1 + x) * colors
                    put_features(plan, tokens[b, : value + 1], first, row * W * colors,
                                 window[b], x * D)  # fmt: skip
        else:
            d = plan[a + DILATION]
            n = (columns - 1) * d
            for b in range(B):
                for x in range(columns - 1):
                    window[b, x * C : x * C + C] = queue[b, at + x * d]
                window[b, n // d * C : n // d * C + C] = h[b, :C]
                if is_finished:
                    for x in range(n - 1):
                        queue[b, at + x] = queue[b, at + x + 1]
                    queue[b, at + n - 1] = h[b, :C]
            at += n
        linear(window, depth, plan[a + LEFT], is_half, seen, 2 * C)
        for b in range(B):
            for i in range(2 * C):
                seen[b, i] += links[b, layer, column, i]
        gate(seen, C, gated)
        linear(gated, C, plan[a + PROJECT], is_half, new, C)
        bias = floats(plan[a + PROJECT_BIAS], 1, C)
        for b in range(B):
            for i in range(C):
                value_i = new[b, i] + bias[0, i]
                h[b, i] = value_i if layer == 0 else h[b, i] + value_i


@njit
def head(plan, h, color, outputs):
    """Write the outputs (B, n) of one colour of the pixel whose stream is h (B, > C)."""
    C, n, is_half = plan[CHANNELS], plan[N_OUTPUT], plan[IS_HALF] != 0
    x = np.empty((h.shape[0], padded(C)), np.float32)
    inner = np.empty((h.shape[0], padded(C)), np.float32)
    outer = np.empty((h.shape[0], padded(plan[COLORS] * n)), np.float32)
    rectify(h, C, x)
    linear(x, C, plan[INNER], is_half, inner, C)
    add_row(inner, floats(plan[INNER_BIAS], 1, C), C)
    rectify(inner, C, x)
    linear(x, C, plan[OUTER], is_half, outer, plan[COLORS] * n)
    bias = floats(plan[OUTER_BIAS], 1, plan[COLORS] * n)
    for b in range(h.shape[0]):
        for i in range(n):
            outputs[b, i] = outer[b, color * n + i] + bias[0, color * n + i]


@njit
def rectify(x, columns, out):
    for r in range(x.shape[0]):
        for i in range(columns):
            out[r, i] = max(x[r, i], F(0.0))


@njit
def add_start(logits, levels):
    """Set the logit of BOS in logits (B, levels + 1), as `raster.with_start` does."""
    for b in range(logits.shape[0]):
        least = logits[b, 0]
        for i in range(1, levels):
            least = min(least, logits[b, i])
        logits[b, levels] = least - BELOW


@compiled(
    "boolean(int64[::1], int64[:, ::1], int64[::1], int64, float32[:, :, :, ::1], "
    "float32[:, :, :, ::1], float32[:, :, ::1], float32[:, :, ::1])"
)
def gated_step(plan, tokens, labels, start, links, memory, queue, outputs):
    """Read the tokens (B, T) from number `start` on; return False if one of them is unknown.

    Changes links (B, n_layer, W, 2 C) and memory (B, n, W, C) where a row begins, and queue
    (B, n, C) with each pixel; writes outputs (B, N, n) of the last N tokens: parameters of a
    mixture, or logits of the levels and, as there is room for it, of BOS.
    """
    (B, T), colors, W = tokens.shape, plan[COLORS], plan[WIDTH]
    for b in range(B):
        for t in range(start, T):
            if tokens[b, t] < 0 or tokens[b, t] > plan[LEVELS]:
                return False
    h = np.empty((B, padded(plan[CHANNELS])), np.float32)
    for value in range(start, T):
        color = value % colors
        if value % (W * colors) == 0:
            for b in range(B):
                label = labels[b] if plan[N_CLASS] else 0
                start_row(plan, tokens[b, : value + 1], label, value // (W * colors), links[b],
                          memory[b])  # fmt: skip
            queue[:] = F(0.0)
        wanted = value - (T - outputs.shape[1])
        if wanted >= 0 or color == colors - 1:
            read_pixel(plan, tokens, value, links, queue, color == colors - 1, h)
        if wanted >= 0:
            head(plan, h, color, outputs[:, wanted])
            if outputs.shape[2] > plan[N_OUTPUT]:
                add_start(outputs[:, wanted], plan[LEVELS])
    return True
