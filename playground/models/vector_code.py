"""Vector instructions that numba does not emit by itself, as intrinsics in LLVM's language.

Sums over columns that stay in registers are beyond numba's vectoriser: plain loops do 3 billion
multiplications a second here, these tiles do 30 to 45. Every sum of a tile runs over `depth` from
first to last, one fused multiply-add each, so a row has the same bits in a tile of any shape.

Pointers are plain addresses (int64), since the kernels keep them in tables.
"""

from __future__ import annotations

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16  # float32 values of a vector; where registers are shorter LLVM splits it
PANEL = 32  # columns of a weight matrix that lie together, two vectors

FLOAT, HALF, INT, INDEX = ir.FloatType(), ir.HalfType(), ir.IntType(64), ir.IntType(32)
SHORT = ir.IntType(16)
VECTOR, HALVES = ir.VectorType(FLOAT, LANES), ir.VectorType(HALF, LANES)
SHORTS, INDICES = ir.VectorType(SHORT, LANES), ir.VectorType(INDEX, LANES)
UNDEFINED = ir.Constant(VECTOR, ir.Undefined)
ZEROS = ir.Constant(VECTOR, [0.0] * LANES)

FEATURES = llvmlite.binding.get_host_cpu_features()
HAS_INSTRUCTIONS = all(FEATURES.get(name, False) for name in ("avx2", "fma", "f16c"))
HAS_LONG_VECTORS = FEATURES.get("avx512f", False)  # 32 registers of 16 values, not 16 of 8


def _pointer(builder, base, index, kind):
    """Return a pointer to the index-th `kind` behind the address `base`."""
    return builder.gep(builder.inttoptr(base, kind.as_pointer()), [index])


def _number(builder, base, index):
    return builder.load(_pointer(builder, base, index, FLOAT))


def _load(builder, pointer, vector):
    return builder.load(builder.bitcast(pointer, vector.as_pointer()), align=2)


def _store(builder, value, pointer):
    builder.store(value, builder.bitcast(pointer, VECTOR.as_pointer()), align=4)


def _splat(builder, value):
    vector = builder.insert_element(UNDEFINED, value, INDEX(0))
    first = ir.Constant(ir.VectorType(INDEX, LANES), [0] * LANES)
    return builder.shuffle_vector(vector, UNDEFINED, first)


def _fma(builder, a, b, c):
    kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")
    return builder.call(function, [a, b, c])


def _loop(builder, count, step, carried, body):
    """Emit `for i in range(0, count, step)`, values of `carried` in registers; return the last."""
    before = builder.block
    head, inside, after = (builder.append_basic_block() for _ in range(3))
    builder.branch(head)
    builder.position_at_end(head)
    i = builder.phi(INT)
    i.add_incoming(INT(0), before)
    values = [builder.phi(value.type) for value in carried]
    for phi, value in zip(values, carried, strict=True):
        phi.add_incoming(value, before)
    builder.cbranch(builder.icmp_signed("<", i, count), inside, after)
    builder.position_at_end(inside)
    for phi, value in zip(values, body(i, values), strict=True):
        phi.add_incoming(value, builder.block)
    i.add_incoming(builder.add(i, INT(step)), builder.block)
    builder.branch(head)
    builder.position_at_end(after)
    return values


def _call(builder, name, args, body):
    """Call a function of int64 arguments, and emit it first where it is not yet: once, not inlined.

    Inlined at every place it would take the kernels three times as long to compile.
    """
    kind = ir.FunctionType(ir.VoidType(), [INT] * len(args))
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    if not function.blocks:
        function.linkage = "linkonce_odr"
        function.attributes.add("noinline")
        inside = ir.IRBuilder(function.append_basic_block())
        body(inside, *function.args)
        inside.ret_void()
    builder.call(function, args)


@intrinsic(prefer_literal=True)
def tile(typing, rows, panels, is_half, x, x_stride, w, depth, out, out_stride):
    """Multiply `rows` rows at x by `panels` panels of weights at w, all sums in registers.

    Panels are (depth, PANEL) and lie one behind the other. The result goes to `out`, whose rows
    must have room for whole panels. The first three arguments are compile-time constants.
    """
    shape = (rows.literal_value, panels.literal_value, is_half.literal_value)
    name = f"playground_tile_{shape[0]}_{shape[1]}_{int(shape[2])}"

    def code(context, builder, signature, args):
        _call(builder, name, args[3:], lambda inside, *a: _tile(inside, *shape, *a))
        return context.get_dummy_value()

    return types.void(rows, panels, is_half, *[types.int64] * 6), code


