"""The gradients of batch normalisation of features."""
from npvgg.kernels.gradients import contracts
from npvgg.kernels.gradients.jit.batchnorm2d import normalised


def batchnorm1d(g, x, weight, bias, mean, var, *, eps=1e-5, training=False, wanted=contracts.WANTED):
    """g (N, features) → {"x": (N, features), "weight": (features,), "bias": (features,)}, those that are wanted.

    The equations of batchnorm2d: features are channels of 1×1 maps.
    """
    contracts.check("batchnorm1d", g, x, weight, bias, mean, var, eps=eps, wanted=wanted)
    return normalised("batchnorm1d", g, x, weight, mean, var, eps, training, wanted)
