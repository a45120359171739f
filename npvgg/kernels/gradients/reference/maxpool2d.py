"""The gradient of max-pooling."""
import numpy as np

from npvgg.kernels.gradients import contracts
from npvgg.kernels.gradients.reference.largest_place import largest_place


@np.errstate(all="ignore")                   # NaN and infinities are answers, not accidents
def maxpool2d(g, x, *, size=2, stride=2, ceil_mode=False):
    """g (N, C, H′, W′) → {"x": (N, C, H, W)}.

        dx[n, c, i·stride + u, j·stride + v] += g[n, c, i, j]          where (u, v) is the place of the window's largest value

    Row by row, of equal values the first is the largest, and of NaN the last, as in PyTorch.  Windows that overlap add up.
    """
    contracts.check("maxpool2d", g, x, size=size, stride=stride, ceil_mode=ceil_mode)
    height, width = ((count - 1) * stride + 1 for count in g.shape[2:])            # from first to last window start
    below, right = (max(0, span + size - 1 - extent) for span, extent in zip((height, width), x.shape[2:]))
    padded = np.pad(x, ((0, 0), (0, 0), (0, below), (0, right)), constant_values=-np.inf)
    windows = [np.s_[:, :, u:u + height:stride, v:v + width:stride] for u, v in np.ndindex(size, size)]
    place, dpadded = largest_place([padded[window] for window in windows]), np.zeros_like(padded)
    for at, window in enumerate(windows):
        dpadded[window] += np.where(place == at, g, x.dtype.type(0))
    return {"x": dpadded[:, :, :x.shape[2], :x.shape[3]]}
