"""Starting a parallel kernel without ending the process.

Numba's threading layers differ in what they survive:

    workqueue   two Python threads at once: abort.  So one launch at a time there, and at the first launch of a
                process, before which Numba does not say which layer it will use
    omp         a child forked after the first launch is killed at its own first launch.  So such a child runs serially
"""
from contextlib import nullcontext
from threading import Lock

import numba

from npvgg import forking

TURN = Lock()


class Launcher:
    """A parallel kernel and its serial twin as one callable; both give the same bits."""

    forked = False                              # this process is the child of one that has OpenMP threads

    def __init__(self, together, alone):
        self.together, self.alone = together, alone

    def __call__(self, *arguments):
        if Launcher.forked:
            return self.alone(*arguments)
        with TURN if layer() in (None, "workqueue") else nullcontext():
            return self.together(*arguments)


def layer():
    """The threading layer of this process, None before the first launch."""
    try:
        return numba.threading_layer()
    except ValueError:
        return None


def after_fork():
    """A lock held by a thread that does not exist here would never be released."""
    global TURN
    TURN = Lock()
    Launcher.forked = layer() == "omp"


forking.in_child(after_fork)
