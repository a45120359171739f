"""Gradients by hand, compiled by Numba; loops you can still read.

Shaped as the kernels of kernels/jit: a function that checks and allocates, a `@parallel` loop that hands out tasks, a `@serial`
body that computes one.  Where a gradient sums over the batch, one task sums in one order, or the batch is cut into parts whose
number depends on the shapes alone, so that the bits do not depend on the number of threads.

flatten, dropout and reflection_pad2d compute little: the ones of `reference` serve this tier too.
"""
from npvgg.kernels.gradients.jit.adaptive_avgpool2d import adaptive_avgpool2d
from npvgg.kernels.gradients.jit.adaptive_maxpool2d import adaptive_maxpool2d
from npvgg.kernels.gradients.jit.avgpool2d import avgpool2d
from npvgg.kernels.gradients.jit.batch_statistics import batch_statistics
from npvgg.kernels.gradients.jit.batchnorm1d import batchnorm1d
from npvgg.kernels.gradients.jit.batchnorm2d import batchnorm2d
from npvgg.kernels.gradients.jit.conv2d import conv2d
from npvgg.kernels.gradients.jit.dense import dense
from npvgg.kernels.gradients.jit.local_response_norm import local_response_norm
from npvgg.kernels.gradients.jit.log_softmax import log_softmax
from npvgg.kernels.gradients.jit.maxpool2d import maxpool2d
from npvgg.kernels.gradients.jit.relu import relu
from npvgg.kernels.gradients.jit.softmax import softmax

OPERATIONS = {
    "conv2d": conv2d,
    "batchnorm2d": batchnorm2d,
    "relu": relu,
    "maxpool2d": maxpool2d,
    "avgpool2d": avgpool2d,
    "local_response_norm": local_response_norm,
    "adaptive_avgpool2d": adaptive_avgpool2d,
    "adaptive_maxpool2d": adaptive_maxpool2d,
    "dense": dense,
    "batchnorm1d": batchnorm1d,
    "softmax": softmax,
    "log_softmax": log_softmax,
    "batch_statistics": batch_statistics,           # a piece of the forward pass
}


def operations(below: dict) -> dict:
    """{operation: function of the tier below} → this tier's, which leave to the one below what only copies."""
    return OPERATIONS
