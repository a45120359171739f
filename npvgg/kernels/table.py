"""Which function computes which operation.

A tier overrides what it has learned and leaves the rest to the tier below, as BLIS replaces reference kernels by tuned
ones.  A tier is imported when it is chosen, so the reference runs without Numba.
"""
from importlib import import_module

from npvgg.errors import UnsupportedError, UsageError

LADDER = ("reference", "jit")             # each rung overrides the ones below it


def choose(tier):
    """'jit' → {operation: function}.

    Raises UsageError for a tier that does not exist and UnsupportedError for one that cannot be imported.
    """
    if tier not in LADDER:
        raise UsageError(f"there is no kernel tier {tier!r}; choose one of {', '.join(LADDER)}")
    operations = {}
    for rung in LADDER[:LADDER.index(tier) + 1]:
        try:
            operations |= import_module(f"npvgg.kernels.{rung}").OPERATIONS
        except ImportError as error:
            raise UnsupportedError(f"the {rung} tier cannot be imported ({error}); install what is missing, "
                                   f"or choose the {LADDER[0]} tier") from error
    return operations
