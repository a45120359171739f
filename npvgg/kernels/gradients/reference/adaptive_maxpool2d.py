"""The gradient of maximum pooling to a fixed size."""
import numpy as np

from npvgg.kernels.gradients import contracts
from npvgg.kernels.reference.adaptive_avgpool2d import bins


@np.errstate(all="ignore")                   # NaN and infinities are answers, not accidents
def adaptive_maxpool2d(g, x, *, size=7):
    """g (N, C, size, size) → {"x": (N, C, H, W)}.

        dx[n, c, r, s] += g[n, c, i, j]          where (r, s) is the place of the largest value of bin i, j

    Row by row, of equal values the first is the largest, and of NaN the last, as in PyTorch.
    """
    contracts.check("adaptive_maxpool2d", g, x, size=size)
    dx = np.zeros_like(x)
    for i, rows in enumerate(bins(x.shape[2], size)):
        for j, columns in enumerate(bins(x.shape[3], size)):
            seen, back = x[:, :, rows, columns], dx[:, :, rows, columns]
            largest, place = seen[:, :, 0, 0], np.zeros(seen.shape[:2], int)
            for at, (u, v) in enumerate(np.ndindex(seen.shape[2:])):
                is_larger = (seen[:, :, u, v] > largest) | np.isnan(seen[:, :, u, v])
                largest, place = np.where(is_larger, seen[:, :, u, v], largest), np.where(is_larger, at, place)
            for at, (u, v) in enumerate(np.ndindex(seen.shape[2:])):
                back[:, :, u, v] += np.where(place == at, g[:, :, i, j], x.dtype.type(0))
    return {"x": dx}
