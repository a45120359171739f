"""Batch normalisation at inference: an affine map for each channel."""
import numpy as np

from npvgg.kernels import contracts


@np.errstate(all="ignore")                   # NaN and infinities are answers, not accidents
def batchnorm2d(x, weight, bias, mean, var, *, eps=1e-5):
    """Centre and scale each channel by its running statistics: (N, C, H, W) → (N, C, H, W).

        y[n, c, i, j] = (x[n, c, i, j] − mean[c]) · weight[c] / √(var[c] + ε) + bias[c]

    The other arrays are (C,).  Ioffe and Szegedy, arXiv 1502.03167, algorithm 2; mean and var are those gathered in
    training, not the batch's own.
    """
    contracts.batchnorm2d(x, weight, bias, mean, var, eps)
    scale = weight / np.sqrt(var + x.dtype.type(eps))
    channel = np.s_[:, np.newaxis, np.newaxis]
    return (x - mean[channel]) * scale[channel] + bias[channel]
