"""Batch normalisation at inference."""
import numpy as np
from numba import prange

from npvgg.kernels import contracts
from npvgg.kernels.compiling.flags import parallel, serial
from npvgg.kernels.jit.operand import operand


def batchnorm2d(x, weight, bias, mean, var, *, eps=1e-5):
    """Centre and scale each channel by its running statistics: (N, C, H, W) → (N, C, H, W).

        y[n, c, i, j] = (x[n, c, i, j] − mean[c]) · scale[c] + bias[c]          scale[c] = weight[c] / √(var[c] + ε)
    """
    y = np.empty(contracts.batchnorm2d(x, weight, bias, mean, var, eps), x.dtype)
    with np.errstate(all="ignore"):                 # a variance of −1 or NaN is an answer of NaN
        scale = weight / np.sqrt(var + x.dtype.type(eps))
    every_plane(operand(x), operand(scale), operand(bias), operand(mean), y)
    return y


@parallel
def every_plane(x, scale, bias, mean, y):
    """(N, C, H, W) → y (N, C, H, W), one plane a task."""
    images, channels = x.shape[:2]
    for plane in prange(images * channels):
        n, c = plane // channels, plane % channels
        one_plane(x[n, c], scale[c], bias[c], mean[c], y[n, c])


@serial
def one_plane(x, scale, bias, mean, y):
    """(H, W) → y (H, W)."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            y[i, j] = (x[i, j] - mean) * scale + bias
