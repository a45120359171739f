"""The gradient of the rectifier."""
import numpy as np
from numba import prange

from npvgg.kernels.compiling.arithmetic import ceil_div
from npvgg.kernels.compiling.flags import parallel, serial
from npvgg.kernels.gradients import contracts
from npvgg.kernels.jit.operand import operand

SPAN = 16384            # values a task


def relu(g, x):
    """g of any shape → {"x": the same shape}.

        dx = 0 if x ≤ 0 else g          NaN lets g pass; relu(x) in the place of x gives the same
    """
    contracts.check("relu", g, x)
    dx = np.empty(x.shape, x.dtype)
    every_span(operand(g, -1), operand(x, -1), dx.reshape(-1))
    return {"x": dx}


@parallel
def every_span(g, x, dx):
    """(values,) twice → dx (values,), SPAN values a task."""
    for span in prange(ceil_div(len(x), SPAN)):
        window = slice(span * SPAN, (span + 1) * SPAN)
        one_span(g[window], x[window], dx[window])


@serial
def one_span(g, x, dx):
    """(values,) twice → dx (values,)."""
    zero = x.dtype.type(0)
    for i in range(len(x)):
        dx[i] = zero if x[i] <= zero else g[i]
