"""The engine's arithmetic one layer at a time: for traces, and to compare it with the other tiers.

Each call packs its weights anew; a network that only has to answer uses a plan.  Both give the same bits, but for batch norm,
which a plan folds, and local response normalisation.
"""
from dataclasses import replace

import numpy as np

from npvgg.kernels import contracts
from npvgg.kernels.compiling import threads
from npvgg.kernels.engine import program, team
from npvgg.kernels.engine.float32 import packing
from npvgg.kernels.engine.machine import CACHE_LINE
from npvgg.kernels.engine.program import Average, Convolution, Dense
from npvgg.kernels.engine.winograd import TILES


def conv2d(x, weight, bias=None, *, padding=1):
    """Correlate every image with every filter: (N, C, H, W) → (N, O, H′, W′), all float32.

        y[n, o, i, j] = bias[o] + Σ_c,u,v  weight[o, c, u, v] · x[n, c, i+u−padding, j+v−padding]

    weight is (O, C, kh, kw), bias (O,) or None for none, H′ = H + 2·padding − kh + 1.
    3×3 filters padded by 1 run through Winograd's algorithm
    where the picture is large enough.
    """
    n, outputs, height, width = contracts.conv2d(x, weight, bias, padding)
    bias = np.zeros(outputs, x.dtype) if bias is None else bias
    if n == 0:
        return np.empty((0, outputs, height, width), x.dtype)
    algorithm = program.algorithm_for(x.shape, weight.shape, padding)
    convolution = pack_convolution(weight, np.ones(outputs), bias, algorithm, relu=False)
    if algorithm == "direct":
        convolution = replace(convolution, size=(height, width))
    rows, columns = x.shape[2:]
    border = 1 if algorithm in TILES else padding
    stored = (rows, columns) if algorithm != "direct" else (rows + 2 * padding, columns + 2 * padding)

    steps = program.build([convolution, Average(height, width)], n, *stored, threads.current(), x.shape[1])
    return steps.run(x, None if algorithm == "first" else lambda view: fill_map(view, x, border))


def fill_map(view, x, border):
    """(N, C, H, W) → (N, C/L, rows, columns, L), inside so many rows and columns of border."""
    (n, channels, rows, columns), (_, blocks, _, _, lanes) = x.shape, view.shape
    blocked = np.zeros((n, blocks * lanes, rows, columns), np.float32)
    blocked[:, :channels] = x
    blocked = blocked.reshape(n, blocks, lanes, rows, columns).transpose(0, 1, 3, 4, 2)
    view[:, :, border:border + rows, border:border + columns] = blocked


def dense(x, weight, bias):
    """Weigh every feature for every output: (N, inputs) → (N, outputs), all float32.

        y[n, o] = bias[o] + Σ_k  weight[o, k] · x[n, k]

    weight is (outputs, inputs), bias (outputs,).
    """
    n, outputs = contracts.dense(x, weight, bias)
    if n == 0:
        return np.empty((0, outputs), x.dtype)
    steps = program.build([pack_dense(weight, bias, relu=False)], n, 1, 1, threads.current(), x.shape[1])

    def fill(view):
        view[:] = x

    return steps.run(fill=fill)


def pack_convolution(weight, scale, bias, algorithm, **fused):
    """weight (O, C, kh, kw) times scale (O,), and bias (O,) → Convolution; `fused` are its fields relu and pooled."""
    if algorithm in TILES:
        packed = packing.pack_winograd(weight, scale, TILES[algorithm], team.share)
    else:
        pack = packing.pack_first if algorithm == "first" else packing.pack_direct
        packed = pack(weight.astype(np.float64) * scale[:, None, None, None])
    return Convolution(packed, packing.pack_tail(bias), len(bias), algorithm, kernel=weight.shape[2:], **fused)


def pack_dense(weight, bias, relu):
    """weight (outputs, inputs) and bias (outputs,) → Dense: as they lie, unless a row is not a whole number of vectors."""
    rest = -weight.shape[1] % CACHE_LINE
    if rest or not (weight.flags.c_contiguous and weight.flags.aligned):
        weight = np.ascontiguousarray(np.pad(weight, ((0, 0), (0, rest))))
    return Dense(weight, np.require(bias, requirements=["C", "A"]), relu)
