"""The gradient of the soft-max."""
import numpy as np
from numba import prange

from npvgg.kernels.compiling.flags import parallel, serial
from npvgg.kernels.gradients import contracts
from npvgg.kernels.jit.operand import operand
from npvgg.kernels.jit.softmax import softmax as probabilities


def softmax(g, x):
    """g (…, classes) → {"x": (…, classes)}.

        dx[k] = y[k] · (g[k] − Σ_l g[l] · y[l])          y = softmax(x)
    """
    contracts.check("softmax", g, x)
    dx, rows = np.empty(x.shape, x.dtype), (-1, x.shape[-1])
    every_row(operand(g, *rows), operand(probabilities(x), *rows), dx.reshape(rows))
    return {"x": dx}


@parallel
def every_row(g, y, dx):
    """(rows, classes) twice → dx (rows, classes), one row a task."""
    for row in prange(len(g)):
        one_row(g[row], y[row], dx[row])


@serial
def one_row(g, y, dx):
    """(classes,) twice → dx (classes,); the sum is float64."""
    total = 0.0
    for k in range(len(g)):
        total += g[k] * y[k]
    mean = y.dtype.type(total)
    for k in range(len(g)):
        dx[k] = y[k] * (g[k] - mean)
