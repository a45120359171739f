"""Maximum pooling to a fixed size; to 1×1 it is global."""
import numpy as np

from npvgg.kernels import contracts
from npvgg.kernels.reference.adaptive_avgpool2d import bins


def adaptive_maxpool2d(x, *, size=7):
    """The largest value of size×size bins that cover the map: (N, C, H, W) → (N, C, size, size).

        y[n, c, i, j] = max of x[n, c, ⌊i·H/size⌋ … ⌈(i+1)·H/size⌉ − 1, ⌊j·W/size⌋ … ⌈(j+1)·W/size⌉ − 1]

    The bins are those of adaptive_avgpool2d.  A NaN in a bin wins; of equal values, −0.0 and 0.0, the first.
    """
    y = np.empty(contracts.adaptive_maxpool2d(x, size), x.dtype)
    for i, rows in enumerate(bins(x.shape[2], size)):
        for j, columns in enumerate(bins(x.shape[3], size)):
            window = x[:, :, rows, columns]
            largest = window[:, :, 0, 0]
            for u, v in np.ndindex(window.shape[2:]):
                value = window[:, :, u, v]
                largest = np.where((value > largest) | np.isnan(value), value, largest)
            y[:, :, i, j] = largest
    return y
