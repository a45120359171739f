"""One number for how far apart two answers are; NaN and infinity are never close to anything."""
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from npvgg import gap, weights
from npvgg.errors import HashMismatchError, ShapeError
from npvgg.parity import difference

NAN, INF = math.nan, math.inf
ANY = arrays.arrays(np.float32, (3, 5), elements=st.floats(width=32))
FINITE = arrays.arrays(np.float32, (3, 5), elements=st.floats(-1e6, 1e6, width=32))


def test_it_is_the_largest_distance_over_the_largest_value():
    assert gap.relative_gap(np.array([[1.0, -3.5]]), np.array([[1.25, -4.0]])) == 0.125


@given(FINITE, FINITE)
def test_it_is_what_exact_arithmetic_gives(a, b):
    exact_a, exact_b = ([Fraction(float(value)) for value in x.ravel()] for x in (a, b))
    distance = max(abs(p - q) for p, q in zip(exact_a, exact_b, strict=True))
    scale = max(map(abs, exact_b))
    expected = 0.0 if not distance else float(distance / scale) if scale else INF
    assert gap.relative_gap(a, b) == pytest.approx(expected, rel=1e-14)


@given(ANY, ANY)
def test_it_is_never_nan_and_the_measure_of_parity(a, b):
    value = gap.relative_gap(a, b)
    assert value >= 0 and value == difference.measure(a, b).largest_relative
    assert gap.relative_gap(a, a.copy()) == 0


@pytest.mark.parametrize("answer, reference", [
    ([NAN, 1], [1, 1]), ([1, 1], [NAN, 1]), ([INF, 1], [1, 1]), ([INF, 1], [-INF, 1]), ([1, 1], [INF, 1]), ([0, 1], [0, 0]),
])
def test_what_is_not_close_is_infinitely_far(answer, reference):
    value = gap.relative_gap(np.array(answer, np.float32), np.array(reference, np.float64))
    assert value == INF and not value <= gap.FLOAT32_BOUND and value > gap.FLOAT32_BOUND


def test_shapes_must_be_equal():
    with pytest.raises(ShapeError, match=r"arrays of shape \(2,\) and \(1, 2\) cannot be compared"):
        gap.relative_gap(np.zeros(2), np.zeros((1, 2)))


@pytest.mark.parametrize("spoil", [NAN, INF, -INF])
def test_a_network_that_answers_with_nan_or_infinity_fails_its_self_test(tiny, monkeypatch, spoil):
    exact = tiny.using(tier="reference", dtype=np.float64)
    answer = exact.forward(weights.self_test_input(tiny.architecture, 0).astype(np.float64))
    judged = replace(tiny, self_test=weights.SelfTest(0, answer, gap.FLOAT32_BOUND))
    assert judged.run_self_test() <= 1e-6
    spoiled = answer.astype(np.float32)
    spoiled[0, 1] = spoil
    monkeypatch.setattr(type(judged), "forward", lambda *_, **__: spoiled)
    with pytest.raises(HashMismatchError, match="the self-test is off by inf of the largest value, more than 1e-04"):
        judged.run_self_test()
