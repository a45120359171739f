"""The gradients of batch normalisation of features."""
import numpy as np

from npvgg.kernels.gradients import contracts
from npvgg.kernels.gradients.reference.batchnorm2d import batchnorm2d


def batchnorm1d(g, x, weight, bias, mean, var, *, eps=1e-5, training=False, wanted=contracts.WANTED):
    """g (N, features) → {"x": (N, features), "weight": (features,), "bias": (features,)}, those that are wanted.

    The equations of batchnorm2d: features are channels of 1×1 maps.
    """
    contracts.check("batchnorm1d", g, x, weight, bias, mean, var, eps=eps, wanted=wanted)
    maps = (array[:, :, np.newaxis, np.newaxis] for array in (g, x))
    gradients = batchnorm2d(*maps, weight, bias, mean, var, eps=eps, training=training, wanted=wanted)
    return {name: gradient.reshape(x.shape) if name == "x" else gradient for name, gradient in gradients.items()}
