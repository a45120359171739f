"""Gradients by hand, compiled by Numba; loops you can still read.

Shaped as the kernels of kernels/jit: a function that checks and allocates, a `@parallel` loop that hands out tasks, a `@serial`
body that computes one.  Where a gradient sums over the batch, one task sums in one order, or the batch is cut into parts whose
number depends on the shapes alone, so that the bits do not depend on the number of threads.

What is not here is left to `reference`.
"""
from npvgg.kernels.gradients.jit.adaptive_avgpool2d import adaptive_avgpool2d
from npvgg.kernels.gradients.jit.batch_statistics import batch_statistics
from npvgg.kernels.gradients.jit.batchnorm1d import batchnorm1d
from npvgg.kernels.gradients.jit.batchnorm2d import batchnorm2d
from npvgg.kernels.gradients.jit.conv2d import conv2d
from npvgg.kernels.gradients.jit.dense import dense
from npvgg.kernels.gradients.jit.maxpool2d import maxpool2d
from npvgg.kernels.gradients.jit.relu import relu

OPERATIONS = {
    "conv2d": conv2d,
    "batchnorm2d": batchnorm2d,
    "relu": relu,
    "maxpool2d": maxpool2d,
    "adaptive_avgpool2d": adaptive_avgpool2d,
    "dense": dense,
    "batchnorm1d": batchnorm1d,
    "batch_statistics": batch_statistics,
}


def operations(below: dict) -> dict:
    """{operation: function of the tier below} → this tier's, which leave to the one below what only copies."""
    return OPERATIONS
