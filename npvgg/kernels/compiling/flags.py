"""How kernels are compiled: the only place where flags for Numba are written.

    @serial       one thread: every kernel body, legal Python that also runs under NUMBA_DISABLE_JIT=1
    @parallel     the thin loop over tasks that calls a body; its prange is shared out between the threads
    @part         a body of the engine: compiled into the entry points that call it, and kept as part of them only
    @inlined      the same, written into its caller first

NUMBA_BOUNDSCHECK=1 does nothing under parallel=True, so bodies are where an index out of bounds is found.
"""
from numba import njit

from npvgg.kernels.compiling.compiled_code import CompiledCode
from npvgg.kernels.compiling.launch import Launcher

FLAGS = {
    # Only "contract", which fuses a·b + c into one rounding.  "nnan" and "ninf", and so fastmath=True, would lose NaN
    # and infinities; "reassoc" would let the compiler choose the order of a sum, another one for each loop.
    "fastmath": {"contract"},
    # Kernels touch no Python object, so other Python threads may run meanwhile.
    "nogil": True,
}


def serial(function):
    """Compile for the thread that calls."""
    return remembered(njit(function, **FLAGS))


def parallel(function):
    """Compile for all threads; the answer does not depend on how many there are."""
    return Launcher(remembered(njit(function, parallel=True, **FLAGS)), njit(function, **FLAGS))


def part(function):
    """Compile into what calls it."""
    return njit(function, **FLAGS)


def inlined(function):
    """Write the body into what calls it before that is compiled: for a function that only chooses which other to call."""
    return njit(function, inline="always", **FLAGS)


def remembered(dispatcher):
    """Keep the machine code on disk, in our own files rather than Numba's."""
    if hasattr(dispatcher, "enable_caching"):                # not under NUMBA_DISABLE_JIT=1: then it is the function
        dispatcher._cache = CompiledCode(dispatcher.py_func)
    return dispatcher
