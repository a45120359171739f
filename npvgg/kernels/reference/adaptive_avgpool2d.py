"""Average pooling to a fixed size, which lets VGG's classifier take a picture of any size."""
import numpy as np

from npvgg.arithmetic import ceil_div
from npvgg.kernels import contracts


@np.errstate(all="ignore")                   # NaN and infinities are answers, not accidents
def adaptive_avgpool2d(x, *, size=7):
    """Average over size×size bins that cover the map: (N, C, H, W) → (N, C, size, size).

        y[n, c, i, j] = mean of x[n, c, ⌊i·H/size⌋ … ⌈(i+1)·H/size⌉ − 1, ⌊j·W/size⌋ … ⌈(j+1)·W/size⌉ − 1]

    Bins overlap where size does not divide H; a map smaller than size is repeated.  The same as PyTorch's.
    """
    y = np.empty(contracts.adaptive_avgpool2d(x, size), x.dtype)
    for i, rows in enumerate(bins(x.shape[2], size)):
        for j, columns in enumerate(bins(x.shape[3], size)):
            y[:, :, i, j] = x[:, :, rows, columns].mean(axis=(2, 3))
    return y


def bins(extent, count):
    """`count` slices that cover an axis of `extent`."""
    return [slice(i * extent // count, ceil_div((i + 1) * extent, count)) for i in range(count)]
