"""What batch norm centres and scales by while a network is trained."""
import numpy as np
from numba import prange

from npvgg.kernels.compiling.flags import parallel, serial
from npvgg.kernels.gradients.contracts import check_training
from npvgg.kernels.gradients.jit.channel_sums import one_channel, planes


def batch_statistics(x):
    """Mean and variance of each channel over the batch: (N, C, H, W) or (N, C) → (C,), (C,).

        mean[c] = 1/n · Σ_n,i,j  x[n, c, i, j]                    n = N·H·W
        var[c] = 1/n · Σ_n,i,j  (x[n, c, i, j] − mean[c])²

    The sums are float64, and x is read twice: the mean of the squares would lose what a large mean hides.
    """
    check_training("batch_statistics", x)
    mean, var = np.empty((2, x.shape[1]), x.dtype)
    every_channel(planes(x), mean, var)
    return mean, var


@parallel
def every_channel(x, mean, var):
    """(N, C, H·W) → mean (C,) and var (C,), one channel a task."""
    for c in prange(len(mean)):
        mean[c], var[c] = moments(x[:, c])


@serial
def moments(x):
    """(N, H·W) → mean and variance in float64."""
    mean = one_channel(x) / x.size
    squares = 0.0
    for n in range(x.shape[0]):
        for p in range(x.shape[1]):
            squares += (x[n, p] - mean) ** 2
    return mean, squares / x.size
