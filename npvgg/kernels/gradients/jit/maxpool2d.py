"""The gradient of max-pooling."""
import numpy as np
from numba import prange

from npvgg.kernels.compiling.flags import parallel, serial
from npvgg.kernels.gradients import contracts
from npvgg.kernels.gradients.jit.largest_place import largest_place
from npvgg.kernels.jit.operand import operand


def maxpool2d(g, x, *, size=2, stride=2, ceil_mode=False):
    """g (N, C, H′, W′) → {"x": (N, C, H, W)}.

        dx[n, c, i·stride + u, j·stride + v] += g[n, c, i, j]          where (u, v) is the place of the window's largest value

    Row by row, of equal values the first is the largest, and of NaN the last.  Windows that overlap add up.
    """
    contracts.check("maxpool2d", g, x, size=size, stride=stride, ceil_mode=ceil_mode)
    dx = np.zeros(x.shape, x.dtype)
    every_plane(operand(g), operand(x), size, stride, dx)
    return {"x": dx}


@parallel
def every_plane(g, x, size, stride, dx):
    """(N, C, H′, W′) and (N, C, H, W) → dx (N, C, H, W), one plane a task."""
    images, channels = x.shape[:2]
    for plane in prange(images * channels):
        n, c = plane // channels, plane % channels
        one_plane(g[n, c], x[n, c], size, stride, dx[n, c])


@serial
def one_plane(g, x, size, stride, dx):
    """(H′, W′) and (H, W) → dx (H, W), zero before."""
    height, width = x.shape
    for i in range(g.shape[0]):
        for j in range(g.shape[1]):
            top, left = i * stride, j * stride
            row, column = largest_place(x, top, min(top + size, height), left, min(left + size, width))
            dx[row, column] += g[i, j]
