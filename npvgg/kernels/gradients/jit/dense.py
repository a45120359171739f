"""The gradients of a fully connected layer: two matrix products."""
from npvgg.kernels.gradients import contracts
from npvgg.kernels.gradients.jit.channel_sums import channel_sums
from npvgg.kernels.gradients.jit.product import product


def dense(g, x, weight, bias, *, wanted=contracts.WANTED):
    """g (N, outputs) → {"x": (N, inputs), "weight": (outputs, inputs), "bias": (outputs,)}, those that are wanted.

        dx[n, k] = Σ_o  g[n, o] · weight[o, k]
        dweight[o, k] = Σ_n  g[n, o] · x[n, k]
        dbias[o] = Σ_n  g[n, o]
    """
    contracts.check("dense", g, x, weight, bias, wanted=wanted)
    gradients = {}
    if "x" in wanted:
        gradients["x"] = product(g, weight)
    if "weight" in wanted:
        gradients["weight"] = product(g.T, x)
    if "bias" in wanted:
        gradients["bias"] = channel_sums(g)
    return gradients
