"""Convolution with stride 1 as im2col and a matrix product, tile by tile."""
import numpy as np
from numba import prange

from npvgg.kernels import contracts
from npvgg.kernels.compiling.arithmetic import ceil_div
from npvgg.kernels.compiling.flags import parallel, serial
from npvgg.kernels.jit import gemm
from npvgg.kernels.jit.im2col import copy_shifted, im2col
from npvgg.kernels.jit.operand import operand

# One task computes STRIP output pixels of BLOCK channels.  In float32 its columns (CHUNK × STRIP) take 144 KiB and its
# sums (BLOCK × STRIP) 128 KiB, so both stay in a second-level cache.  Each block of channels makes its columns again:
# with 128 channels that is a tenth of the work, with 64 a fifth.
STRIP = 256
BLOCK = 128
GRAIN = 16              # a strip that is cut short is filled up to a multiple of this, a whole number of vectors


def conv2d(x, weight, bias=None, *, padding=1):
    """Correlate every image with every filter: (N, C, H, W) → (N, O, H′, W′).

        y[o, p] = bias[o] + Σ_k  weight[o, k] · columns[k, p]

    with k = (c, u, v), p = (n, i, j) and columns[k, p] = x[n, c, i+u−padding, j+v−padding] (im2col.py, gemm.py).
    weight is (O, C, kh, kw), bias (O,) or None for none, H′ = H + 2·padding − kh + 1.
    """
    y = np.empty(contracts.conv2d(x, weight, bias, padding), x.dtype)
    outputs, _, kh, kw = weight.shape
    bias = np.zeros(outputs, x.dtype) if bias is None else bias
    every_tile(operand(x), operand(weight, outputs, -1), operand(bias), kh, kw, padding, y)
    return y


@parallel
def every_tile(x, weight, bias, kh, kw, padding, y):
    """(N, C, H, W) and weight (O, C·kh·kw) → y (N, O, H′, W′), STRIP pixels of BLOCK channels a task."""
    images, outputs, height, width = y.shape
    blocks = ceil_div(outputs, BLOCK)
    strips = ceil_div(images * height * width, STRIP)
    for task in prange(strips * blocks):
        one_tile(x, weight, bias, kh, kw, padding, task // blocks * STRIP, task % blocks * BLOCK, y)


@serial
def one_tile(x, weight, bias, kh, kw, padding, p0, o0, y):
    """Pixels p0 … p0 + STRIP of the whole batch, channels o0 … o0 + BLOCK, of y."""
    images, outputs, height, width = y.shape
    depth = weight.shape[1]
    p1 = min(p0 + STRIP, images * height * width)
    o1 = min(o0 + BLOCK, outputs)
    filled = ceil_div(p1 - p0, GRAIN) * GRAIN
    columns = np.zeros((gemm.CHUNK, STRIP), x.dtype)
    sums = np.empty((o1 - o0, STRIP), x.dtype)
    for o in range(o0, o1):
        sums[o - o0] = bias[o]
    for k0 in range(0, depth, gemm.CHUNK):
        k1 = min(k0 + gemm.CHUNK, depth)
        im2col(x, kh, kw, padding, height, width, k0, k1, p0, p1, columns)
        columns[k1 - k0:] = 0                               # what is left over from the chunk before
        gemm.add_product(weight[o0:o1, k0:k1], columns, filled, sums)
    unravel(sums, p0, p1, o0, y)


@serial
def unravel(sums, p0, p1, o0, y):
    """sums[o − o0, p − p0] → y[n, o, i, j], p = (n, i, j)."""
    _, _, height, width = y.shape
    n, i, j = p0 // (height * width), p0 // width % height, p0 % width
    p = p0
    while p < p1:                                           # one run: pixels of one row of one image
        end = min(p + width - j, p1)
        for o in range(len(sums)):
            copy_shifted(sums[o], p - p0, y[n, o0 + o, i, j:j + end - p])
        p, i, j = end, i + 1, 0
        if i == height:
            n, i = n + 1, 0