def _tile(builder, rows, panels, is_half, x, x_stride, w, depth, out, out_stride):
    kind, vector = (HALF, HALVES) if is_half else (FLOAT, VECTOR)
    vectors = PANEL // LANES * panels
    panel_size = builder.mul(depth, INT(PANEL))
    starts = [builder.mul(x_stride, INT(r)) for r in range(rows)]

    def add_products(k, sums):
        values = [_splat(builder, _number(builder, x, builder.add(start, k))) for start in starts]
        totals = list(sums)
        for v in range(vectors):
            panel, part = divmod(v, PANEL // LANES)
            at = builder.add(builder.mul(k, INT(PANEL)), INT(part * LANES))
            at = builder.add(at, builder.mul(panel_size, INT(panel)))
            weight = _load(builder, _pointer(builder, w, at, kind), vector)
            if is_half:
                weight = builder.fpext(weight, VECTOR)
            for r in range(rows):
                totals[r * vectors + v] = _fma(builder, values[r], weight, sums[r * vectors + v])
        return totals

    sums = _loop(builder, depth, 1, [ZEROS] * (rows * vectors), add_products)
    for r in range(rows):
        for v in range(vectors):
            at = builder.add(builder.mul(out_stride, INT(r)), INT(v * LANES))
            _store(builder, sums[r * vectors + v], _pointer(builder, out, at, FLOAT))


FLOAT32, FLOAT16, BFLOAT16 = range(3)  # how `row_dots` finds its weights stored
PARTS = 4  # sums of a product, lest each addition wait for the one before


@intrinsic(prefer_literal=True)
def row_dots(typing, rows, kind, x, x_stride, w, depth, count, out, out_stride):
    """Write the products of `rows` rows at x with `count` rows (depth,) at w to out (rows, count).

    Weights are read as torch's linear layers keep them, each row to its end and then the next: one
    stream, which the processor fetches ahead, and so at the speed of memory. Every product is
    PARTS vectors of sums, added up in one order in a tile of any shape. `depth` is a multiple of
    LANES; `rows` and `kind` (FLOAT32, FLOAT16, BFLOAT16) are compile-time constants.
    """
    shape = (rows.literal_value, kind.literal_value)
    name = f"playground_row_dots_{shape[0]}_{shape[1]}"

    def code(context, builder, signature, args):
        _call(builder, name, args[2:], lambda inside, *a: _row_dots(inside, *shape, *a))
        return context.get_dummy_value()

    return types.void(rows, kind, *[types.int64] * 7), code


def _widened(builder, w, at, kind):
    """Load LANES weights as float32; a bfloat16 is the upper half of one."""
    if kind == FLOAT32:
        return _load(builder, _pointer(builder, w, at, FLOAT), VECTOR)
    if kind == FLOAT16:
        return builder.fpext(_load(builder, _pointer(builder, w, at, HALF), HALVES), VECTOR)
    upper = builder.zext(_load(builder, _pointer(builder, w, at, SHORT), SHORTS), INDICES)
    return builder.bitcast(builder.shl(upper, ir.Constant(INDICES, [16] * LANES)), VECTOR)


def _row_dots(builder, rows, kind, x, x_stride, w, depth, count, out, out_stride):
    function = ir.FunctionType(FLOAT, [FLOAT, VECTOR])
    name = f"llvm.vector.reduce.fadd.v{LANES}f32"
    add_up = cgutils.get_or_insert_function(builder.module, function, name)
    starts = [builder.mul(x_stride, INT(r)) for r in range(rows)]
    whole = builder.and_(depth, INT(-PARTS * LANES))
    rest = builder.sub(depth, whole)

    def columns(c, number):
        begins = [builder.mul(depth, builder.add(c, INT(i))) for i in range(number)]

        def add_products(k, sums, parts):
            totals = list(sums)
            for part in range(parts):
                at = builder.add(k, INT(part * LANES))
                weights = [_widened(builder, w, builder.add(b, at), kind) for b in begins]
                for r, start in enumerate(starts):
                    place = _pointer(builder, x, builder.add(start, at), FLOAT)
                    value = _load(builder, place, VECTOR)
                    for i, weight in enumerate(weights):
                        n = (r * number + i) * PARTS + part
                        totals[n] = _fma(builder, value, weight, sums[n])
            return totals

        def add_most(k, sums):
            return add_products(k, sums, PARTS)

        def add_rest(k, sums):
            return add_products(builder.add(whole, k), sums, 1)

        sums = [ZEROS] * (rows * number * PARTS)
        sums = _loop(builder, whole, PARTS * LANES, sums, add_most)
        sums = _loop(builder, rest, LANES, sums, add_rest)
        for n in range(rows * number):
            first, second, third, fourth = sums[n * PARTS : (n + 1) * PARTS]
            total = builder.fadd(builder.fadd(first, second), builder.fadd(third, fourth))
            total = builder.call(add_up, [FLOAT(0.0), total], fastmath=("reassoc",))
            row, i = divmod(n, number)
            at = builder.add(builder.mul(out_stride, INT(row)), builder.add(c, INT(i)))
            builder.store(total, _pointer(builder, out, at, FLOAT))
        return []

    pairs = INT(0)
    if rows > 2:  # then registers are read as often as memory, and two streams do no harm
        pairs = builder.and_(count, INT(-2))
        _loop(builder, pairs, 2, [], lambda c, _: columns(c, 2))
    left = builder.sub(count, pairs)
    _loop(builder, left, 1, [], lambda c, _: columns(builder.add(pairs, c), 1))


@intrinsic
def dots(typing, q, k, count, size, out):
    """Write the products of q (size,) with k (count, size) to out; size is a multiple of LANES."""

    def code(context, builder, signature, args):
        _call(builder, "playground_dots", args, _dots)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), code


