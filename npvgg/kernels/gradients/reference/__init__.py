"""The definition of every gradient: its equation in NumPy, without tricks.  The other tiers are tested against it."""
from npvgg.kernels.gradients.reference.adaptive_avgpool2d import adaptive_avgpool2d
from npvgg.kernels.gradients.reference.adaptive_maxpool2d import adaptive_maxpool2d
from npvgg.kernels.gradients.reference.avgpool2d import avgpool2d
from npvgg.kernels.gradients.reference.batch_statistics import batch_statistics
from npvgg.kernels.gradients.reference.batchnorm1d import batchnorm1d
from npvgg.kernels.gradients.reference.batchnorm2d import batchnorm2d
from npvgg.kernels.gradients.reference.conv2d import conv2d
from npvgg.kernels.gradients.reference.dense import dense
from npvgg.kernels.gradients.reference.dropout import dropout
from npvgg.kernels.gradients.reference.flatten import flatten
from npvgg.kernels.gradients.reference.local_response_norm import local_response_norm
from npvgg.kernels.gradients.reference.log_softmax import log_softmax
from npvgg.kernels.gradients.reference.maxpool2d import maxpool2d
from npvgg.kernels.gradients.reference.reflection_pad2d import reflection_pad2d
from npvgg.kernels.gradients.reference.relu import relu
from npvgg.kernels.gradients.reference.softmax import softmax

OPERATIONS = {
    "reflection_pad2d": reflection_pad2d,
    "conv2d": conv2d,
    "batchnorm2d": batchnorm2d,
    "relu": relu,
    "maxpool2d": maxpool2d,
    "avgpool2d": avgpool2d,
    "local_response_norm": local_response_norm,
    "adaptive_avgpool2d": adaptive_avgpool2d,
    "adaptive_maxpool2d": adaptive_maxpool2d,
    "flatten": flatten,
    "dense": dense,
    "batchnorm1d": batchnorm1d,
    "dropout": dropout,
    "softmax": softmax,
    "log_softmax": log_softmax,
    "batch_statistics": batch_statistics,           # a piece of the forward pass
}


def operations(below: dict) -> dict:
    """{operation: function}; nothing is left to the tier below."""
    return OPERATIONS
