"""The gradient of the rectifier."""
import numpy as np

from npvgg.kernels.gradients import contracts


def relu(g, x):
    """g of any shape → {"x": the same shape}.

        dx = 0 if x ≤ 0 else g

    At 0 the gradient is 0, and NaN lets it pass, as in PyTorch.  relu(x) in the place of x gives the same, so a forward pass
    need not keep what went in.
    """
    contracts.check("relu", g, x)
    return {"x": np.where(x <= 0, x.dtype.type(0), g)}
