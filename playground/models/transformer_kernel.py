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
from numba import carray, njit

from playground.models.atomics import add as add_to
from playground.models.atomics import cycles, let_others_run, load, store, swap
from playground.models.sharing import AWAKE
from playground.models.vector_code import LANES, dots, mix, pointer
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
ROTARY, ADDED, LEANING = range(3)  # POSITIONS: angles (2, T, D), a table (T, C), or slopes (1, H)


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
def compare(q, k, n, D, scores):
    """Write the products of q (D,) with k (n, D), which are addresses, to scores."""
    if D % LANES == 0:
        dots(q, k, n, D, scores.ctypes.data)
    else:
        queries, keys = floats(q, 1, D), floats(k, n, D)
        for t in range(n):
            total = F(0.0)
            for d in range(D):
                total += queries[0, d] * keys[t, d]
            scores[t] = total


@njit(fastmath=REDUCE)
def lean(scores, n, D, slope):
    """Take `slope` from a score for each place between its key and the last one."""
    each = slope * np.sqrt(F(D))  # scores are divided by the root later
    for t in range(n):
        scores[t] -= each * F(n - 1 - t)


@njit
def attend(q, k, v, n, D, scores, out):
    """Mix v (n, D) into out (D,) by the softmax of q (D,) with k (n, D); but scores, addresses."""
    compare(q, k, n, D, scores)
    blend(scores, v, n, D, out)


@njit(fastmath=REDUCE)
def blend(scores, v, n, D, out):
    """Mix v (n, D) into out (D,), addresses, by the softmax of the scores; they are spoilt."""
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
def attention(plan, qkv, memory, first, start, chunk, heads):
    """Rotate qkv (R, 3 C), remember keys and values, mix values into heads (R, C).

    `memory` (2, B, H, capacity, D) is this layer's, and row `first` of it the first one's here.
    All of the chunk is written before any of it attends, and position i reads exactly i + 1 of
    what is there.
    """
    (_, B, H, capacity, D), C, length = memory.shape, plan[N_EMBD], plan[TABLE_LENGTH]
    turns = floats(plan[TABLE], 2 * length, D)
    for r in range(qkv.shape[0]):
        row, at = first + r // chunk, start + r % chunk
        for h in range(H):
            if plan[POSITIONS] == ROTARY:
                rotate(qkv[r], h * D, turns, at, length)
                rotate(qkv[r], C + h * D, turns, at, length)
            for d in range(D):
                memory[0, row, h, at, d] = qkv[r, C + h * D + d]
                memory[1, row, h, at, d] = qkv[r, 2 * C + h * D + d]
    scores = np.empty(start + chunk, np.float32)
    slopes, is_leaning = floats(plan[TABLE], 1, H), plan[POSITIONS] == LEANING
    one_head = 4 * capacity * D  # bytes
    for r in range(qkv.shape[0]):
        row, n = first + r // chunk, start + r % chunk + 1
        q, out = qkv.ctypes.data + qkv.strides[0] * r, heads.ctypes.data + heads.strides[0] * r
        for h in range(H):
            k = memory.ctypes.data + one_head * (row * H + h)
            compare(q + 4 * D * h, k, n, D, scores)
            if is_leaning:
                lean(scores, n, D, slopes[0, h])
            blend(scores, k + one_head * B * H, n, D, out + 4 * D * h)


@njit
def block(plan, layer, x, memory, first, start, chunk, normed, wide, heads):
    """Add one layer's attention and perceptron to the stream x (R, C); the last three are room."""
    at, C, is_half = LAYERS + LAYER_SIZE * layer, plan[N_EMBD], plan[IS_HALF] != 0
    layer_norm(x, plan[at + NORM_ATTENTION], C, normed)
    linear(normed, C, plan[at + QKV], is_half, wide, 3 * C)
    attention(plan, wide, memory, first, start, chunk, heads)
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


