"""Threads that walk through a program together.

Every thread runs the same loop: take the next task of the step, do it, and when none is left wait until all tasks of the step
are done.  Which thread does which task is left to chance, the answer is not: a task computes the same wherever it runs.  So a
helper may come late, or not at all, and the caller then does everything itself.

The helpers are Python threads inside compiled code that holds no lock of the interpreter; Numba's own threading layers, which
end the process when two Python threads meet in them or after a fork, have no part in it.
"""
import threading
from concurrent.futures import ThreadPoolExecutor

from npvgg import forking
from npvgg.kernels.compiling.threads import number_of


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
forking.in_child(HELPERS.start_over)


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
