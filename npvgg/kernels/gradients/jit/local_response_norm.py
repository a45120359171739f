"""The gradient of local response normalisation."""
import numpy as np
from numba import prange

from npvgg.kernels.compiling.flags import parallel, serial
from npvgg.kernels.gradients import contracts
from npvgg.kernels.jit.operand import operand


def local_response_norm(g, x, *, size=5, alpha=1e-4, beta=0.75, k=2.0):
    """g (N, C, H, W) → {"x": (N, C, H, W)}.

        a[c] = k + α/size · Σ_d x[d]²                                    c − ⌊size/2⌋ ≤ d ≤ c + ⌊(size−1)/2⌋
        dx[c] = g[c] · a[c]^−β − 2·α·β/size · x[c] · Σ_d g[d] · x[d] · a[d]^−(β+1)
                                                                         c − ⌊(size−1)/2⌋ ≤ d ≤ c + ⌊size/2⌋

    at every n, i, j.
    """
    contracts.check("local_response_norm", g, x, size=size, alpha=alpha, beta=beta, k=k)
    dx = np.empty(x.shape, x.dtype)
    number = x.dtype.type                           # a float64 here would make the arithmetic float64
    every_row(operand(g), operand(x), size, number(alpha / size), number(beta), number(k), dx)
    return {"x": dx}


@parallel
def every_row(g, x, size, slope, beta, k, dx):
    """(N, C, H, W) twice → dx (N, C, H, W), one row of all channels a task."""
    images, _, height, _ = x.shape
    for row in prange(images * height):
        n, i = row // height, row % height
        one_row(g[n, :, i], x[n, :, i], size, slope, beta, k, dx[n, :, i])


@serial
def one_row(g, x, size, slope, beta, k, dx):
    """(C, W) twice → dx (C, W)."""
    channels, width = x.shape
    one, tilt = x.dtype.type(1), x.dtype.type(2) * slope * beta
    before, after = size // 2, (size - 1) // 2
    energy = np.empty(width, x.dtype)
    others = np.empty((channels, width), x.dtype)           # g·x·a^−(β+1)
    for c in range(channels):
        energy[:] = 0
        for d in range(max(0, c - before), min(channels, c + after + 1)):
            for j in range(width):
                energy[j] += x[d, j] * x[d, j]
        for j in range(width):
            a = k + slope * energy[j]
            dx[c, j] = g[c, j] * a ** -beta
            others[c, j] = g[c, j] * x[c, j] * a ** -(beta + one)
    for c in range(channels):
        energy[:] = 0
        for d in range(max(0, c - after), min(channels, c + before + 1)):
            for j in range(width):
                energy[j] += others[d, j]
        for j in range(width):
            dx[c, j] -= tilt * x[c, j] * energy[j]
