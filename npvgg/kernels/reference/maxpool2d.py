"""Max-pooling, which halves the picture between VGG's blocks."""
import numpy as np

from npvgg.kernels import contracts


def maxpool2d(x, *, size=2, stride=2, ceil_mode=False):
    """The largest value under each window: (N, C, H, W) → (N, C, H′, W′).

        y[n, c, i, j] = max_u,v  x[n, c, i·stride + u, j·stride + v]          0 ≤ u, v < size

    H′ = ⌊(H − size) / stride⌋ + 1; with ceil_mode windows may hang over the end (contracts.output_size) and see only
    what is inside.  A NaN in the window wins; of equal values (0.0 and −0.0) the first one does.
    """
    y = np.full(contracts.maxpool2d(x, size, stride, ceil_mode), -np.inf, x.dtype)
    height, width = ((count - 1) * stride + 1 for count in y.shape[2:])            # from first to last window start
    below, right = (max(0, span + size - 1 - extent) for span, extent in zip((height, width), x.shape[2:]))
    padded = np.pad(x, ((0, 0), (0, 0), (0, below), (0, right)), constant_values=-np.inf)
    for u, v in np.ndindex(size, size):
        seen = padded[:, :, u:u + height:stride, v:v + width:stride]
        y = np.where((seen > y) | np.isnan(seen), seen, y)
    return y
