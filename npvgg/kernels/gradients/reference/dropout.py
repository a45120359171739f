"""Dropout in training, forwards and backwards."""
import numpy as np

from npvgg.errors import ShapeError
from npvgg.kernels.gradients import contracts


def dropout(g, x, *, p=0.5, mask=None):
    """g of any shape → {"x": the same shape}.

        dx = masked(g, mask, p)          g itself where mask is None, as at inference
    """
    contracts.check("dropout", g, x, p=p)
    return {"x": g if mask is None else masked(g, mask, p)}


@np.errstate(all="ignore")                   # NaN and infinities are answers, not accidents
def masked(x, mask, p):
    """Dropout in training: any shape → the same shape, the forward pass of this layer.

        y = x · mask / (1 − p)          0 where p is 1

    mask is boolean, of the shape of x, True with probability 1 − p for what stays.  Srivastava et al. 2014, section 10.
    """
    if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.shape != x.shape:
        given = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
        raise ShapeError(f"dropout: the mask is {given}, expected bool {x.shape}; make it with rng.random(shape) >= p")
    return x * (mask * x.dtype.type(1 / (1 - p) if p < 1 else 0))
