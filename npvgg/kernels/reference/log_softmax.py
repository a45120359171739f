"""Logits to the logarithms of probabilities."""
import numpy as np

from npvgg.kernels import contracts


@np.errstate(all="ignore")                   # NaN and infinities are answers, not accidents
def log_softmax(x):
    """Logarithms of the probabilities along the last axis: (…, classes) → (…, classes).

        y[k] = x[k] − m − ln Σ_l exp(x[l] − m)          m = max_l x[l]

    Exact where log(softmax(x)) would round to −∞.  A row with a NaN or with +∞ is all NaN, as in PyTorch.
    """
    contracts.log_softmax(x)
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
