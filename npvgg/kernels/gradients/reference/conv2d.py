"""The gradients of a convolution."""
import numpy as np

from npvgg.kernels.gradients import contracts


@np.errstate(all="ignore")                   # NaN and infinities are answers, not accidents
def conv2d(g, x, weight, bias=None, *, padding=1, wanted=contracts.WANTED):
    """g (N, O, H′, W′) → {"x": (N, C, H, W), "weight": (O, C, kh, kw), "bias": (O,)}, those that are wanted.

        dx[n, c, i+u−p, j+v−p] += Σ_o  weight[o, c, u, v] · g[n, o, i, j]                for all i, j, u, v
        dweight[o, c, u, v] = Σ_n,i,j  x[n, c, i+u−p, j+v−p] · g[n, o, i, j]
        dbias[o] = Σ_n,i,j  g[n, o, i, j]

    Each output gives its gradient back to the inputs that its window saw.  There is no "bias" where bias is None.
    """
    contracts.check("conv2d", g, x, weight, bias, padding=padding, wanted=wanted)
    height, width = g.shape[2:]
    border = (0, 0), (0, 0), (padding, padding), (padding, padding)
    inside = np.s_[:, :, padding:padding + x.shape[2], padding:padding + x.shape[3]]
    padded = np.pad(x, border)
    gradients = {}
    if "x" in wanted:
        dpadded = np.zeros_like(padded)
        for u, v in np.ndindex(weight.shape[2:]):
            dpadded[:, :, u:u + height, v:v + width] += np.tensordot(weight[:, :, u, v], g, (0, 1)).swapaxes(0, 1)
        gradients["x"] = dpadded[inside]
    if "weight" in wanted:
        gradients["weight"] = np.empty_like(weight)
        for u, v in np.ndindex(weight.shape[2:]):
            seen = padded[:, :, u:u + height, v:v + width]
            gradients["weight"][:, :, u, v] = np.tensordot(g, seen, ((0, 2, 3), (0, 2, 3)))
    if "bias" in wanted and bias is not None:
        gradients["bias"] = g.sum((0, 2, 3))
    return gradients
