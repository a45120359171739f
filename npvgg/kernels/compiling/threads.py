"""How many threads the kernels of one call may use.  The answer has the same bits for every number."""
import os
from contextlib import contextmanager

from npvgg.errors import UsageError


@contextmanager
def limited(count):
    """Run the kernels called inside on at most `count` threads; None leaves the setting of the process alone.

    Numba keeps the limit per calling thread, so calls from several Python threads do not disturb each other.
    """
    if count is None:
        yield
        return
    import numba  # not at the top: the reference tier works without it

    count = number_of(count)
    before = numba.get_num_threads()
    numba.set_num_threads(count)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def number_of(threads):
    """The number of threads asked for; None: as many as the process may use.  UsageError for what cannot be.

    NUMBA_NUM_THREADS lowers or raises that number, for Numba's threads and for ours.
    """
    most = int(os.environ.get("NUMBA_NUM_THREADS") or processors())
    if threads is None:
        return most
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= most:
        raise UsageError(f"threads is {threads!r}; this process can use 1 to {most}")
    return threads


def current():
    """The number that holds inside `limited`."""
    import numba

    return numba.get_num_threads()


def processors():
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
