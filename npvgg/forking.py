"""What a forked child does first: locks and threads of its parent are copied without the threads that would let them go."""
import os
from collections.abc import Callable


def in_child(function: Callable[[], None]) -> Callable[[], None]:
    """Call `function` in every child that is forked after this, before its own code runs; nothing where there is no fork."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)
    return function
