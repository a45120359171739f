"""Convolution with stride 1, the layer that VGG is made of."""
import numpy as np

from npvgg.kernels import contracts


@np.errstate(all="ignore")                   # NaN and infinities are answers, not accidents
def conv2d(x, weight, bias=None, *, padding=1):
    """Correlate every image with every filter: (N, C, H, W) → (N, O, H′, W′).

        y[n, o, i, j] = bias[o] + Σ_u,v Σ_c  weight[o, c, u, v] · x[n, c, i+u−p, j+v−p]

    with H′ = H + 2p − kh + 1.  Outside the image x is zero.  The filter is not flipped: this is cross-correlation, as
    in PyTorch and as in the paper.  weight is (O, C, kh, kw), bias (O,) or None for none.  An infinite
    weight makes NaN of the zeros outside the image; PyTorch does so too in float64, and in float32 depending on the
    algorithm it picks.
    """
    y = np.empty(contracts.conv2d(x, weight, bias, padding), x.dtype)
    height, width = y.shape[2:]
    y[:] = 0 if bias is None else bias[:, np.newaxis, np.newaxis]
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    for image, answer in zip(padded, y):
        for u, v in np.ndindex(weight.shape[2:]):
            seen = image[:, u:u + height, v:v + width]          # what the filters' entry (u, v) meets
            answer += np.tensordot(weight[:, :, u, v], seen, axes=1)
    return y
