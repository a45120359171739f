"""What becomes of locks and threads in a forked child: both are copied without the threads that would let go of them.

A lock that is held for microseconds is made anew in the child (`in_child`).  What another thread is in the middle of while it
imports, compiles or loads code is not npvgg's to repair there: locks of Python's import system, Numba and LLVM, and their
data.  So a fork waits until that is done (`waits_for`).
"""
import os
from collections.abc import Callable
from contextlib import suppress
from threading import RLock
from typing import Any

MAKING = RLock()                # held while modules are imported, and machine code loaded, at a first call
AWAITED = [MAKING]              # in the order in which they are taken
HELD = []                       # by the thread that forks


def in_child(function: Callable[[], None]) -> Callable[[], None]:
    """Call `function` in every child that is forked after this, before its own code runs; nothing where there is no fork."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)
    return function


def waits_for(lock: Any) -> None:
    """Let every fork after this wait while another thread holds the lock, one that its own thread may take again (RLock)."""
    AWAITED.append(lock)


def before() -> None:
    """Wait for them all, those too that are added while this waits, and keep them while the process forks."""
    for lock in AWAITED:
        lock.acquire()
        HELD.append(lock)


def after() -> None:
    """Let them go, in the parent and in the child."""
    with suppress(IndexError):
        while True:
            HELD.pop().release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=before, after_in_parent=after, after_in_child=after)
