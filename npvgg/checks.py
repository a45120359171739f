"""Arguments checked where they enter, each refusal a sentence."""
import difflib
import math
import os
import sys
from collections.abc import Iterable
from numbers import Integral, Real

from npvgg.errors import UsageError
from npvgg.text import meant


def is_number(value) -> bool:
    """Whether it is a finite number, True and False not among them."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def check_size(what, value, low, high):
    """UsageError unless `value` is a whole number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= value <= high:
        raise UsageError(f"{what} is {value!r}; give a whole number from {low} to {high}")


def check_choice(what, value, choices):
    """UsageError unless `value` is one of `choices`, of the same type."""
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise UsageError(f"{what} is {value!r}{meant(value, choices)}; choose one of {', '.join(map(str, choices))}")


def check_flags(**flags):
    """UsageError unless each is True or False: "no" and "0" would count as True."""
    for name, value in flags.items():
        check_choice(name, value, (True, False))


def check_count(what, value):
    """UsageError unless `value` is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise UsageError(f"{what} is {value!r}; give a whole number of at least 1")


def refuse_unknown(what: str, unknown: Iterable[str], known: Iterable[str]) -> None:
    """UsageError that names the first of the `unknown` arguments of `what`, the nearest of the known ones, and all of these."""
    for name in unknown:
        nearest = difflib.get_close_matches(name, known := list(known), 1)
        raise UsageError(f"{what} takes no {name!r}{f'; did you mean {nearest[0]!r}?' if nearest else ''}; it takes "
                         f"{', '.join(known)}")


def check_memory(what: str, count: int) -> None:
    """UsageError where `count` numbers in float32 are more than this computer's memory, before any of them is made."""
    if not hasattr(os, "sysconf"):
        return
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if 4 * count > memory:
        raise UsageError(f"{what} has {count:,} parameters, {4 * count / 2**30:,.1f} GiB in float32, and this computer has "
                         f"{memory / 2**30:,.1f} GiB of memory; give a smaller head or width")


def callers_level() -> int:
    """The `stacklevel` with which a warning points at the line outside npvgg that has called."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "npvgg":
        frame, level = frame.f_back, level + 1
    return level
