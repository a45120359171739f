"""The gradient of average pooling to a fixed size."""
import numpy as np

from npvgg.kernels.gradients import contracts
from npvgg.kernels.reference.adaptive_avgpool2d import bins


@np.errstate(all="ignore")                   # NaN and infinities are answers, not accidents
def adaptive_avgpool2d(g, x, *, size=7):
    """g (N, C, size, size) → {"x": (N, C, H, W)}.

        dx[n, c, r, s] += g[n, c, i, j] / |bin i, j|          for all r, s in bin i, j

    The bins are those of the operation; where they overlap, what they give back adds up.
    """
    contracts.check("adaptive_avgpool2d", g, x, size=size)
    dx = np.zeros_like(x)
    for i, rows in enumerate(bins(x.shape[2], size)):
        for j, columns in enumerate(bins(x.shape[3], size)):
            seen = dx[:, :, rows, columns]
            seen += g[:, :, i:i + 1, j:j + 1] / x.dtype.type(seen.shape[2] * seen.shape[3])
    return {"x": dx}
