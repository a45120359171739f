"""Every operation by hand, compiled by Numba; loops you can still read.

A kernel is three functions: the operation checks and allocates, a `@parallel` loop hands out tasks, and a `@serial`
body computes one task.  Every element of an answer is summed by one task in one order, so that its bits depend neither
on the number of threads nor on the other images of the batch.

flatten, dropout and reflection_pad2d compute nothing: the ones of `reference` serve this tier too.
"""
from npvgg.kernels.jit.adaptive_avgpool2d import adaptive_avgpool2d
from npvgg.kernels.jit.adaptive_maxpool2d import adaptive_maxpool2d
from npvgg.kernels.jit.avgpool2d import avgpool2d
from npvgg.kernels.jit.batchnorm1d import batchnorm1d
from npvgg.kernels.jit.batchnorm2d import batchnorm2d
from npvgg.kernels.jit.conv2d import conv2d
from npvgg.kernels.jit.dense import dense
from npvgg.kernels.jit.local_response_norm import local_response_norm
from npvgg.kernels.jit.log_softmax import log_softmax
from npvgg.kernels.jit.maxpool2d import maxpool2d
from npvgg.kernels.jit.relu import relu
from npvgg.kernels.jit.softmax import softmax

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
}


def operations(below: dict) -> dict:
    """{operation: function}; nothing is left to the tier below."""
    return OPERATIONS
