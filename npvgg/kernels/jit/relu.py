"""The rectifier."""
import numpy as np
from numba import prange

from npvgg.kernels import contracts
from npvgg.kernels.compiling.arithmetic import ceil_div
from npvgg.kernels.compiling.flags import parallel, serial
from npvgg.kernels.jit.operand import operand

SPAN = 16384            # values a task; 64 KiB of float32 in and as much out


def relu(x):
    """Replace what is negative by zero: any shape → the same shape.

        y = 0 if x < 0 else x          NaN stays NaN, −0.0 stays −0.0
    """
    y = np.empty(contracts.relu(x), x.dtype)
    every_span(operand(x, -1), y.reshape(-1))
    return y


@parallel
def every_span(x, y):
    """(values,) → y (values,), SPAN values a task."""
    for span in prange(ceil_div(len(x), SPAN)):
        one_span(x[span * SPAN:(span + 1) * SPAN], y[span * SPAN:(span + 1) * SPAN])


@serial
def one_span(x, y):
    """(values,) → y (values,)."""
    zero = x.dtype.type(0)
    for i in range(len(x)):
        y[i] = zero if x[i] < zero else x[i]
