"""Logits to probabilities."""
import numpy as np

from npvgg.kernels import contracts


@np.errstate(all="ignore")                   # NaN and infinities are answers, not accidents
def softmax(x):
    """Probabilities of the classes along the last axis: (…, classes) → (…, classes).

        y[k] = exp(x[k] − m) / Σ_l exp(x[l] − m)          m = max_l x[l]

    m cancels out, and keeps exp from overflowing.  A row with a NaN or with +∞ is all NaN, as in PyTorch.
    """
    contracts.softmax(x)
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
