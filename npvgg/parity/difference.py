"""How far apart are two arrays that should be equal?

    gap         |ours − reference|, element by element, in float64
    relative    largest gap ÷ largest |reference| (npvgg.gap), and rms of the gaps ÷ rms of the reference
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

from npvgg.gap import float64_pair, gaps, largest, ratio


@dataclass(frozen=True)
class Difference:
    """What `measure` gives.  Everything is 0 for equal arrays; the gaps are infinite beside a NaN that stands alone."""

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


def measure(ours: np.ndarray, reference: np.ndarray) -> Difference:
    """Two arrays of one shape → Difference.  ShapeError where the shapes differ."""
    ours, reference = np.asarray(ours), np.asarray(reference)
    unit = coarser(ours.dtype, reference.dtype)
    a, b = float64_pair(ours, reference)
    gap = gaps(a, b)
    typical, widest, spread = rms(b[np.isfinite(b)]), float(gap.max(initial=0.0)), rms(gap)
    return Difference(
        elements=gap.size, unequal=int(np.count_nonzero(gap)), largest_gap=widest, rms_gap=spread,
        largest_relative=ratio(widest, largest(b)), rms_relative=ratio(spread, typical),
        ulp=units(gap, a, b, typical, unit), flips=int(np.count_nonzero((a > 0) != (b > 0))))


def argmax_flips(ours: np.ndarray, reference: np.ndarray, middle: float = 0.0) -> int:
    """(N, classes) twice → how many of the N rows have their largest value in different places (the first, of equals).

    Of a single column, which tells two classes apart, how many are above `middle` in one array only: 0 for logits, ½ for
    probabilities.
    """
    if reference.shape[1:] == (1,):
        return int(np.count_nonzero((ours > middle) != (reference > middle)))
    return int(np.count_nonzero(ours.argmax(axis=1) != reference.argmax(axis=1)))


def units(gap, a, b, typical, dtype):
    """The largest of gap ÷ spacing of `dtype` at max(|a|, |b|, typical)."""
    widest = gap.argmax() if gap.size else 0
    if not gap.size or gap[widest] in (0, math.inf):
        return float(gap.max(initial=0.0))

    def counted(where):
        return gap[where] / spacing(np.maximum(np.maximum(np.abs(a[where]), np.abs(b[where])), typical), dtype)

    # No spacing is below the one at `typical`, so an element needs this gap to beat the one with the largest gap.
    needed = counted([widest])[0] * spacing(np.array([typical]), dtype)[0]
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
    unit = np.abs(values).max(initial=0.0)
    if unit == 0 or math.isinf(unit):
        return float(unit)
    return float(unit * math.sqrt(np.mean((values / unit) ** 2)))
