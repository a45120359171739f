"""The gradient of average-pooling."""
import numpy as np
from numba import prange

from npvgg.kernels.compiling.flags import parallel, serial
from npvgg.kernels.gradients import contracts
from npvgg.kernels.jit.operand import operand


def avgpool2d(g, x, *, size=2, stride=2):
    """g (N, C, H′, W′) → {"x": (N, C, H, W)}.

        dx[n, c, i·stride + u, j·stride + v] += g[n, c, i, j] / size²          0 ≤ u, v < size
    """
    contracts.check("avgpool2d", g, x, size=size, stride=stride)
    dx = np.zeros(x.shape, x.dtype)
    every_plane(operand(g), size, stride, dx)
    return {"x": dx}


@parallel
def every_plane(g, size, stride, dx):
    """(N, C, H′, W′) → dx (N, C, H, W), one plane a task."""
    images, channels = dx.shape[:2]
    for plane in prange(images * channels):
        one_plane(g[plane // channels, plane % channels], size, stride, dx[plane // channels, plane % channels])


@serial
def one_plane(g, size, stride, dx):
    """(H′, W′) → dx (H, W), zero before."""
    count = g.dtype.type(size * size)
    for i in range(g.shape[0]):
        for j in range(g.shape[1]):
            share = g[i, j] / count
            for row in range(i * stride, i * stride + size):
                for column in range(j * stride, j * stride + size):
                    dx[row, column] += share
