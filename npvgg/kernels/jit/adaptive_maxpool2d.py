"""Maximum pooling to a fixed size."""
import numpy as np
from numba import prange

from npvgg.kernels import contracts
from npvgg.kernels.compiling.flags import parallel, serial
from npvgg.kernels.jit.adaptive_avgpool2d import bin_edges
from npvgg.kernels.jit.operand import operand


def adaptive_maxpool2d(x, *, size=7):
    """The largest value of size×size bins that cover the map: (N, C, H, W) → (N, C, size, size).

        y[n, c, i, j] = max of x[n, c, ⌊i·H/size⌋ … ⌈(i+1)·H/size⌉ − 1, ⌊j·W/size⌋ … ⌈(j+1)·W/size⌉ − 1]

    A NaN in a bin wins.
    """
    y = np.empty(contracts.adaptive_maxpool2d(x, size), x.dtype)
    every_plane(operand(x), y)
    return y


@parallel
def every_plane(x, y):
    """(N, C, H, W) → y (N, C, size, size), one plane a task."""
    images, channels = x.shape[:2]
    for plane in prange(images * channels):
        one_plane(x[plane // channels, plane % channels], y[plane // channels, plane % channels])


@serial
def one_plane(x, y):
    """(H, W) → y (H′, W′)."""
    for i in range(y.shape[0]):
        top, bottom = bin_edges(i, x.shape[0], y.shape[0])
        for j in range(y.shape[1]):
            left, right = bin_edges(j, x.shape[1], y.shape[1])
            best = x[top, left]
            for row in range(top, bottom):
                for column in range(left, right):
                    value = x[row, column]
                    if value > best or value != value:
                        best = value
            y[i, j] = best
