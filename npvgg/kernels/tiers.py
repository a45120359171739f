"""Which function computes which operation.

A tier overrides the operations that it implements and takes the rest from the tier below, as BLIS replaces reference kernels by
tuned ones.  A tier is imported when it is chosen, so the reference runs without Numba.
"""
import os
from importlib import import_module

from npvgg.errors import UnsupportedError, UsageError
from npvgg.text import meant, said

LADDER = ("reference", "jit", "engine")   # each rung overrides the ones below it
DEFAULT = LADDER[-1]
GRADIENTS = "npvgg.kernels.gradients"     # the package whose rungs hold the operations run backwards
ALGORITHMS = ("auto", "winograd", "direct")   # for the engine's 3×3 convolutions


def choose(tier, package="npvgg.kernels"):
    """'jit' → {operation: function}, with package=GRADIENTS those of the operations' gradients.

    Raises UsageError for a tier that does not exist and UnsupportedError for one that cannot be imported.
    """
    operations = {}
    for rung in rungs(tier):
        try:
            module = import_module(f"{package}.{rung}")
        except (ImportError, OSError) as error:
            raise unloadable(rung, error) from error
        operations |= module.operations(operations)
    return operations


def unloadable(tier: str, error: ImportError | OSError) -> UnsupportedError:
    """The error for a tier whose modules or libraries do not load: OSError is LLVM's, which has the system's words below it."""
    return UnsupportedError(f"the {tier} tier cannot be loaded ({said(error.__context__ or error)}); install what is missing, "
                            f"give the process more memory, or choose the {LADDER[0]} tier")


def rungs(tier):
    """The rungs up to `tier` that serve here, the lowest first.

    The engine is made of instructions, so it is left out under NUMBA_DISABLE_JIT=1, where the bodies of the jit tier run as
    Python.
    """
    if not isinstance(tier, str) or tier not in LADDER:
        raise UsageError(f"there is no kernel tier {tier!r}{meant(tier, LADDER)}; choose one of {', '.join(LADDER)}")
    is_compiled = os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")
    return tuple(rung for rung in LADDER[:LADDER.index(tier) + 1] if is_compiled or rung != "engine")
