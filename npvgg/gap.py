"""How far apart two answers are, as one number, and how far two float32 runs of one network may be.

    relative gap = max |answer − reference| ÷ max |reference|

A layer has one scale, so the zeros behind a ReLU and sums that happen to cancel do not blow the number up.
"""
import math

import numpy as np

from npvgg.errors import ShapeError

# For any two float32 runs of one network, whatever the order of their sums.  Rounding alone, through all layers of VGG-19:
# below 1e-5 for direct sums, 5e-5 for Winograd's F(4×4, 3×3).  Mistakes are rarely below 1e-3: batch norm with ε 1e-3 for 1e-5
# where the variance is 1 makes 5e-4, a swapped axis about 1.
FLOAT32_BOUND = 1e-4


def relative_gap(answer: np.ndarray, reference: np.ndarray) -> float:
    """Two arrays of one shape → max |answer − reference| ÷ max |reference|, computed in float64.

    0 for equal arrays, infinity where the reference is zero everywhere and the answer is not.  NaN equals NaN and infinity
    equals infinity of the same sign; any other pair with NaN or infinity in it has an infinite gap, so the result is never NaN
    and above every bound.  The scale is that of the finite part of the reference.  ShapeError where the shapes differ.
    """
    a, b = float64_pair(answer, reference)
    return ratio(float(gaps(a, b).max(initial=0.0)), largest(b))


def float64_pair(answer: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both arrays as flat float64; ShapeError where their shapes differ."""
    try:
        answer, reference = np.asarray(answer), np.asarray(reference)
    except ValueError as error:                                      # lists of lists of several lengths
        raise ShapeError(f"what is compared is no array ({error}); give two arrays of one shape") from None
    if answer.shape != reference.shape:
        raise ShapeError(f"arrays of shape {answer.shape} and {reference.shape} cannot be compared; give two of the same shape")
    for array in (answer, reference):
        if array.dtype.kind not in "fiub":
            raise ShapeError(f"an array of {array.dtype} was given; give real numbers")
    return answer.astype(np.float64).ravel(), reference.astype(np.float64).ravel()


def gaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a − b|, with 0 for a pair of equal NaNs or infinities and infinity for any other pair that is not finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.abs(a - b)
    odd = np.flatnonzero(~np.isfinite(gap))
    equal = (a[odd] == b[odd]) | (np.isnan(a[odd]) & np.isnan(b[odd]))
    gap[odd] = np.where(equal, 0, math.inf)
    return gap


def largest(values: np.ndarray) -> float:
    """The largest finite |value|; 0 where there is none."""
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0))


def ratio(part: float, whole: float) -> float:
    """part ÷ whole; 0 of nothing, and infinity for something of nothing."""
    if part == 0:
        return 0.0
    return part / whole if whole else math.inf
