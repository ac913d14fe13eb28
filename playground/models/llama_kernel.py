"""One whole step of a Llama-like decoder as one call of machine code, for CPUs.

A step of such a model is a walk through its weights, so what counts is that they come in at the
speed of memory: `row_dots` reads them where torch keeps them, or a copy in 16 bits if that holds
the same values, each matrix as one stream. One core cannot ask for all that the memory has, so a
helper (`sharing.py`) takes pieces of every product from its end while the caller takes them from
its front.

The helper may lose its core at any moment. It computes into room of its own, from where the caller
takes what is done; for what is not done in time the caller does not wait, and until the helper is
back it works alone. Each number is one sum in one order, whoever computes it and whatever rows
are beside it: same bits, alone or in a batch, with a helper or without.

`plan` and `places` are tables of sizes and addresses that `llama_stepping.py` makes.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from playground.models.atomics import add as add_to
from playground.models.atomics import cycles, let_others_run, load, pause, store, swap
from playground.models.sharing import AWAKE
from playground.models.transformer_kernel import attend
from playground.models.vector_code import BFLOAT16, FLOAT16, FLOAT32, compiled_once, row_dots
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

# The mailbox of `sharing.py`. CLAIM names the job, its pieces, and how many of them are taken from
# the front by the caller and from the back by the helper. DONE names a job and how many pieces of
# it the helper has done; BUSY is not 0 from before it takes a piece until it is done with it.
CLAIM, DONE, BUSY = 0, 8, 16  # each in a cache line of its own
JOB = 64
BITS = 12  # of each number in CLAIM but the first
MOST = (1 << BITS) - 1  # pieces
WHAT, UNITS, PER, WIDTH, X, X_STRIDE, ROWS, TO, HELPER_TO, TO_STRIDE = range(10)
DEPTH, MATRICES = 10, 11  # of a product: addresses and rows of up to three matrices
AT, CHUNK, START, CAPACITY, KV_HEADS, GROUP, SIZE, BATCH = range(10, 18)  # of attention
ROOM, HELPER_ROOM, JOB_SIZE = 18, 19, 20  # for scores
ATTENTION = 3  # the other jobs are products, by the kind of their weights

PIECE_BYTES = 48 * 1024  # of weights: some microseconds, and half of a small second-level cache
MIN_SHARED = 1 << 15  # multiplications of attention that are worth a helper
WITHIN_STEP = 100_000  # cycles, 40 us: jobs of a step follow each other within a few
LATE = 200_000  # cycles, 0.1 ms: many times what a piece takes, so the helper has lost its core


def products_of(kind: int):
    """Return the product with weights of one kind, under a name of its own (see `linear_of`)."""

    def products(x, x_stride, rows, w, depth, count, out, out_stride):
        """Multiply x (rows, depth) by the rows w (count, depth) into out (rows, count)."""
        row = 0
        while rows - row >= 3:
            at, to = x + 4 * row * x_stride, out + 4 * row * out_stride
            row_dots(3, kind, at, x_stride, w, depth, count, to, out_stride)
            row += 3
        if rows - row == 2:
            at, to = x + 4 * row * x_stride, out + 4 * row * out_stride
            row_dots(2, kind, at, x_stride, w, depth, count, to, out_stride)
        elif rows - row == 1:
            at, to = x + 4 * row * x_stride, out + 4 * row * out_stride
            row_dots(1, kind, at, x_stride, w, depth, count, to, out_stride)

    products.__name__ = products.__qualname__ = f"products_{('float', 'half', 'bfloat')[kind]}"
    return njit(products)


products_float, products_half = products_of(FLOAT32), products_of(FLOAT16)
products_bfloat = products_of(BFLOAT16)


@njit
def do_product(job, first, end, out):
    """Compute the columns `first` to `end` of a product whose matrices lie one behind the other."""
    kind, depth, begin = job[WHAT], job[DEPTH], 0
    item = 4 if kind == FLOAT32 else 2
    for m in range(3):
        weights, columns = job[MATRICES + 2 * m], job[MATRICES + 2 * m + 1]
        low, high = max(first, begin), min(end, begin + columns)
        if low < high:
            w, to = weights + item * depth * (low - begin), out + 4 * low
            x, x_stride, rows, to_stride = job[X], job[X_STRIDE], job[ROWS], job[TO_STRIDE]
            if kind == FLOAT32:
                products_float(x, x_stride, rows, w, depth, high - low, to, to_stride)
            elif kind == FLOAT16:
                products_half(x, x_stride, rows, w, depth, high - low, to, to_stride)
            else:
                products_bfloat(x, x_stride, rows, w, depth, high - low, to, to_stride)
        begin += columns


@njit
def do_attention(job, first, end, out, scores):
    """Mix the values of heads `first` to `end`, for all rows, into out (R, n_head * D)."""
    D, Hk, capacity, chunk = job[SIZE], job[KV_HEADS], job[CAPACITY], job[CHUNK]
    one_head = 4 * capacity * D  # bytes
    all_keys = one_head * job[BATCH] * Hk
    longest = job[START] + chunk
    room = floats(scores, 1, longest)[0]
    for r in range(job[ROWS]):
        n = job[START] + r % chunk + 1
        for h in range(first, end):
            k = job[AT] + one_head * (r // chunk * Hk + h // job[GROUP])
            q = job[X] + 4 * (job[X_STRIDE] * r + D * h)
            attend(q, k, k + all_keys, n, D, room, out + 4 * (job[TO_STRIDE] * r + D * h))


@njit
def do_piece(job, piece, out, scores):
    compiled_once()
    first, end = piece * job[PER], min(job[UNITS], (piece + 1) * job[PER])
    if job[WHAT] == ATTENTION:
        do_attention(job, first, end, out, scores)
    else:
        do_product(job, first, end, out)


@njit
def take_over(job, pieces, first):
    """Copy the pieces from `first` on from the helper's room to where they belong."""
    rows, stride = job[ROWS], job[TO_STRIDE]
    own, out = floats(job[HELPER_TO], rows, stride), floats(job[TO], rows, stride)
    begin, end = first * job[PER] * job[WIDTH], job[UNITS] * job[WIDTH]
    for r in range(rows):
        for i in range(begin, end):
            out[r, i] = own[r, i]


