"""The gradient of the soft-max."""
import numpy as np

from npvgg.kernels import reference
from npvgg.kernels.gradients import contracts


@np.errstate(all="ignore")                   # NaN and infinities are answers, not accidents
def softmax(g, x):
    """g (…, classes) → {"x": (…, classes)}.

        dx[k] = y[k] · (g[k] − Σ_l g[l] · y[l])          y = softmax(x)
    """
    contracts.check("softmax", g, x)
    y = reference.softmax(x)
    return {"x": y * (g - (g * y).sum(axis=-1, keepdims=True))}
