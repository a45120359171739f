"""Winograd's minimal filtering: m×m outputs of a 3×3 convolution with (m+2)² instead of 9m² multiplications.

    y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A          d: (m+2)×(m+2) inputs, g: 3×3 filter, y: m×m outputs

Summed over channels the bracket becomes (m+2)² matrix products.  (Lavin and Gray, arXiv 1509.09308, section 4.)

One dimension at a time, the m outputs are the coefficients of a product of polynomials; it is evaluated at m+1 points and ∞,
multiplied there, and interpolated back.  Points that come as pairs ±p share the even and the odd half of every sum.  Which
points decides the error: for 512 channels, in float32, the rms error of F(4×4, 3×3) relative to the rms value is

    0, ±1, ±2        1.5e-6         (Lavin and Gray's)
    0, ±1, ½, −2     9.9e-7
    0, ±√½, ±√2      7.5e-7
    0, ±⅝, ±3/2      7.0e-7
    0, ±11/16, ±3/2  7.0e-7         here: the worst of the 16 pixels of a tile errs 9 % less

with sums of 64 products each; a direct convolution has 2.0e-7 with such sums and 8.8e-7 with a single one.  Every constant of
Bᵀ and Aᵀ is a float32, so none is rounded.
"""
from fractions import Fraction
from math import prod

import numpy as np

from npvgg.arithmetic import ceil_div

PAIRS = {                       # m: the points p of the pairs ±p
    2: (Fraction(1),),
    4: (Fraction(11, 16), Fraction(3, 2)),
}
LARGEST_TILE = max(PAIRS)
MORE = 1.4              # times the products of F(4×4, 3×3) that F(2×2, 3×3) may cost


def tile_for(height, width):
    """m for a picture of height × width: 4, or 2 where tiles of four hang so far over the edge that it costs little more.

    F(2×2, 3×3) errs half as much and reads 16/36 of the transformed filters.  At 14×14 pixels it takes 784 products a pair of
    channels where F(4×4, 3×3) takes 576.
    """
    return 2 if products(2, height, width) <= MORE * products(4, height, width) else 4


def products(m, height, width):
    """Products of one input channel's picture and one filter."""
    return positions(m, m) * ceil_div(height, m) * ceil_div(width, m)


def positions(height, width):
    """Products of a tile of height × width pixels."""
    return (height + 2) * (width + 2)


def points(m):
    """0, p₁, −p₁, p₂, −p₂, …: m+1 points, ∞ not among them."""
    return [Fraction(0)] + [sign * p for p in PAIRS[m] for sign in (1, -1)]


def vanishing(squares):
    """∏ (t − s) over the squares: its coefficients, of t⁰ first."""
    coefficients = [Fraction(1)]
    for s in squares:
        coefficients = [low - s * high for low, high in zip([0, *coefficients], [*coefficients, 0])]
    return coefficients


def input_matrix(m):
    """Bᵀ (m+2, m+2) as fractions: row i holds the polynomial that vanishes at every finite point but the i-th."""
    squares = [p * p for p in PAIRS[m]]
    everywhere = interleaved(vanishing(squares), 0, m + 2)
    rows = [everywhere]
    for p in PAIRS[m]:
        others = vanishing([s for s in squares if s != p * p])
        even, odd = interleaved(others, 2, m + 2), interleaved(others, 1, m + 2)
        rows += [[e + sign * p * o for e, o in zip(even, odd)] for sign in (1, -1)]
    return [*rows, [Fraction(0), *everywhere[:-1]]]


def interleaved(coefficients, start, size):
    """Coefficients of t = x² → those of x, from x^start on."""
    row = [Fraction(0)] * size
    row[start:start + 2 * len(coefficients):2] = coefficients
    return row


def filter_matrix(m):
    """G (m+2, 3) in float64: row i evaluates the filter at point i, divided by what Bᵀ left there."""
    finite = points(m)
    rows = [[point**k / prod(point - other for other in finite if other != point) for k in range(3)] for point in finite]
    return np.array([*rows, [0, 0, 1]], dtype=np.float64)


def output_matrix(m):
    """Aᵀ (m, m+2) as fractions: the k-th row has the k-th powers of the points; ∞ enters the last."""
    return [[*(point**k for point in points(m)), Fraction(int(k == m - 1))] for k in range(m)]
