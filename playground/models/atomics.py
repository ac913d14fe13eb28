"""What two threads in machine code need to talk to each other: atomic words at an address."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

INT = ir.IntType(64)


@intrinsic
def load(typingctx, address):
    """Return the word at `address`, with everything that was written before it."""

    def code(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], INT.as_pointer())
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(types.int64), code


@intrinsic
def store(typingctx, address, word):
    """Write `word` to `address`, after everything that was written before."""

    def code(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], INT.as_pointer())
        builder.store_atomic(arguments[1], pointer, "release", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), code


@intrinsic
def add(typingctx, address, number):
    """Add to the word at `address`."""

    def code(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], INT.as_pointer())
        builder.atomic_rmw("add", pointer, arguments[1], "acq_rel")
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), code


@intrinsic
def swap(typingctx, address, old, new):
    """Replace the word at `address` if it is still `old`; return whether it was."""

    def code(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], INT.as_pointer())
        pair = builder.cmpxchg(pointer, arguments[1], arguments[2], "acq_rel", "acquire")
        return builder.extract_value(pair, 1)

    return types.boolean(types.int64, types.int64, types.int64), code


@intrinsic
def cycles(typingctx):
    """Return the processor's clock, in its cycles."""

    def code(context, builder, signature, arguments):
        kind = ir.FunctionType(INT, [])
        module = builder.module
        name = "llvm.readcyclecounter"
        function = module.globals.get(name) or ir.Function(module, kind, name)
        return builder.call(function, [])

    return types.int64(), code


@intrinsic
def pause(typingctx):
    """Tell the processor that this is a loop that waits; it takes some ten cycles."""

    def code(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.VoidType(), [])
        module, name = builder.module, "llvm.x86.sse2.pause"
        builder.call(module.globals.get(name) or ir.Function(module, kind, name), [])
        return context.get_dummy_value()

    return types.void(), code


let_others_run = types.ExternalFunction("sched_yield", types.int32())
