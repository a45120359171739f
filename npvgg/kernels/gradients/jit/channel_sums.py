"""Sums over all but the channels: what a bias that is added everywhere gets back."""
import numpy as np
from numba import prange

from npvgg.kernels.compiling.flags import parallel, serial
from npvgg.kernels.jit.operand import operand


def channel_sums(x):
    """(N, C) or (N, C, H, W) → (C,).

        y[c] = Σ_n,i,j  x[n, c, i, j]          in float64, one task a channel
    """
    y = np.empty(x.shape[1], x.dtype)
    every_channel(planes(x), y)
    return y


def planes(x):
    """(N, C) or (N, C, H, W) → (N, C, H·W), in the form that kernels are compiled for."""
    return operand(x, *x.shape[:2], int(np.prod(x.shape[2:])))


@parallel
def every_channel(x, y):
    """(N, C, H·W) → y (C,)."""
    for c in prange(len(y)):
        y[c] = one_channel(x[:, c])


@serial
def one_channel(x):
    """(N, H·W) → a float64."""
    total = 0.0
    for n in range(x.shape[0]):
        for p in range(x.shape[1]):
            total += x[n, p]
    return total
