"""The gradient of average pooling to a fixed size."""
import numpy as np
from numba import prange

from npvgg.kernels.compiling.flags import parallel, serial
from npvgg.kernels.gradients import contracts
from npvgg.kernels.jit.adaptive_avgpool2d import bin_edges
from npvgg.kernels.jit.operand import operand


def adaptive_avgpool2d(g, x, *, size=7):
    """g (N, C, size, size) → {"x": (N, C, H, W)}.

        dx[n, c, r, s] += g[n, c, i, j] / |bin i, j|          for all r, s in bin i, j

    The bins are those of the operation; where they overlap, what they give back adds up.
    """
    contracts.check("adaptive_avgpool2d", g, x, size=size)
    dx = np.zeros(x.shape, x.dtype)
    every_plane(operand(g), dx)
    return {"x": dx}


@parallel
def every_plane(g, dx):
    """(N, C, size, size) → dx (N, C, H, W), one plane a task."""
    images, channels = dx.shape[:2]
    for plane in prange(images * channels):
        one_plane(g[plane // channels, plane % channels], dx[plane // channels, plane % channels])


@serial
def one_plane(g, dx):
    """(size, size) → dx (H, W), zero before."""
    for i in range(g.shape[0]):
        top, bottom = bin_edges(i, dx.shape[0], g.shape[0])
        for j in range(g.shape[1]):
            left, right = bin_edges(j, dx.shape[1], g.shape[1])
            share = g[i, j] / dx.dtype.type((bottom - top) * (right - left))
            for row in range(top, bottom):
                for column in range(left, right):
                    dx[row, column] += share
