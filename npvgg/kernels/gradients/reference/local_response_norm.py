"""The gradient of local response normalisation."""
import numpy as np

from npvgg.kernels.gradients import contracts


@np.errstate(all="ignore")                   # NaN and infinities are answers, not accidents
def local_response_norm(g, x, *, size=5, alpha=1e-4, beta=0.75, k=2.0):
    """g (N, C, H, W) → {"x": (N, C, H, W)}.

        a[c] = k + α/size · Σ_d x[d]²                                    c − ⌊size/2⌋ ≤ d ≤ c + ⌊(size−1)/2⌋
        dx[c] = g[c] · a[c]^−β − 2·α·β/size · x[c] · Σ_d g[d] · x[d] · a[d]^−(β+1)
                                                                         c − ⌊(size−1)/2⌋ ≤ d ≤ c + ⌊size/2⌋

    at every n, i, j.  The second window is the first one mirrored: it holds the channels whose windows hold c.
    """
    contracts.check("local_response_norm", g, x, size=size, alpha=alpha, beta=beta, k=k)
    before, after = size // 2, (size - 1) // 2
    k, slope, exponent = (x.dtype.type(number) for number in (k, alpha / size, beta))
    a = k + slope * windows(x * x, before, after)
    others = windows(g * x * a**-(exponent + 1), after, before)
    return {"x": g * a**-exponent - 2 * slope * exponent * x * others}


def windows(x, before, after):
    """y[n, c] = Σ_d x[n, d], c − before ≤ d ≤ c + after; channels that do not exist count as zero."""
    padded = np.pad(x, ((0, 0), (before, after), (0, 0), (0, 0)))
    return sum(padded[:, d:d + x.shape[1]] for d in range(before + after + 1))
