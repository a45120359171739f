"""The step from maps to features."""
from npvgg.kernels import contracts


def flatten(x):
    """Put the features of each image in a row: (N, …) → (N, features).

        y[n, (c·H + i)·W + j] = x[n, c, i, j]

    A view of x where its memory allows one.
    """
    return x.reshape(contracts.flatten(x))
