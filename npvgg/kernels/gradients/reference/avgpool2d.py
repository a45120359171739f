"""The gradient of average-pooling."""
import numpy as np

from npvgg.kernels.gradients import contracts


@np.errstate(all="ignore")                   # NaN and infinities are answers, not accidents
def avgpool2d(g, x, *, size=2, stride=2):
    """g (N, C, H′, W′) → {"x": (N, C, H, W)}.

        dx[n, c, i·stride + u, j·stride + v] += g[n, c, i, j] / size²          0 ≤ u, v < size
    """
    contracts.check("avgpool2d", g, x, size=size, stride=stride)
    dx = np.zeros_like(x)
    height, width = ((count - 1) * stride + 1 for count in g.shape[2:])            # from first to last window start
    for u, v in np.ndindex(size, size):
        dx[:, :, u:u + height:stride, v:v + width:stride] += g / x.dtype.type(size * size)
    return {"x": dx}
