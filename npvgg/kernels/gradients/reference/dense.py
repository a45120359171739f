"""The gradients of a fully connected layer."""
import numpy as np

from npvgg.kernels.gradients import contracts


@np.errstate(all="ignore")                   # NaN and infinities are answers, not accidents
def dense(g, x, weight, bias, *, wanted=contracts.WANTED):
    """g (N, outputs) → {"x": (N, inputs), "weight": (outputs, inputs), "bias": (outputs,)}, those that are wanted.

        dx[n, k] = Σ_o  g[n, o] · weight[o, k]
        dweight[o, k] = Σ_n  g[n, o] · x[n, k]
        dbias[o] = Σ_n  g[n, o]
    """
    contracts.check("dense", g, x, weight, bias, wanted=wanted)
    gradients = {}
    if "x" in wanted:
        gradients["x"] = g @ weight
    if "weight" in wanted:
        gradients["weight"] = g.T @ x
    if "bias" in wanted:
        gradients["bias"] = g.sum(0)
    return gradients
