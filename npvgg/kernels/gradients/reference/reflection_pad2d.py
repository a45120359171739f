"""The gradient of a border that mirrors the picture."""
import numpy as np

from npvgg.kernels.gradients import contracts


@np.errstate(all="ignore")                   # NaN and infinities are answers, not accidents
def reflection_pad2d(g, x, *, size=1):
    """g (N, C, H + 2·size, W + 2·size) → {"x": (N, C, H, W)}.

        dx[n, c, m(i−size, H), m(j−size, W)] += g[n, c, i, j]      m(k, L) = |k| below L, 2·(L−1) − k from there on

    Each value of the border is given back to the pixel that it mirrors.
    """
    contracts.check("reflection_pad2d", g, x, size=size)
    return {"x": folded(folded(g, size).swapaxes(2, 3), size).swapaxes(2, 3)}


def folded(g, size):
    """(…, H + 2·size, W) → (…, H, W): the first and the last `size` rows are laid over those that they mirror."""
    height = g.shape[2] - 2 * size
    y = g[:, :, size:size + height].copy()
    y[:, :, 1:size + 1] += g[:, :, :size][:, :, ::-1]
    y[:, :, height - size - 1:height - 1] += g[:, :, size + height:][:, :, ::-1]
    return y
