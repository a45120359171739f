"""Max-pooling."""
import numpy as np
from numba import prange

from npvgg.kernels import contracts
from npvgg.kernels.compiling.flags import parallel, serial
from npvgg.kernels.jit.operand import operand


def maxpool2d(x, *, size=2, stride=2, ceil_mode=False):
    """The largest value under each window: (N, C, H, W) → (N, C, H′, W′).

        y[n, c, i, j] = max_u,v  x[n, c, i·stride + u, j·stride + v]          0 ≤ u, v < size, inside the image

    A NaN in the window wins; of equal values (0.0 and −0.0) the first one does.
    """
    y = np.empty(contracts.maxpool2d(x, size, stride, ceil_mode), x.dtype)
    every_plane(operand(x), size, stride, y)
    return y


@parallel
def every_plane(x, size, stride, y):
    """(N, C, H, W) → y (N, C, H′, W′), one plane a task."""
    images, channels = x.shape[:2]
    for plane in prange(images * channels):
        one_plane(x[plane // channels, plane % channels], size, stride, y[plane // channels, plane % channels])


@serial
def one_plane(x, size, stride, y):
    """(H, W) → y (H′, W′)."""
    height, width = x.shape
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            best = x[i * stride, j * stride]
            for row in range(i * stride, min(i * stride + size, height)):
                for column in range(j * stride, min(j * stride + size, width)):
                    value = x[row, column]
                    if value > best or value != value:
                        best = value
            y[i, j] = best
