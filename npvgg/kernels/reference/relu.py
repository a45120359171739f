"""The rectifier, VGG's only non-linearity."""
import numpy as np

from npvgg.kernels import contracts


def relu(x):
    """Replace what is negative by zero: any shape → the same shape.

        y = 0 if x < 0 else x

    Spelled so that NaN stays NaN and −0.0 stays −0.0, as in PyTorch; max(0, x) would lose the NaN.
    """
    contracts.relu(x)
    return np.where(x < 0, x.dtype.type(0), x)
