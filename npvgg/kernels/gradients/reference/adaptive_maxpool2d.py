"""The gradient of maximum pooling to a fixed size."""
import numpy as np

from npvgg.kernels.gradients import contracts
from npvgg.kernels.gradients.reference.largest_place import largest_place
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
            places = list(np.ndindex(seen.shape[2:]))
            place = largest_place([seen[:, :, u, v] for u, v in places])
            for at, (u, v) in enumerate(places):
                back[:, :, u, v] += np.where(place == at, g[:, :, i, j], x.dtype.type(0))
    return {"x": dx}
