"""The gradients of batch normalisation, at inference and in training."""
import numpy as np
from numba import prange

from npvgg.kernels.compiling.flags import parallel, serial
from npvgg.kernels.gradients import contracts
from npvgg.kernels.gradients.jit.channel_sums import planes
from npvgg.kernels.jit.operand import operand


def batchnorm2d(g, x, weight, bias, mean, var, *, eps=1e-5, training=False, wanted=contracts.WANTED):
    """g (N, C, H, W) → {"x": (N, C, H, W), "weight": (C,), "bias": (C,)}, those that are wanted.

        dbias[c] = Σ_n,i,j  g[n, c, i, j]
        dweight[c] = Σ_n,i,j  g[n, c, i, j] · x̂[n, c, i, j]                          x̂ = (x − mean) · rstd
        dx = weight · rstd · g                                                       at inference, rstd = 1/√(var + ε)
        dx = weight · rstd · (g − dbias/n − x̂ · dweight/n)                           in training, n = N·H·W

    In training mean and var are those of x itself (batch_statistics).
    """
    contracts.check("batchnorm2d", g, x, weight, bias, mean, var, eps=eps, wanted=wanted)
    return normalised("batchnorm2d", g, x, weight, mean, var, eps, training, wanted)


def normalised(op, g, x, weight, mean, var, eps, training, wanted):
    """The gradients for channels of any shape: g and x (N, C) or (N, C, H, W)."""
    if training:
        contracts.check_training(op, x)
    with np.errstate(all="ignore"):                 # a variance of −1 or NaN is an answer of NaN
        rstd = 1 / np.sqrt(var + x.dtype.type(eps))
    g, shape, x = planes(g), x.shape, planes(x)
    dx, dweight, dbias = np.empty_like(x), np.empty_like(rstd), np.empty_like(rstd)
    every_channel(g, x, operand(weight), operand(mean), operand(rstd), bool(training), dx, dweight, dbias)
    gradients = {"x": dx.reshape(shape), "weight": dweight, "bias": dbias}
    return {name: gradients[name] for name in wanted}


@parallel
def every_channel(g, x, weight, mean, rstd, training, dx, dweight, dbias):
    """(N, C, H·W) twice and (C,) → dx (N, C, H·W), dweight (C,) and dbias (C,), one channel a task."""
    for c in prange(len(weight)):
        dweight[c], dbias[c] = sums(g[:, c], x[:, c], mean[c], rstd[c])
        if training:
            in_training(g[:, c], x[:, c], weight[c], mean[c], rstd[c], dweight[c], dbias[c], dx[:, c])
        else:
            at_inference(g[:, c], weight[c] * rstd[c], dx[:, c])


@serial
def sums(g, x, mean, rstd):
    """(N, H·W) twice → Σ g·x̂ and Σ g, summed in float64."""
    with_x, alone = 0.0, 0.0
    for n in range(g.shape[0]):
        for p in range(g.shape[1]):
            with_x += g[n, p] * ((x[n, p] - mean) * rstd)
            alone += g[n, p]
    return with_x, alone


@serial
def in_training(g, x, weight, mean, rstd, dweight, dbias, dx):
    """(N, H·W) twice → dx (N, H·W)."""
    n = x.dtype.type(x.size)
    scale, tilt, shift = weight * rstd, dweight / n, dbias / n
    for image in range(g.shape[0]):
        for p in range(g.shape[1]):
            dx[image, p] = scale * (g[image, p] - shift - (x[image, p] - mean) * rstd * tilt)


@serial
def at_inference(g, scale, dx):
    """(N, H·W) → dx (N, H·W)."""
    for image in range(g.shape[0]):
        for p in range(g.shape[1]):
            dx[image, p] = scale * g[image, p]
