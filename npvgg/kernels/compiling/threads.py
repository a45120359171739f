"""How many threads the kernels of one call may use.  The answer has the same bits for every number."""
import os
import re
from contextlib import contextmanager

from npvgg.errors import UsageError

VARIABLE = "NUMBA_NUM_THREADS"
MOST = 1024                     # threads; a system may refuse to start more, and takes minutes to


@contextmanager
def limited(count):
    """Run the kernels called inside on at most `count` threads; None leaves the setting of the process alone.

    Numba keeps the limit per calling thread, so calls from several Python threads do not disturb each other.
    """
    allowed = number_of(count)              # of None too: Numba itself would end in an error of its own where it reads 0
    if count is None:
        yield
        return
    import numba  # not at the top: the reference tier works without it

    before = numba.get_num_threads()
    numba.set_num_threads(allowed)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def number_of(threads):
    """The number of threads asked for; None: as many as the process may use.  UsageError for what cannot be.

    NUMBA_NUM_THREADS lowers or raises that number, for Numba's threads and for ours.
    """
    most = most_threads()
    if threads is None:
        return most
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= most:
        raise UsageError(f"threads is {threads!r}; this process can use 1 to {most}")
    return threads


def most_threads():
    """NUMBA_NUM_THREADS, or as many as there are processors."""
    stated = os.environ.get(VARIABLE)
    if not stated:
        return processors()
    if not re.fullmatch("[0-9]{1,4}", stated) or not 1 <= int(stated) <= MOST:
        raise UsageError(f"{VARIABLE} is {stated!r}; give a whole number from 1 to {MOST}, or leave it out")
    return int(stated)


def current():
    """The number that holds inside `limited`."""
    import numba

    return numba.get_num_threads()


def processors():
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
