"""Average-pooling, which some put in the place of VGG's max-pooling."""
import numpy as np

from npvgg.kernels import contracts


@np.errstate(all="ignore")                   # NaN and infinities are answers, not accidents
def avgpool2d(x, *, size=2, stride=2):
    """The mean under each window: (N, C, H, W) → (N, C, H′, W′).

        y[n, c, i, j] = 1/size² · Σ_u,v  x[n, c, i·stride + u, j·stride + v]          0 ≤ u, v < size

    H′ = ⌊(H − size) / stride⌋ + 1.  The same as torch.nn.AvgPool2d without padding.
    """
    y = np.zeros(contracts.avgpool2d(x, size, stride), x.dtype)
    height, width = ((count - 1) * stride + 1 for count in y.shape[2:])            # from first to last window start
    for u, v in np.ndindex(size, size):
        y += x[:, :, u:u + height:stride, v:v + width:stride]
    return y / x.dtype.type(size * size)
