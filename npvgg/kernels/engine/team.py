"""Threads that walk through a program together.

Every thread runs the same loop: take the next task of the step, do it, and when none is left wait until all tasks of the step
are done.  Which thread does which task is left to chance, the answer is not: a task computes the same wherever it runs.  So a
helper may come late, or not at all, and the caller then does everything itself: where no thread can be started, after the main
thread's end and while the interpreter shuts down.

The helpers are Python threads inside compiled code that holds no lock of the interpreter; Numba's own threading layers, which
end the process when two Python threads meet in them or after a fork, have no part in it.

Ctrl-C raises KeyboardInterrupt between any two lines of the main thread, inside `threading` and `concurrent.futures` too, whose
locks are then never released.  So all that the caller does here is one step of the interpreter each: on a list, on a
SimpleQueue, on a lock of `_thread`.  An interrupted call leaves its helpers to finish by themselves.
"""
import sys
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable
from queue import SimpleQueue

from npvgg import forking
from npvgg.kernels.compiling.threads import number_of


class Job:
    """function(number), which a helper may take until the caller withdraws it."""

    def __init__(self, function: Callable, number: int):
        self.function, self.number, self.error = function, number, None
        self.taken, self.unfinished = allocate_lock(), allocate_lock()
        self.unfinished.acquire()

    def run(self) -> None:
        """Do it, as a helper, unless it was withdrawn."""
        if self.taken.acquire(blocking=False):
            try:
                self.function(self.number)
            except BaseException as error:          # the caller's to raise
                self.error = error
            self.function = None
            self.unfinished.release()

    def end(self) -> None:
        """Withdraw it, or wait until the helper that has taken it is done."""
        if self.taken.acquire(blocking=False):
            self.function = None                    # the job stays in the queue until a helper passes by
        else:
            self.unfinished.acquire()


class Helpers:
    """The helper threads of this process: at most one fewer than it may use processors, shared by all calls.

    They are daemons, so that a process ends without them.  A thread that is started takes a seat, or ends where none is free;
    only the seats count, for an interrupt may come between starting a thread and noting that.
    """

    def __init__(self):
        self.start_over()

    def start_over(self) -> None:
        """Forget the threads: there are none yet, or, in a forked child, none any more."""
        self.jobs, self.idle, self.taken = SimpleQueue(), [], []

    def join_in(self, function: Callable, count: int) -> list[Job]:
        """Ask `count` helpers to call function(1), function(2), …; returns their jobs, none where nobody could do them."""
        if count < 1 or sys.is_finalizing() or not self.hire(count):
            return []
        jobs = [Job(function, number + 1) for number in range(count)]
        for job in jobs:
            self.jobs.put(job)
        return jobs

    def hire(self, count: int) -> bool:
        """Start threads where fewer than `count` wait for a job; whether there is any helper."""
        most, is_started = number_of(None) - 1, False
        try:
            for _ in range(min(most - len(self.taken), count + self.jobs.qsize() - len(self.idle))):
                start_new_thread(self.serve, (self.jobs, self.idle, self.taken, most))
                is_started = True
        except RuntimeError:                        # the system gives no more, or the interpreter shuts down
            pass
        return is_started or bool(self.taken)

    @staticmethod
    def serve(jobs: SimpleQueue, idle: list, taken: list, most: int) -> None:
        """The life of a helper: one job after another, where it is among the `most` that may be."""
        taken.append(None)
        if len(taken) > most:
            taken.pop()
            return
        while True:
            idle.append(None)
            job = jobs.get()
            idle.pop()
            job.run()
            del job                                 # and the memory that it holds


HELPERS = Helpers()
forking.in_child(HELPERS.start_over)


def together(function: Callable, threads: int) -> None:
    """Call function(0) here and function(1) … function(threads−1) on helpers that are free; return when all have returned.

    Helpers that have not begun when function(0) returns are sent away.  After an interrupt they may still be at work: what
    `function` reads and writes must live as long as it does.
    """
    jobs = HELPERS.join_in(function, threads - 1)
    try:
        function(0)
    finally:
        for job in jobs:
            job.end()
        for job in jobs:
            if job.error is not None:
                raise job.error


def share(function, count):
    """function(0) … function(count−1), divided among all threads; returns when all have returned."""
    numbers = iter(range(count))

    def work(_):
        # next() on an iterator over a range is one step for the interpreter, so no two threads get the same number.
        for number in numbers:
            function(number)

    together(work, number_of(None))
