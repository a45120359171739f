"""A layer of a comparison → the cells of its row, for text and for HTML."""
import math

from npvgg.parity.facts import sizes
from npvgg.parity.verdicts import Row

HEADINGS = ("layer", "shape", "÷ largest", "rms ÷ rms", "verdict")
BY_ULP = ("ulp", "flips")
BY_OWN_ERROR = ("A's own", "B's own")


def headings(by_own_error: bool) -> tuple:
    """The headings of the table."""
    return (*HEADINGS[:-1], *(BY_OWN_ERROR if by_own_error else BY_ULP), HEADINGS[-1])


def cells(row: Row, by_own_error: bool) -> tuple:
    """A Row → the texts of its row in the table."""
    shown = sizes(row.shapes[0]) if row.shapes[0] == row.shapes[1] else " | ".join(map(sizes, row.shapes))
    gap = row.difference
    relative = ("—", "—") if gap is None else (number(gap.largest_relative), number(gap.rms_relative))
    if by_own_error:
        rest = tuple("—" if error is None else share(error) for error in (row.own_a, row.own_b))
    else:
        rest = ("—", "—") if gap is None else (f"{gap.ulp:.1f}" if 0 < gap.ulp < 1e4 else number(gap.ulp), f"{gap.flips:,}")
    return (row.name, shown, *relative, *rest, row.verdict)


def share(error: float) -> str:
    """An own error in what rounding explains, as text: "0", "0.31", "1.2e+05", "∞"."""
    if error == 0 or math.isinf(error):
        return "∞" if error else "0"
    return f"{error:.2f}" if 0.005 <= error < 1000 else number(error)


def number(value: float) -> str:
    """A relative gap as text, with two digits: "1.3e-06"; "0" for 0."""
    return "0" if value == 0 else f"{value:.1e}"
