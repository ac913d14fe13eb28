"""Products and attention as jobs of many pieces, which a helper does from their end, on CPUs.

One core cannot ask for all that the memory has, so a helper (`sharing.py`) takes pieces of every
job from its end while the caller takes them from its front.

The helper may lose its core at any moment. It computes into room of its own, from where the caller
takes what is done; for what is not done in time the caller does not wait, and until the helper is
back it works alone. Each number is one sum in one order, whoever computes it and whatever rows
are beside it: same bits, alone or in a batch, with a helper or without.
"""

from __future__ import annotations

from numba import njit

from playground.models.atomics import add as add_to
from playground.models.atomics import cycles, let_others_run, load, pause, store, swap
from playground.models.sharing import AWAKE
from playground.models.transformer_kernel import attend
from playground.models.vector_code import BFLOAT16, FLOAT16, FLOAT32, compiled_once, row_dots
from playground.models.vector_math import compiled, floats

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
