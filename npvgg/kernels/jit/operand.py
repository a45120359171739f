"""An argument in the one form that kernels are compiled for."""
import numpy as np


def operand(array, *shape):
    """Any strides, alignment and flags → C-contiguous, aligned and read-only, as `shape` if one is given.

    Numba compiles a kernel anew for every combination of these three; with one form there is one compilation a dtype,
    and the compiler itself refuses to write into an argument.  Copies only what has to be moved.
    """
    view = np.require(array, requirements=["C_CONTIGUOUS", "ALIGNED", "ENSUREARRAY"]).reshape(shape or array.shape)
    view = view.view()
    view.flags.writeable = False
    return view
