"""The gradients of batch normalisation, at inference and in training."""
import numpy as np

from npvgg.kernels.gradients import contracts


@np.errstate(all="ignore")                   # NaN and infinities are answers, not accidents
def batchnorm2d(g, x, weight, bias, mean, var, *, eps=1e-5, training=False, wanted=contracts.WANTED):
    """g (N, C, H, W) → {"x": (N, C, H, W), "weight": (C,), "bias": (C,)}, those that are wanted.

        dbias[c] = Σ_n,i,j  g[n, c, i, j]
        dweight[c] = Σ_n,i,j  g[n, c, i, j] · x̂[n, c, i, j]                          x̂ = (x − mean) / √(var + ε)
        dx = weight / √(var + ε) · g                                                 at inference
        dx = weight / √(var + ε) · (g − dbias/n − x̂ · dweight/n)                     in training, n = N·H·W

    In training mean and var are those of x itself (batch_statistics), which move with every x: hence the two terms more.
    Ioffe and Szegedy, arXiv 1502.03167, section 3.
    """
    contracts.check("batchnorm2d", g, x, weight, bias, mean, var, eps=eps, wanted=wanted)
    axes, channel = (0, 2, 3), np.s_[:, np.newaxis, np.newaxis]
    rstd = 1 / np.sqrt(var + x.dtype.type(eps))
    normalised = (x - mean[channel]) * rstd[channel]
    dbias = g.sum(axes, np.float64).astype(x.dtype)
    dweight = (g * normalised).sum(axes, np.float64).astype(x.dtype)
    gradients = {"bias": dbias, "weight": dweight}
    if training:
        contracts.check_training("batchnorm2d", x)
        n = x.dtype.type(x.size // x.shape[1])
        g = g - (dbias / n)[channel] - normalised * (dweight / n)[channel]
    gradients["x"] = g * (weight * rstd)[channel]
    return {name: gradients[name] for name in wanted}
