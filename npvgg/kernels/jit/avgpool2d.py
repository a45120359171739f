"""Average-pooling."""
import numpy as np
from numba import prange

from npvgg.kernels import contracts
from npvgg.kernels.compiling.flags import parallel, serial
from npvgg.kernels.jit.operand import operand


def avgpool2d(x, *, size=2, stride=2):
    """The mean under each window: (N, C, H, W) → (N, C, H′, W′).

        y[n, c, i, j] = 1/size² · Σ_u,v  x[n, c, i·stride + u, j·stride + v]          0 ≤ u, v < size
    """
    y = np.empty(contracts.avgpool2d(x, size, stride), x.dtype)
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
    count = x.dtype.type(size * size)
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            total = x.dtype.type(0)
            for row in range(i * stride, i * stride + size):
                for column in range(j * stride, j * stride + size):
                    total += x[row, column]
            y[i, j] = total / count
