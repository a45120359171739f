"""How far apart are two arrays that should be equal?

    gap         |ours − reference|, element by element, in float64
    relative    largest gap ÷ largest |reference|, and rms of the gaps ÷ rms of the reference: a layer has one scale, so
                the zeros behind a ReLU and sums that happen to cancel do not blow the answer up
    ulp         the largest gap in units in the last place of the coarser of the two dtypes, taken where the larger of
                the two values lies, but nowhere below the reference's rms: a value that cancelled to almost nothing
                carries the rounding of its summands
    flips       elements that are above zero in one array only: those a ReLU treats otherwise

NaN equals NaN and infinity equals infinity of the same sign; where just one side is not finite, or the signs differ,
the gap is infinite.  Scales are those of the finite part of the reference.
"""
import math
from dataclasses import dataclass

import numpy as np

from npvgg.errors import ShapeError


@dataclass(frozen=True)
class Difference:
    """What `measure` found.  Everything is 0 for equal arrays; the gaps are infinite beside a NaN that stands alone."""

    elements: int
    unequal: int                          # elements whose values differ at all
    largest_gap: float
    rms_gap: float
    largest_relative: float               # largest_gap ÷ largest |reference|
    rms_relative: float                   # rms_gap ÷ rms of the reference
    ulp: float
    flips: int

    def within(self, tolerance):
        """Whether both relative measures are at most `tolerance`."""
        return self.largest_relative <= tolerance and self.rms_relative <= tolerance


def measure(ours, reference):
    """Two arrays of one shape → Difference.  ShapeError where the shapes differ."""
    ours, reference = np.asarray(ours), np.asarray(reference)
    if ours.shape != reference.shape:
        raise ShapeError(f"arrays of shape {ours.shape} and {reference.shape} cannot be compared; "
                         "give two of the same shape")
    unit = coarser(ours.dtype, reference.dtype)
    a, b = ours.astype(np.float64).ravel(), reference.astype(np.float64).ravel()
    gap = gaps(a, b)
    finite = np.abs(b[np.isfinite(b)])
    scale, typical = float(finite.max(initial=0.0)), rms(finite)
    largest, spread = float(gap.max(initial=0.0)), rms(gap)
    return Difference(
        elements=gap.size, unequal=int(np.count_nonzero(gap)), largest_gap=largest, rms_gap=spread,
        largest_relative=ratio(largest, scale), rms_relative=ratio(spread, typical),
        ulp=units(gap, a, b, typical, unit), flips=int(np.count_nonzero((a > 0) != (b > 0))))


def argmax_flips(ours: np.ndarray, reference: np.ndarray, middle: float = 0.0) -> int:
    """(N, classes) twice → how many of the N rows have their largest value in different places (the first, of equals).

    Of a single column, which tells two classes apart, how many are above `middle` in one array only: 0 for logits, ½ for
    probabilities.
    """
    if reference.shape[1:] == (1,):
        return int(np.count_nonzero((ours > middle) != (reference > middle)))
    return int(np.count_nonzero(ours.argmax(axis=1) != reference.argmax(axis=1)))


def gaps(a, b):
    """|a − b|, with 0 for a pair of equal NaNs or infinities and infinity for any other pair that is not finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.abs(a - b)
    odd = np.flatnonzero(~np.isfinite(gap))
    equal = (a[odd] == b[odd]) | (np.isnan(a[odd]) & np.isnan(b[odd]))
    gap[odd] = np.where(equal, 0, math.inf)
    return gap


def units(gap, a, b, typical, dtype):
    """The largest of gap ÷ spacing of `dtype` at max(|a|, |b|, typical)."""
    largest = gap.argmax() if gap.size else 0
    if not gap.size or gap[largest] in (0, math.inf):
        return float(gap.max(initial=0.0))

    def counted(where):
        return gap[where] / spacing(np.maximum(np.maximum(np.abs(a[where]), np.abs(b[where])), typical), dtype)

    # No spacing is below the one at `typical`, so an element needs this gap to beat the one with the largest gap.
    needed = counted([largest])[0] * spacing(np.array([typical]), dtype)[0]
    return float(counted(np.flatnonzero(gap >= needed)).max())


def spacing(values, dtype):
    """The distance of neighbours of `dtype` in the binade of each value: 2^(⌊log₂ value⌋ − bits of the fraction)."""
    limits = np.finfo(dtype)
    exponent = np.frexp(np.maximum(values, float(limits.smallest_subnormal)))[1] - 1
    return np.ldexp(1.0, np.maximum(exponent, limits.minexp) - limits.nmant)


def coarser(*dtypes):
    """The floating dtype with the fewest digits; integers count as exact."""
    floats = [dtype for dtype in dtypes if dtype.kind == "f"]
    return min(floats, key=lambda dtype: np.finfo(dtype).nmant, default=np.dtype(np.float64))


def rms(values):
    """√ of the mean square, scaled so that no square overflows; 0 of nothing."""
    largest = np.abs(values).max(initial=0.0)
    if largest == 0 or math.isinf(largest):
        return float(largest)
    return float(largest * math.sqrt(np.mean((values / largest) ** 2)))


def ratio(part, whole):
    if part == 0:
        return 0.0
    return part / whole if whole else math.inf
