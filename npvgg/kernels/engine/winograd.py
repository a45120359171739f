"""Winograd's minimal filtering: m×m outputs of a 3×3 convolution with (m+2)² instead of 9m² multiplications.

    y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A          d: (m+2)×(m+2) inputs, g: 3×3 filter, y: m×m outputs

Summed over channels the bracket becomes (m+2)² matrix products.  (Lavin and Gray, arXiv 1509.09308, section 4.)

One dimension at a time, the m outputs are the coefficients of a product of polynomials; it is evaluated at m+1 points and ∞,
multiplied there, and interpolated back.  Points that come as pairs ±p share the even and the odd half of every sum.  Which
points decides the error: for 512 channels, in float32, the rms error of F(4×4, 3×3) relative to the rms value is

    0, ±1, ±2        1.5e-6         (Lavin and Gray's)
    0, ±1, ½, −2     9.9e-7
    0, ±√½, ±√2      7.5e-7
    0, ±⅝, ±3/2      7.0e-7         here: besides, every constant of Bᵀ and Aᵀ is a float32, so none is rounded

with sums of 64 products each; a direct convolution has 2.0e-7 with such sums and 8.8e-7 with a single one.
"""
from fractions import Fraction
from math import prod

import numpy as np

from npvgg.kernels.engine.product import LANES
from npvgg.kernels.engine.vectors import kernel

PAIRS = {2: (Fraction(1),), 4: (Fraction(5, 8), Fraction(3, 2))}         # m: the points p of the pairs ±p
TILE = 4
SPAN = TILE + 2
POSITIONS = SPAN * SPAN


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


def transformed_once(v, d):
    """Bᵀ d for m+2 vectors.

    Plain form:  [v.combination(row, d) for row in input_matrix(m)]
    The rows of ±p are E ± p·O, with E the sum over the even inputs and O that over the odd ones.
    """
    m = len(d) - 2
    squares = [p * p for p in PAIRS[m]]
    everywhere = [float(c) for c in vanishing(squares)[::-1]]                # from the highest on, whose coefficient is 1
    rows = [v.combination(everywhere, d[m::-2])]
    for p in PAIRS[m]:
        others = [float(c) for c in vanishing([s for s in squares if s != p * p])[::-1]]
        even, odd = v.combination(others, d[m:1:-2]), v.combination(others, d[m - 1:0:-2])
        rows += [v.combination([1, float(sign * p)], [even, odd]) for sign in (1, -1)]
    return [*rows, v.combination(everywhere, d[m + 1::-2][:len(everywhere)])]


def transformed_back(v, products):
    """Aᵀ products for m+2 vectors: m vectors.

    Plain form:  [v.combination(row, products) for row in output_matrix(m)]
    Even powers of ±p multiply the sum of the pair, odd ones its difference.
    """
    m = len(products) - 2
    sums = [v.add(products[2 * i + 1], products[2 * i + 2]) for i in range(len(PAIRS[m]))]
    differences = [v.builder.fsub(products[2 * i + 1], products[2 * i + 2]) for i in range(len(PAIRS[m]))]
    rows = []
    for k in range(m):
        powers = [float(p**k) for p in PAIRS[m]]
        row = v.combination(powers, differences if k % 2 else sums)
        if k == 0:
            row = v.add(products[0], row)
        rows.append(v.add(row, products[-1]) if k == m - 1 else row)
    return rows


@kernel(LANES)
def transform_input(v, tile, row_step, target, position_step):
    """Bᵀ d B of one tile of LANES channels; entry (i, j) goes to target[(6i + j)·position_step].

    `tile` is the address of its first pixel, a row of pixels being `row_step` floats.
    """
    tile, target = v.floats(tile), v.floats(target)
    rows = []
    for i in range(SPAN):
        line = v.at(tile, v.product(row_step, i))
        rows.append(transformed_once(v, [v.load(line, j * LANES) for j in range(SPAN)]))
    for j in range(SPAN):
        for i, value in enumerate(transformed_once(v, [row[j] for row in rows])):
            v.store(value, v.at(target, v.product(position_step, SPAN * i + j)))


def emit_output(v, source, position_step, tail, floor):
    """Aᵀ m A + bias of one tile of LANES channels, not below `floor`, channels that do not exist zero: 4×4 vectors."""
    bias, mask = v.load(tail), v.load(tail, LANES)
    columns = []
    for j in range(SPAN):
        column = [v.load(v.at(source, v.product(position_step, SPAN * i + j))) for i in range(SPAN)]
        columns.append(transformed_back(v, column))
    for i in range(TILE):
        yield [v.masked(v.at_least(v.add(value, bias), floor), mask)
               for value in transformed_back(v, [column[i] for column in columns])]


@kernel(LANES)
def transform_output(v, source, position_step, tail, floor, target, row_step):
    """The tile of outputs whose products are source[(6i + j)·position_step], to the 4×4 pixels at `target`.

    `tail` is the address of LANES biases and LANES masks, `floor` that of the least value let through (0 for ReLU).
    """
    source, tail, target = v.floats(source), v.floats(tail), v.floats(target)
    for i, row in enumerate(emit_output(v, source, position_step, tail, v.broadcast(v.floats(floor)))):
        for j, value in enumerate(row):
            v.store(value, v.at(target, v.product(row_step, i)), j * LANES)


@kernel(LANES)
def transform_output_pooled(v, source, position_step, tail, floor, target, row_step):
    """`transform_output` followed by 2×2 max-pooling: to the 2×2 pixels at `target`."""
    source, tail, target = v.floats(source), v.floats(tail), v.floats(target)
    rows = list(emit_output(v, source, position_step, tail, v.broadcast(v.floats(floor))))
    for i in range(0, TILE, 2):
        for j in range(0, TILE, 2):
            value = rows[i][j]
            for other in (rows[i][j + 1], rows[i + 1][j], rows[i + 1][j + 1]):
                value = v.larger(value, other)
            v.store(value, v.at(target, v.product(row_step, i // 2)), j // 2 * LANES)