@njit
def helper_is_free(address):
    """Return whether the helper is done with all it has taken; give it a moment to say so."""
    for _ in range(100):
        if load(address + 8 * BUSY) == 0:
            return True
        pause()
    return False


@njit
def run(job, mailbox):
    """Do a job, with the helper if there is one that is not lost in an earlier job."""
    compiled_once()
    pieces = (job[UNITS] + job[PER] - 1) // job[PER]
    is_shared = mailbox.size > 0 and 1 < pieces <= MOST
    if not is_shared or not helper_is_free(mailbox.ctypes.data):
        for piece in range(pieces):
            do_piece(job, piece, job[TO], job[ROOM])
        return
    address = mailbox.ctypes.data
    for i in range(JOB_SIZE):
        mailbox[JOB + i] = job[i]
    number = (load(address + 8 * CLAIM) >> 3 * BITS) + 1
    store(address + 8 * CLAIM, number << 3 * BITS | pieces << 2 * BITS)
    while True:
        word = load(address + 8 * CLAIM)
        front, taken = word >> BITS & MOST, word & MOST
        if front + taken >= pieces:
            break
        if swap(address + 8 * CLAIM, word, word + (1 << BITS)):
            do_piece(job, front, job[TO], job[ROOM])
    if taken == 0:
        return
    since, done = cycles(), 0
    while True:
        word = load(address + 8 * DONE)
        done = word & MOST if word >> BITS == number else 0
        if done == taken or cycles() - since > LATE * (1 + job[ROWS] // 8):
            break
        pause()
    take_over(job, pieces, pieces - done)
    for piece in range(pieces - taken, pieces - done):
        do_piece(job, piece, job[TO], job[ROOM])


@njit
def take_pieces(mailbox):
    """Do pieces of the job in the mailbox from its back; return whether there were any."""
    address, has_done = mailbox.ctypes.data, False
    while True:
        word = load(address + 8 * CLAIM)
        pieces, front, taken = word >> 2 * BITS & MOST, word >> BITS & MOST, word & MOST
        if front + taken >= pieces:
            return has_done
        add_to(address + 8 * BUSY, 1)
        if swap(address + 8 * CLAIM, word, word + 1):
            job = mailbox[JOB : JOB + JOB_SIZE]
            do_piece(job, pieces - 1 - taken, job[HELPER_TO], job[HELPER_ROOM])
            store(address + 8 * DONE, word >> 3 * BITS << BITS | (taken + 1))
            has_done = True
        store(address + 8 * BUSY, 0)


@compiled("void(int64[::1], int64)")
def llama_helper(mailbox, patience):
    """Do pieces of whatever comes into the mailbox, until nothing has come for so many cycles."""
    address = mailbox.ctypes.data
    store(address + 8 * AWAKE, 1)
    since = cycles()
    while cycles() - since < patience:
        if take_pieces(mailbox):
            since = cycles()
        elif cycles() - since < WITHIN_STEP:
            pause()
        else:
            let_others_run()
    store(address + 8 * AWAKE, 0)


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
