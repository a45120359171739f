"""Where threads take tasks and wait for each other: counters in memory that all of them change."""
import platform
import sys

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from npvgg.kernels.compiling.flags import part
from npvgg.kernels.engine.float32.vectors import I64
from npvgg.kernels.engine.steps import LINE

PATIENCE = 2000                 # times that a counter is read before the thread yields the processor
IS_X86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")

offer_processor = types.ExternalFunction("SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32())


@intrinsic
def add_and_get_old(typing_context, address, amount):
    """Atomically: old ← memory; memory ← old + amount; → old."""
    def codegen(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], I64.as_pointer())
        return builder.atomic_rmw("add", pointer, arguments[1], "seq_cst")
    return types.int64(types.int64, types.int64), codegen


@intrinsic
def look(typing_context, address):
    """The current value of an int64 in memory that other threads change."""
    def codegen(context, builder, signature, arguments):
        return builder.load_atomic(builder.inttoptr(arguments[0], I64.as_pointer()), "seq_cst", 8)
    return types.int64(types.int64), codegen


@intrinsic
def pause(typing_context):
    """Tell the processor that this is a loop that waits."""
    def codegen(context, builder, signature, arguments):
        if IS_X86:
            nothing = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, nothing, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()
    return types.void(), codegen


@part
def next_task(counters, step):
    """The number of a task that no thread has taken yet."""
    return add_and_get_old(counters + 8 * LINE * 2 * step, 1)


@part
def meet(counters, step, did, tasks):
    """Report `did` tasks of the step, and wait until all of them are done."""
    done = counters + 8 * LINE * (2 * step + 1)
    add_and_get_old(done, did)
    looks = 0
    while look(done) < tasks:
        pause()
        looks += 1
        if looks == PATIENCE:
            offer_processor()
            looks = 0