def _dots(builder, q, k, count, size, out):
    kind = ir.FunctionType(FLOAT, [FLOAT, VECTOR])
    name = f"llvm.vector.reduce.fadd.v{LANES}f32"
    add_up = cgutils.get_or_insert_function(builder.module, kind, name)

    def one_row(t, _):
        def add_products(d, sums):
            at = builder.add(builder.mul(t, size), d)
            left = _load(builder, _pointer(builder, q, d, FLOAT), VECTOR)
            right = _load(builder, _pointer(builder, k, at, FLOAT), VECTOR)
            return [_fma(builder, left, right, sums[0])]

        (sums,) = _loop(builder, size, LANES, [ZEROS], add_products)
        total = builder.call(add_up, [FLOAT(0.0), sums], fastmath=("reassoc",))
        builder.store(total, _pointer(builder, out, t, FLOAT))
        return []

    _loop(builder, count, 1, [], one_row)


@intrinsic
def mix(typing, weights, v, count, size, out):
    """Write the sum of weights (count,) times v (count, size) to out; size as in `dots`."""

    def code(context, builder, signature, args):
        _call(builder, "playground_mix", args, _mix)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), code


def _mix(builder, weights, v, count, size, out):
    def offsets(at, vectors):
        return [builder.add(at, INT(i * LANES)) for i in range(vectors)]

    def columns(start, vectors):
        def add_products(t, sums):
            weight = _splat(builder, _number(builder, weights, t))
            at = builder.add(builder.mul(t, size), start)
            places = [_pointer(builder, v, index, FLOAT) for index in offsets(at, vectors)]
            values = [_load(builder, place, VECTOR) for place in places]
            return [_fma(builder, weight, *pair) for pair in zip(values, sums, strict=True)]

        sums = _loop(builder, count, 1, [ZEROS] * vectors, add_products)
        for index, total in zip(offsets(start, vectors), sums, strict=True):
            _store(builder, total, _pointer(builder, out, index, FLOAT))
        return []

    wide = builder.and_(size, INT(-4 * LANES))  # four sums at once hide the wait for each
    _loop(builder, wide, 4 * LANES, [], lambda d, _: columns(d, 4))
    rest = builder.sub(size, wide)
    _loop(builder, rest, LANES, [], lambda d, _: columns(builder.add(wide, d), 1))


@intrinsic
def compiled_once(typing):
    """Keep the function that says this out of line, where copies would take long to compile."""

    def code(context, builder, signature, args):
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), code


@intrinsic
def pointer(typing, address):
    """Return the address as a pointer, for `carray`."""

    def code(context, builder, signature, args):
        return builder.inttoptr(args[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), code


@intrinsic
def bits_as_float(typing, bits):
    """Return the float32 whose bits are those of an int32."""

    def code(context, builder, signature, args):
        return builder.bitcast(args[0], FLOAT)

    return types.float32(types.int32), code
