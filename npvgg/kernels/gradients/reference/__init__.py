"""The definition of every gradient: its equation in NumPy, without tricks.  The other tiers are tested against it."""
from npvgg.kernels.gradients.reference.adaptive_avgpool2d import adaptive_avgpool2d
from npvgg.kernels.gradients.reference.batch_statistics import batch_statistics
from npvgg.kernels.gradients.reference.batchnorm1d import batchnorm1d
from npvgg.kernels.gradients.reference.batchnorm2d import batchnorm2d
from npvgg.kernels.gradients.reference.conv2d import conv2d
from npvgg.kernels.gradients.reference.dense import dense
from npvgg.kernels.gradients.reference.dropout import dropout
from npvgg.kernels.gradients.reference.flatten import flatten
from npvgg.kernels.gradients.reference.maxpool2d import maxpool2d
from npvgg.kernels.gradients.reference.relu import relu

OPERATIONS = {
    "conv2d": conv2d,
    "batchnorm2d": batchnorm2d,
    "relu": relu,
    "maxpool2d": maxpool2d,
    "adaptive_avgpool2d": adaptive_avgpool2d,
    "flatten": flatten,
    "dense": dense,
    "batchnorm1d": batchnorm1d,
    "dropout": dropout,
    "batch_statistics": batch_statistics,                 # a piece of the forward pass
}


def operations(below: dict) -> dict:
    """{operation: function}; nothing is left to the tier below."""
    return OPERATIONS
