"""A border that mirrors the picture: what PyTorch calls padding_mode="reflect"."""
import numpy as np

from npvgg.kernels import contracts


def reflection_pad2d(x, *, size=1):
    """Mirror each map at its border, which is not repeated: (N, C, H, W) → (N, C, H + 2·size, W + 2·size).

        y[n, c, i, j] = x[n, c, m(i−size, H), m(j−size, W)]      m(k, L) = |k| below L, 2·(L−1) − k from there on
    """
    contracts.reflection_pad2d(x, size)
    return np.pad(x, ((0, 0), (0, 0), (size, size), (size, size)), "reflect")