@njit
def read_rows(plan, tokens, memory, first, start, hidden, logits):
    """Do `transformer_step` for a part of a batch: row `first` of the memory is its first."""
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
            kept, chunk = memory[layer], tokens.shape[1]
            block(plan, layer, x, kept, first, start, chunk, normed, wide, heads)
        if hidden.size:
            copy(x, hidden[plan[N_LAYER]], C)
    else:
        copy(hidden[0], x, C)
    if logits.size:
        unembed(plan, x, R // logits.shape[0], logits)
    return True


# The mailbox of `sharing.py`. Its first word names the job and counts the pieces that are taken:
# job number, pieces and the next piece in one word, so that nobody takes a piece of a job that is
# over. Whoever has a piece may read the rest, which stays as it is until all pieces are done.
CLAIM, DONE, FAILED = 0, 8, 16
JOB = 24  # plan and its length, tokens, B, N, memory and its shape, start, logits and their shape
NEXT, PIECES = 1 << 8, 1 << 16  # the word is job * PIECES + pieces * NEXT + next


@njit
def take_pieces(mailbox):
    """Do pieces of the job in the mailbox while there are any."""
    address = mailbox.ctypes.data
    while True:
        word = load(address + 8 * CLAIM)
        piece, pieces = word % NEXT, word % PIECES // NEXT
        if piece >= pieces:
            return
        if not swap(address + 8 * CLAIM, word, word + 1):
            continue
        job = mailbox[JOB : JOB + 15]
        plan = carray(pointer(job[0]), (job[1],), np.int64)
        B, N, layers = job[3], job[4], plan[N_LAYER]
        tokens = carray(pointer(job[2]), (B, N), np.int64)
        shape = (layers, 2, job[6], job[7], job[8], job[9])
        memory = carray(pointer(job[5]), shape, np.float32)
        logits = carray(pointer(job[11]), (job[12], job[13]), np.float32)
        size, each = job[14], job[12] // B
        first, end = piece * size, min(B, (piece + 1) * size)
        own = logits[first * each : end * each]
        nothing = np.empty((0, 0, 0), np.float32)
        if not read_rows(plan, tokens[first:end], memory, first, job[10], nothing, own):
            store(address + 8 * FAILED, 1)
        add_to(address + 8 * DONE, 1)


@njit
def share(plan, tokens, memory, start, logits, mailbox):
    """Put the batch into the mailbox, do what pieces are left, and wait for the others."""
    address, B = mailbox.ctypes.data, tokens.shape[0]
    size = min(8, (B + 1) // 2)  # a tile of the products holds 8 rows at most
    pieces = (B + size - 1) // size
    job = mailbox[JOB : JOB + 15]
    job[0], job[1], job[2] = plan.ctypes.data, plan.size, tokens.ctypes.data
    job[3], job[4], job[5] = B, tokens.shape[1], memory.ctypes.data
    job[6], job[7], job[8], job[9] = memory.shape[2:]
    job[10], job[11] = start, logits.ctypes.data
    job[12], job[13], job[14] = logits.shape[0], logits.shape[1], size
    store(address + 8 * DONE, 0)
    store(address + 8 * FAILED, 0)
    number = load(address + 8 * CLAIM) // PIECES + 1
    store(address + 8 * CLAIM, number * PIECES + pieces * NEXT)
    take_pieces(mailbox)
    while load(address + 8 * DONE) < pieces:
        let_others_run()
    return load(address + 8 * FAILED) == 0


@compiled("void(int64[::1], int64)")
def transformer_helper(mailbox, patience):
    """Do pieces of whatever comes into the mailbox, until nothing has come for so many cycles."""
    address = mailbox.ctypes.data
    store(address + 8 * AWAKE, 1)
    last, since = load(address + 8 * CLAIM), cycles()
    take_pieces(mailbox)
    while cycles() - since < patience:
        word = load(address + 8 * CLAIM)
        if word != last:
            take_pieces(mailbox)
            last, since = load(address + 8 * CLAIM), cycles()
        let_others_run()
    store(address + 8 * AWAKE, 0)


@compiled(
    "boolean(int64[::1], int64[:, ::1], float32[:, :, :, :, :, ::1], int64, "
    "float32[:, :, ::1], float32[:, ::1], int64[::1])"
)
def transformer_step(plan, tokens, memory, start, hidden, logits, mailbox):
    """Read tokens (B, N) at positions `start` on; return False if one of them is unknown.

    Keys and values go to memory (n_layer, 2, B, H, capacity, D), the stream after each layer to
    hidden (n_layer + 1 or 0, R, C), the logits to logits: (B * N, V), or (B, V) of the last
    tokens, or none. Without tokens, logits are those of what `hidden` (1, R, C) holds. With a
    mailbox the rows are shared with its helper.
    """
    if mailbox.size and tokens.shape[0] > 1 and logits.size and not hidden.size:
        return share(plan, tokens, memory, start, logits, mailbox)
    return read_rows(plan, tokens, memory, 0, start, hidden, logits)
