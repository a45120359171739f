"""Threads that walk through a program together.

Every thread runs the same loop: take the next task of the step, do it, and when none is left wait until all tasks of the step
are done.  Which thread does which task is left to chance, the answer is not: a task computes the same wherever it runs.  So a
helper may come late, or not at all, and the caller then does everything itself.

The helpers are Python threads inside compiled code that holds no lock of the interpreter; Numba's own threading layers, which
end the process when two Python threads meet in them or after a fork, have no part in it.
"""
import os
import platform
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from npvgg.kernels.engine.vectors import I64
from npvgg.kernels.flags import serial
from npvgg.kernels.threads import number_of

PATIENCE = 2000                 # looks at a counter before the processor is offered to somebody else
IS_X86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")
LINE = 8                        # int64 in a cache line: counters that different threads change lie that far apart

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
    """What an int64 in memory is now, whichever thread changed it."""
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


@serial
def next_task(counters, step):
    """The number of a task that nobody has taken yet."""
    return add_and_get_old(counters + 8 * LINE * 2 * step, 1)


@serial
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


# ------------------------------------------------------------------------------------------------- the helpers


class Helpers:
    """The helper threads of this process: at most one fewer than it may use processors, shared by all calls."""

    def __init__(self):
        self.start_over()

    def start_over(self):
        """Forget the threads: there are none yet, or, in a forked child, none any more."""
        self.pool, self.lock = None, threading.Lock()

    def join_in(self, function, count):
        """Ask `count` helpers to call function(1), function(2), …; returns their futures."""
        if count < 1:
            return []
        with self.lock:
            if self.pool is None:
                self.pool = ThreadPoolExecutor(max(1, number_of(None) - 1), thread_name_prefix="npvgg")
        return [self.pool.submit(function, number + 1) for number in range(count)]


HELPERS = Helpers()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=HELPERS.start_over)


def together(function, threads):
    """Call function(0) here and function(1) … function(threads−1) on helpers that are free; return when all have returned.

    Helpers that have not begun when function(0) returns are sent away.
    """
    futures = HELPERS.join_in(function, threads - 1)
    try:
        function(0)
    finally:
        for future in futures:
            if not future.cancel():
                future.result()


def share(function, count):
    """function(0) … function(count−1), divided among all threads; returns when all have returned."""
    numbers = iter(range(count))

    def work(_):
        # next() on an iterator over a range is one step for the interpreter, so no two threads get the same number.
        for number in numbers:
            function(number)

    together(work, number_of(None))
