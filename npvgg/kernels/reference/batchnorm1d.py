"""Batch normalisation of features at inference."""
import numpy as np

from npvgg.kernels import contracts


@np.errstate(all="ignore")                   # NaN and infinities are answers, not accidents
def batchnorm1d(x, weight, bias, mean, var, *, eps=1e-5):
    """Centre and scale each feature by its running statistics: (N, features) → (N, features).

        y[n, k] = (x[n, k] − mean[k]) · weight[k] / √(var[k] + ε) + bias[k]

    The other arrays are (features,).  Ioffe and Szegedy, arXiv 1502.03167, algorithm 2.
    """
    contracts.batchnorm1d(x, weight, bias, mean, var, eps)
    return (x - mean) * (weight / np.sqrt(var + x.dtype.type(eps))) + bias
