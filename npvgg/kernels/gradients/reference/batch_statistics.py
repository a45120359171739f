"""What batch norm centres and scales by while a network is trained."""
import numpy as np

from npvgg.kernels.gradients.contracts import check_training


@np.errstate(all="ignore")                   # NaN and infinities are answers, not accidents
def batch_statistics(x):
    """Mean and variance of each channel over the batch: (N, C, H, W) or (N, C) → (C,), (C,).

        mean[c] = 1/n · Σ_n,i,j  x[n, c, i, j]                    n = N·H·W
        var[c] = 1/n · Σ_n,i,j  (x[n, c, i, j] − mean[c])²

    The variance is the biased one, by which the batch is scaled.  Running statistics take n/(n−1) times it, so n is at least 2.
    The sums are float64: in float32 they would lose the digits of a mean that is large beside the deviation.
    """
    check_training("batch_statistics", x)
    axes = (0, *range(2, x.ndim))
    return x.mean(axes, np.float64).astype(x.dtype), x.var(axes, np.float64).astype(x.dtype)
