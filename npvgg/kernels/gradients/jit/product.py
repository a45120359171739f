"""Product of two whole matrices, tile by tile."""
import numpy as np
from numba import prange

from npvgg.kernels.compiling.arithmetic import ceil_div
from npvgg.kernels.compiling.flags import parallel, serial
from npvgg.kernels.jit import gemm
from npvgg.kernels.jit.operand import operand

# As in kernels/jit/conv2d.py: a task's part of b takes 144 KiB in float32 and its sums 128 KiB.
WIDTH = 256
BLOCK = 128
GRAIN = 16              # a part of b that is cut short is filled up to a multiple of this, a whole number of vectors


def product(a, b):
    """(O, K) and (K, P) → (O, P).

        c[o, p] = Σ_k  a[o, k] · b[k, p]
    """
    c = np.empty((len(a), b.shape[1]), a.dtype)
    every_tile(operand(a), operand(b), c)
    return c


@parallel
def every_tile(a, b, c):
    """(O, K) and (K, P) → c (O, P), BLOCK rows and WIDTH columns a task."""
    outputs, width = c.shape
    blocks = ceil_div(outputs, BLOCK)
    for task in prange(ceil_div(width, WIDTH) * blocks):
        one_tile(a, b, task % blocks * BLOCK, task // blocks * WIDTH, c)


@serial
def one_tile(a, b, o0, p0, c):
    """Rows o0 … o0 + BLOCK and columns p0 … p0 + WIDTH of c."""
    o1, p1 = min(o0 + BLOCK, len(c)), min(p0 + WIDTH, c.shape[1])
    width, depth = p1 - p0, len(b)
    filled = ceil_div(width, GRAIN) * GRAIN
    part = np.zeros((gemm.CHUNK, WIDTH), a.dtype)
    sums = np.zeros((o1 - o0, WIDTH), a.dtype)
    for k0 in range(0, depth, gemm.CHUNK):
        k1 = min(k0 + gemm.CHUNK, depth)
        part[:k1 - k0, :width] = b[k0:k1, p0:p1]
        part[k1 - k0:] = 0                                  # what is left over from the chunk before
        gemm.add_product(a[o0:o1, k0:k1], part, filled, sums)
    c[o0:o1, p0:p1] = sums[:, :width]
