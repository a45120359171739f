"""Arguments checked where they enter, each refusal a sentence."""
import math
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


def check_count(what, value):
    """UsageError unless `value` is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise UsageError(f"{what} is {value!r}; give a whole number of at least 1")
