"""Local response normalisation."""
import numpy as np
from numba import prange

from npvgg.kernels import contracts
from npvgg.kernels.compiling.flags import parallel, serial
from npvgg.kernels.jit.operand import operand


def local_response_norm(x, *, size=5, alpha=1e-4, beta=0.75, k=2.0):
    """Divide each value by the energy of its neighbour channels: (N, C, H, W) → (N, C, H, W).

        y[n, c, i, j] = x[n, c, i, j] / (k + α/size · Σ_d x[n, d, i, j]²)^β      c − ⌊size/2⌋ ≤ d ≤ c + ⌊(size−1)/2⌋

    Channels that do not exist count as zero; α is divided by size, as in PyTorch and Caffe.
    """
    y = np.empty(contracts.local_response_norm(x, size, alpha, beta, k), x.dtype)
    number = x.dtype.type                           # a float64 here would make the arithmetic float64
    every_row(operand(x), size, number(alpha / size), number(beta), number(k), y)
    return y


@parallel
def every_row(x, size, slope, beta, k, y):
    """(N, C, H, W) → y (N, C, H, W), one row of all channels a task."""
    images, _, height, _ = x.shape
    for row in prange(images * height):
        one_row(x[row // height, :, row % height], size, slope, beta, k, y[row // height, :, row % height])


@serial
def one_row(x, size, slope, beta, k, y):
    """(C, W) → y (C, W)."""
    channels, width = x.shape
    energy = np.empty(width, x.dtype)
    for c in range(channels):
        energy[:] = 0
        for d in range(max(0, c - size // 2), min(channels, c + (size - 1) // 2 + 1)):
            for j in range(width):
                energy[j] += x[d, j] * x[d, j]
        for j in range(width):
            y[c, j] = x[c, j] / (k + slope * energy[j]) ** beta
