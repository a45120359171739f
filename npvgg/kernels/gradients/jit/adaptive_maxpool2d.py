"""The gradient of maximum pooling to a fixed size."""
import numpy as np
from numba import prange

from npvgg.kernels.compiling.flags import parallel, serial
from npvgg.kernels.gradients import contracts
from npvgg.kernels.gradients.jit.largest_place import largest_place
from npvgg.kernels.jit.adaptive_avgpool2d import bin_edges
from npvgg.kernels.jit.operand import operand


def adaptive_maxpool2d(g, x, *, size=7):
    """g (N, C, size, size) → {"x": (N, C, H, W)}.

        dx[n, c, r, s] += g[n, c, i, j]          where (r, s) is the place of the largest value of bin i, j

    Row by row, of equal values the first is the largest, and of NaN the last.
    """
    contracts.check("adaptive_maxpool2d", g, x, size=size)
    dx = np.zeros(x.shape, x.dtype)
    every_plane(operand(g), operand(x), dx)
    return {"x": dx}


@parallel
def every_plane(g, x, dx):
    """(N, C, size, size) and (N, C, H, W) → dx (N, C, H, W), one plane a task."""
    images, channels = x.shape[:2]
    for plane in prange(images * channels):
        n, c = plane // channels, plane % channels
        one_plane(g[n, c], x[n, c], dx[n, c])


@serial
def one_plane(g, x, dx):
    """(size, size) and (H, W) → dx (H, W), zero before."""
    for i in range(g.shape[0]):
        top, bottom = bin_edges(i, x.shape[0], g.shape[0])
        for j in range(g.shape[1]):
            left, right = bin_edges(j, x.shape[1], g.shape[1])
            row, column = largest_place(x, top, bottom, left, right)
            dx[row, column] += g[i, j]
