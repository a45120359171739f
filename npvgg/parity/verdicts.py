"""Two runs → one row a layer: is it the layer that is wrong, in which run, or does its gap come from before?

With the network each layer of each run is judged by its own error.  Without it, or where a run lacks what came before, the
growth of the gap decides: a layer parts the runs if its gap is above what one layer's rounding makes and much larger than
every gap before it, or above the tolerance where no gap was.
"""
from dataclasses import dataclass, replace

import numpy as np

from npvgg.gap import FLOAT32_BOUND
from npvgg.parity import difference

# Of the largest value, by the coarser dtype of the two arrays.  Rounding alone, through all layers of VGG-19, stays below
# 1e-12 in float64.
TOLERANCE = {"float16": 1e-2, "float32": FLOAT32_BOUND, "float64": 1e-10}
JUMP = 0.2                                # of the tolerance: a gap below it may be rounding
GROWTH = 8                                # times the largest gap before
INPUT = 0.1                               # of the tolerance: nothing is lost on the way to the input

EQUAL, CLOSE, FOLLOWS, DIVERGES = "equal", "ok", "follows", "DIVERGES"
WRONG = {"A": "A WRONG", "B": "B WRONG", "AB": "BOTH WRONG"}


@dataclass(frozen=True)
class Row:
    """One layer in both runs."""

    name: str
    shapes: tuple                         # (A's, B's)
    tolerance: float
    difference: difference.Difference | None          # None where the shapes differ
    argmax_flips: int | None              # see difference.argmax_flips; None unless the arrays are (N, classes)
    verdict: str                          # EQUAL, CLOSE, FOLLOWS, DIVERGES or one of WRONG
    own_a: float | None = None            # own error of A, in what rounding explains; None where it is not known
    own_b: float | None = None

    @property
    def is_wrong(self) -> bool:
        """Whether an error arises in this layer."""
        return self.verdict == DIVERGES or self.verdict in WRONG.values()

    @property
    def wrong(self) -> str:
        """The runs that err in it: "", "A", "B" or "AB"."""
        return next((runs for runs, verdict in WRONG.items() if verdict == self.verdict), "")

    @property
    def gap(self) -> float:
        """The larger of the two relative gaps, infinite where the shapes differ."""
        return np.inf if self.difference is None else max(self.difference.largest_relative, self.difference.rms_relative)


def measured(name: str, a: np.ndarray, b: np.ndarray, tolerance: float | None) -> Row:
    """Two arrays of one layer → Row, judged by their gap alone: EQUAL, CLOSE or FOLLOWS.

    The scale is that of the run whose values are larger, so that it is the same whichever is called A.
    """
    if tolerance is None:
        tolerance = TOLERANCE[difference.coarser(a.dtype, b.dtype).name]
    if a.shape != b.shape:
        return Row(name, (a.shape, b.shape), tolerance, None, None, FOLLOWS)
    gap = min(difference.measure(a, b), difference.measure(b, a), key=lambda gap: (gap.largest_relative, gap.rms_relative))
    verdict = EQUAL if not gap.unequal else CLOSE if gap.within(tolerance) else FOLLOWS
    flips = difference.argmax_flips(a, b) if a.ndim == 2 else None
    return Row(name, (a.shape, b.shape), tolerance, gap, flips, verdict)


def with_verdicts(rows: list[Row], own: tuple[dict, dict], is_given: bool) -> list[Row]:
    """Rows with their gaps, {layer: OwnError} of either run → rows with their verdicts; `is_given`: the tolerance is.

    Where both runs err alike, what npvgg computes is not what they were meant to, and their gap decides.
    """
    judged, largest, is_parted = [], 0.0, False
    for row in rows:
        errors = [found.get(row.name) for found in own]
        excesses = [None if error is None else error.excess for error in errors]
        wrong = "".join(which for which, error in zip("AB", errors) if error is not None and error.is_wrong)
        are_alike = wrong == "AB" and row.gap <= JUMP * row.tolerance
        verdict = row.verdict
        if wrong and not are_alike:
            verdict = WRONG[wrong]
        elif are_alike or None in errors:
            jump = (INPUT if row.name == "input" else JUMP) * row.tolerance
            grows = not is_given and row.gap > max(jump, GROWTH * largest)
            if not is_parted and (grows or row.verdict == FOLLOWS):
                verdict = DIVERGES
        judged.append(replace(row, verdict=verdict, own_a=excesses[0], own_b=excesses[1]))
        largest = max(largest, row.gap)
        is_parted = is_parted or judged[-1].is_wrong
    if is_given and not any(row.verdict == FOLLOWS for row in rows):
        return [within(row) for row in judged]
    return judged


def within(row: Row) -> Row:
    """A row whose gap a given tolerance allows, whatever its own errors."""
    verdict = EQUAL if row.difference is not None and not row.difference.unequal else CLOSE
    return replace(row, verdict=verdict)
