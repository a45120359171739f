"""The gradients of a convolution: another convolution, and a matrix product with its columns."""
import numpy as np
from numba import prange

from npvgg.kernels.compiling.arithmetic import ceil_div
from npvgg.kernels.compiling.flags import parallel, serial
from npvgg.kernels.gradients import contracts
from npvgg.kernels.gradients.jit.channel_sums import channel_sums
from npvgg.kernels.jit import gemm
from npvgg.kernels.jit.conv2d import conv2d as convolved
from npvgg.kernels.jit.im2col import im2col
from npvgg.kernels.jit.operand import operand

# One task sums BLOCK weights of each of WIDTH filters over its share of the pixels: 128 KiB of float32.
BLOCK = 128
WIDTH = 256
GRAIN = 16              # as in kernels/jit/conv2d.py
PARTS = 16              # tasks at least, where there are pixels enough: a layer of few weights shares its pixels out


def conv2d(g, x, weight, bias=None, *, padding=1, wanted=contracts.WANTED):
    """g (N, O, H′, W′) → {"x": (N, C, H, W), "weight": (O, C, kh, kw), "bias": (O,)}, those that are wanted.

        dx[n, c, i, j] = Σ_o,u,v  weight[o, c, u, v] · g[n, o, i−u+p, j−v+p]
        dweight[o, k] = Σ_q  columns[k, q] · g[o, q]
        dbias[o] = Σ_q  g[o, q]

    with k = (c, u, v), q = (n, i, j) and columns[k, q] = x[n, c, i+u−p, j+v−p] (im2col.py).  The first is the convolution of g
    with the filters turned by half a turn, inputs and outputs swapped; g is zero outside, which an infinite weight makes NaN.
    There is no "bias" where bias is None.
    """
    contracts.check("conv2d", g, x, weight, bias, padding=padding, wanted=wanted)
    gradients = {}
    if "x" in wanted:
        gradients["x"] = of_x(g, weight, padding)
    if "weight" in wanted:
        gradients["weight"] = of_weight(g, x, weight.shape, padding)
    if "bias" in wanted and bias is not None:
        gradients["bias"] = channel_sums(g)
    return gradients


def of_x(g, weight, padding):
    """g (N, O, H′, W′) → the gradient of x, (N, C, H, W)."""
    turned = weight.swapaxes(0, 1)[:, :, ::-1, ::-1]
    rows, columns = (side - 1 - padding for side in weight.shape[2:])
    if rows == columns >= 0:
        return convolved(g, turned, padding=rows)
    return convolved(bordered(g, rows, columns), turned, padding=0)


def bordered(g, rows, columns):
    """g with so many zeros more at each end of its rows and columns; with fewer values where these are negative."""
    g = np.pad(g, ((0, 0), (0, 0), (max(rows, 0),) * 2, (max(columns, 0),) * 2))
    top, left = max(-rows, 0), max(-columns, 0)
    return g[:, :, top:g.shape[2] - top, left:g.shape[3] - left]


@np.errstate(all="ignore")                   # infinities of two parts may meet
def of_weight(g, x, shape, padding):
    """g (N, O, H′, W′) and x (N, C, H, W) → the gradient of a weight of `shape`."""
    outputs, channels, kh, kw = shape
    images, _, height, width = g.shape
    depth, pixels = channels * kh * kw, images * height * width
    tiles = ceil_div(depth, BLOCK) * ceil_div(outputs, WIDTH)
    parts = max(1, min(ceil_div(PARTS, tiles), pixels // gemm.CHUNK))
    sums = np.empty((parts, depth, outputs), g.dtype)
    every_tile(operand(g), operand(x), kh, kw, padding, sums)
    return np.ascontiguousarray(sums.sum(0).T).reshape(shape)


@parallel
def every_tile(g, x, kh, kw, padding, sums):
    """(N, O, H′, W′) and (N, C, H, W) → sums (parts, C·kh·kw, O), BLOCK weights of WIDTH filters of one part a task."""
    parts, depth, outputs = sums.shape
    blocks, strips = ceil_div(depth, BLOCK), ceil_div(outputs, WIDTH)
    for task in prange(parts * blocks * strips):
        part, k0, o0 = task // (blocks * strips), task // strips % blocks * BLOCK, task % strips * WIDTH
        one_tile(g, x, kh, kw, padding, part, parts, k0, o0, sums[part])


@serial
def one_tile(g, x, kh, kw, padding, part, parts, k0, o0, sums):
    """sums[k, o] = Σ_q columns[k, q]·g[o, q] for BLOCK weights from k0 on, WIDTH filters from o0 on, and the part's pixels."""
    images, _, height, width = g.shape
    depth, outputs = sums.shape
    pixels = images * height * width
    k1, o1 = min(k0 + BLOCK, depth), min(o0 + WIDTH, outputs)
    filled = ceil_div(o1 - o0, GRAIN) * GRAIN
    columns = np.empty((k1 - k0, gemm.CHUNK), x.dtype)
    across = np.zeros((gemm.CHUNK, WIDTH), x.dtype)
    total = np.zeros((k1 - k0, WIDTH), x.dtype)
    end = (part + 1) * pixels // parts
    for q0 in range(part * pixels // parts, end, gemm.CHUNK):
        q1 = min(q0 + gemm.CHUNK, end)
        im2col(x, kh, kw, padding, height, width, k0, k1, q0, q1, columns)
        transpose(g, q0, q1, o0, o1, across)
        across[q1 - q0:] = 0                                # what is left over from the chunk before
        gemm.add_product(columns[:, :q1 - q0], across, filled, total)
    sums[k0:k1, o0:o1] = total[:, :o1 - o0]


@serial
def transpose(g, q0, q1, o0, o1, across):
    """g[n, o, i, j] → across[q − q0, o − o0], q = (n, i, j)."""
    _, _, height, width = g.shape
    for q in range(q0, q1):
        n, i, j = q // (height * width), q // width % height, q % width
        for o in range(o0, o1):
            across[q - q0, o - o0] = g[n, o, i, j]
