"""Average pooling to a fixed size."""
import numpy as np
from numba import prange

from npvgg.kernels import contracts
from npvgg.kernels.compiling.arithmetic import ceil_div
from npvgg.kernels.compiling.flags import parallel, serial
from npvgg.kernels.jit.operand import operand


def adaptive_avgpool2d(x, *, size=7):
    """Average over size×size bins that cover the map: (N, C, H, W) → (N, C, size, size).

        y[n, c, i, j] = mean of x[n, c, ⌊i·H/size⌋ … ⌈(i+1)·H/size⌉ − 1, ⌊j·W/size⌋ … ⌈(j+1)·W/size⌉ − 1]

    Bins overlap where size does not divide H; a map smaller than size is repeated.
    """
    y = np.empty(contracts.adaptive_avgpool2d(x, size), x.dtype)
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
    """(H, W) → y (H′, W′).  Each row of a bin is summed first, then the rows."""
    for i in range(y.shape[0]):
        top, bottom = bin_edges(i, x.shape[0], y.shape[0])
        for j in range(y.shape[1]):
            left, right = bin_edges(j, x.shape[1], y.shape[1])
            total = x.dtype.type(0)
            for row in range(top, bottom):
                line = x.dtype.type(0)
                for column in range(left, right):
                    line += x[row, column]
                total += line
            y[i, j] = total / x.dtype.type((bottom - top) * (right - left))


@serial
def bin_edges(index, extent, count):
    """Where bin `index` of `count` along an axis of `extent` begins, and where it ends."""
    return index * extent // count, ceil_div((index + 1) * extent, count)
