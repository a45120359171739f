"""Local response normalisation, which the paper tries once (A-LRN) and drops."""
import numpy as np

from npvgg.kernels import contracts


@np.errstate(all="ignore")                   # NaN and infinities are answers, not accidents
def local_response_norm(x, *, size=5, alpha=1e-4, beta=0.75, k=2.0):
    """Divide each value by the energy of its neighbour channels: (N, C, H, W) → (N, C, H, W).

        y[n, c, i, j] = x[n, c, i, j] / (k + α/size · Σ_d x[n, d, i, j]²)^β      c − ⌊size/2⌋ ≤ d ≤ c + ⌊(size−1)/2⌋

    Channels that do not exist count as zero.  Krizhevsky et al. 2012, section 3.3, writes α where PyTorch and Caffe
    write α/size; this is the latter.
    """
    contracts.local_response_norm(x, size, alpha, beta, k)
    channels = x.shape[1]
    k, slope, exponent = (x.dtype.type(number) for number in (k, alpha / size, beta))
    squares = np.pad(x * x, ((0, 0), (size // 2, (size - 1) // 2), (0, 0), (0, 0)))
    energy = sum(squares[:, d:d + channels] for d in range(size))
    return x / (k + slope * energy) ** exponent
