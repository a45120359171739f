"""Logits to the logarithms of probabilities."""
import numpy as np
from numba import prange

from npvgg.kernels import contracts
from npvgg.kernels.compiling.flags import parallel, serial
from npvgg.kernels.jit.exponentials import largest, sum_of_exponentials
from npvgg.kernels.jit.operand import operand


def log_softmax(x):
    """Logarithms of the probabilities along the last axis: (…, classes) → (…, classes).

        y[k] = x[k] − m − ln Σ_l exp(x[l] − m)          m = max_l x[l]

    A row with a NaN or with +∞ is all NaN, as in PyTorch.
    """
    y = np.empty(contracts.log_softmax(x), x.dtype)
    every_row(operand(x, -1, x.shape[-1]), y.reshape(-1, x.shape[-1]))
    return y


@parallel
def every_row(x, y):
    """(rows, classes) → y (rows, classes), one row a task."""
    for row in prange(len(x)):
        one_row(x[row], y[row])


@serial
def one_row(x, y):
    """(classes,) → y (classes,)."""
    m = largest(x)
    logarithm = np.log(sum_of_exponentials(x, m))
    for k in range(len(x)):
        y[k] = x[k] - m - logarithm
