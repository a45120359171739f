"""The gradient of the logarithm of the soft-max."""
import numpy as np

from npvgg.kernels import reference
from npvgg.kernels.gradients import contracts


@np.errstate(all="ignore")                   # NaN and infinities are answers, not accidents
def log_softmax(g, x):
    """g (…, classes) → {"x": (…, classes)}.

        dx[k] = g[k] − softmax(x)[k] · Σ_l g[l]
    """
    contracts.check("log_softmax", g, x)
    return {"x": g - reference.softmax(x) * g.sum(axis=-1, keepdims=True)}
