"""Starting a parallel kernel without ending the process.

Numba's threading layers differ in what they survive:

    workqueue   two Python threads at once: abort.  So one launch at a time there, and at the first launch of a
                process, before which Numba does not say which layer it will use
    omp         a child forked after the first launch is killed at its own first launch.  So such a child runs serially

A fork waits for the launch that is under way and for Numba's compiler.
"""
from contextlib import nullcontext
from threading import RLock

import numba
from numba.core.compiler_lock import global_compiler_lock

from npvgg import forking
from npvgg.errors import UsageError
from npvgg.text import said

TURN = RLock()
forking.waits_for(TURN)
forking.waits_for(global_compiler_lock)


class Launcher:
    """A parallel kernel and its serial twin as one callable; both give the same bits."""

    forked = False                              # this process is the child of one that has OpenMP threads

    def __init__(self, together, alone):
        self.together, self.alone = together, alone

    def __call__(self, *arguments):
        if Launcher.forked:
            return self.alone(*arguments)
        with TURN if layer() in (None, "workqueue") else nullcontext():
            try:
                return self.together(*arguments)
            except ValueError as error:
                if layer() is not None:
                    raise
                raise UsageError(f"Numba starts no threads ({said(error)}); leave NUMBA_THREADING_LAYER out, or give "
                                 "workqueue") from None


def layer():
    """The threading layer of this process, None before the first launch."""
    try:
        return numba.threading_layer()
    except ValueError:
        return None


def after_fork():
    """Remember that the threads of this process are not there."""
    Launcher.forked = layer() == "omp"


forking.in_child(after_fork)
