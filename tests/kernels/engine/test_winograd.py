"""The matrices of Winograd's algorithm, in exact arithmetic."""
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from npvgg.kernels.engine import winograd
from npvgg.kernels.engine.float32 import tile_transforms

each_tile = pytest.mark.parametrize("m", winograd.PAIRS)


def exact_filter_matrix(m):
    """`filter_matrix` without rounding."""
    finite = winograd.points(m)
    rows = []
    for point in finite:
        divisor = Fraction(1)
        for other in finite:
            if other != point:
                divisor *= point - other
        rows.append([Fraction(1) / divisor, point / divisor, point * point / divisor])
    return [*rows, [Fraction(0), Fraction(0), Fraction(1)]]


def times(matrix, vector):
    return [sum((a * b for a, b in zip(row, vector, strict=True)), Fraction(0)) for row in matrix]


@each_tile
def test_it_is_correlation_to_the_last_digit(m):
    """Aᵀ[(G g) ⊙ (Bᵀ d)] on unit vectors g and d, of which all others are sums: 1 where d's place is g's plus the output's."""
    for tap, place in product(range(3), range(m + 2)):
        g, d = [Fraction(int(k == tap)) for k in range(3)], [Fraction(int(k == place)) for k in range(m + 2)]
        products = [a * b for a, b in zip(times(exact_filter_matrix(m), g), times(winograd.input_matrix(m), d), strict=True)]
        assert times(winograd.output_matrix(m), products) == [Fraction(int(place == i + tap)) for i in range(m)]


@each_tile
def test_filters_are_transformed_by_the_same_matrix_rounded_once(m):
    assert winograd.filter_matrix(m).dtype == np.float64
    for row, exact in zip(winograd.filter_matrix(m), exact_filter_matrix(m), strict=True):
        assert all(abs(value - float(fraction)) <= 1e-15 * abs(fraction) for value, fraction in zip(row, exact, strict=True))


@each_tile
def test_the_constants_that_run_in_float32_are_float32_numbers(m):
    for value in [entry for matrix in (winograd.input_matrix(m), winograd.output_matrix(m)) for row in matrix for entry in row]:
        assert Fraction(float(np.float32(float(value)))) == value


class Numbers:
    """Stands in for Vectors, on numbers instead of instructions."""

    def combination(self, coefficients, values):
        return sum((Fraction(c) * v for c, v in zip(coefficients, values, strict=True)), Fraction(0))

    def add(self, a, b):
        return a + b

    def subtract(self, a, b):
        return a - b


@each_tile
def test_the_shared_halves_of_the_transforms_are_the_matrices(m):
    for place in range(m + 2):
        unit = [Fraction(int(k == place)) for k in range(m + 2)]
        assert tile_transforms.transformed_once(Numbers(), unit) == times(winograd.input_matrix(m), unit)
        assert tile_transforms.transformed_back(Numbers(), unit) == times(winograd.output_matrix(m), unit)


@pytest.mark.parametrize("height, width, m", [
    (224, 224, 4), (28, 28, 4), (14, 14, 2), (7, 7, 4), (8, 8, 4), (2, 2, 2), (5, 5, 2), (1, 1, 2), (14, 224, 4), (6, 6, 2),
    (10, 10, 2), (13, 14, 2), (32, 3, 4),
])
def test_small_tiles_where_large_ones_would_hang_over_the_edge(height, width, m):
    """16·⌈h/2⌉·⌈w/2⌉ against 1.4 · 36·⌈h/4⌉·⌈w/4⌉ products."""
    small, large = 16 * -(-height // 2) * -(-width // 2), 36 * -(-height // 4) * -(-width // 4)
    assert winograd.tile_for(height, width) == (2 if small <= 1.4 * large else 4) == m
