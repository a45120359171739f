"""The fully connected layer: fc6, fc7 and fc8."""
import numpy as np

from npvgg.kernels import contracts


@np.errstate(all="ignore")                   # NaN and infinities are answers, not accidents
def dense(x, weight, bias):
    """Weigh every feature for every output: (N, inputs) → (N, outputs).

        y[n, o] = bias[o] + Σ_k  weight[o, k] · x[n, k]

    weight is (outputs, inputs), bias (outputs,).
    """
    contracts.dense(x, weight, bias)
    return x @ weight.T + bias
