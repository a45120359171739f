"""Batch normalisation of features at inference."""
import numpy as np
from numba import prange

from npvgg.kernels import contracts
from npvgg.kernels.compiling.flags import parallel, serial
from npvgg.kernels.jit.operand import operand


def batchnorm1d(x, weight, bias, mean, var, *, eps=1e-5):
    """Centre and scale each feature by its running statistics: (N, features) → (N, features).

        y[n, k] = (x[n, k] − mean[k]) · scale[k] + bias[k]          scale[k] = weight[k] / √(var[k] + ε)
    """
    y = np.empty(contracts.batchnorm1d(x, weight, bias, mean, var, eps), x.dtype)
    with np.errstate(all="ignore"):                 # a variance of −1 or NaN is an answer of NaN
        scale = weight / np.sqrt(var + x.dtype.type(eps))
    every_row(operand(x), operand(scale), operand(bias), operand(mean), y)
    return y


@parallel
def every_row(x, scale, bias, mean, y):
    """(N, features) → y (N, features), one row a task."""
    for n in prange(len(x)):
        one_row(x[n], scale, bias, mean, y[n])


@serial
def one_row(x, scale, bias, mean, y):
    """(features,) → y (features,)."""
    for k in range(len(x)):
        y[k] = (x[k] - mean[k]) * scale[k] + bias[k]
