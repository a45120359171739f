"""How far a kernel's number may be from the exact sum: bounds that hold for every input.

A sum of n products in an arithmetic of unit roundoff u, in whatever order and with or without fused multiply–adds, is off by

    |computed − exact| ≤ γ · Σ |products|,     γ = n·u / (1 − n·u)

(Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, section 3.1.)  Winograd's algorithm has other products:

    y = Aᵀ [ Σ_c (G g Gᵀ) ⊙ (Bᵀ d B) ] A      |computed − exact| ≤ γ · |Aᵀ| [ Σ_c (|G||g||Gᵀ|) ⊙ (|Bᵀ||d||B|) ] |A|

with n the channels and the additions of the transforms.  As a rule errors are far smaller, for roundings cancel.
"""
import math

import numpy as np

OTHERS = 8                      # roundings beside those of the sum: of a bias, a scale, a quotient
POWERS = 16                     # of an exponential or a power, in units of the last place, where libraries err by one or two
TRANSFORMS = 8                  # additions and products of one side of a tile: at most six of each value, and its constant


def gamma(count: int, dtype: np.dtype) -> float:
    """n·u / (1 − n·u) of so many roundings in this dtype."""
    part = count * np.finfo(dtype).eps / 2
    return float(part / (1 - part))


def bound(count: int, size: float, dtype: np.dtype) -> float:
    """γ · size and what underflows; infinity where numbers of this total size may overflow, or are NaN."""
    limits = np.finfo(dtype)
    return gamma(count, dtype) * size + count * float(limits.smallest_subnormal) if size < float(limits.max) else math.inf


def of_sum(products: np.ndarray, others: float, dtype: np.dtype) -> float:
    """The bound of Σ products + other numbers of this total size, in this dtype."""
    with np.errstate(all="ignore"):
        return bound(products.size + OTHERS, float(np.abs(products).sum()) + others, dtype)


def of_winograd(x: np.ndarray, weight: np.ndarray, shift: float, place: tuple, padding: int, size: tuple,
                dtype: np.dtype) -> float:
    """The bound of a 3×3 convolution by Winograd's algorithm at (y, x) = `place` of a map of (H, W) = `size`.

    x (C, H, W), weight (C, 3, 3), `shift` the bias, padding 1 or 0.
    """
    from npvgg.kernels.engine import winograd  # not at the top: the reference tier works without the engine

    m = winograd.tile_for(*size)
    to_input, to_filter, to_output = (np.abs(np.array(matrix(m), np.float64)) for matrix in (
        winograd.input_matrix, winograd.filter_matrix, winograd.output_matrix))
    top, left = (at // m * m for at in place)
    padded = np.pad(x, ((0, 0), (padding, padding + m), (padding, padding + m)))
    tile = np.abs(padded[:, top:top + m + 2, left:left + m + 2].astype(np.float64))
    filters = to_filter @ np.abs(weight.astype(np.float64)) @ to_filter.T
    with np.errstate(all="ignore"):
        total = to_output @ (filters * (to_input @ tile @ to_input.T)).sum(0) @ to_output.T
    return bound(len(x) + 6 * TRANSFORMS, float(total[place[0] - top, place[1] - left]) + abs(shift), dtype)
