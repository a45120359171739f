import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from npvgg.errors import ShapeError
from npvgg.gap import gaps
from npvgg.parity import difference
from npvgg.parity.difference import measure

ANY = arrays.arrays(np.float32, (3, 5), elements=st.floats(width=32))
FINITE = arrays.arrays(np.float32, (3, 5), elements=st.floats(-1e6, 1e6, width=32))
NAN, INF = math.nan, math.inf


def single(*values):
    return np.array(values, np.float32)


def test_the_measures_are_what_they_say():
    found = measure(np.array([3.0, -4.5, 0.0]), np.array([3.0, -4.0, 1.0]))
    assert found.elements == 3 and found.unequal == 2
    assert found.largest_gap == 1 and found.rms_gap == pytest.approx(math.sqrt(1.25 / 3))
    assert found.largest_relative == 0.25 and found.rms_relative == pytest.approx(math.sqrt(1.25 / 26))
    assert found.flips == 1                                         # 0.0 is not above zero, 1.0 is


@given(ANY)
def test_an_array_equals_itself_whatever_it_holds(x):
    assert measure(x, x.copy()) == difference.Difference(15, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0)


@given(FINITE, FINITE)
def test_gaps_are_symmetric_and_rms_is_at_most_the_largest(a, b):
    one, other = measure(a, b), measure(b, a)
    for measured in ("largest_gap", "rms_gap", "unequal", "flips"):
        assert getattr(one, measured) == getattr(other, measured)
    assert one.rms_gap <= one.largest_gap * (1 + 1e-12)


@given(FINITE, FINITE, st.integers(-10, 10))
def test_relative_measures_do_not_depend_on_the_unit(a, b, exponent):
    """A power of two scales without rounding."""
    one, other = measure(a, b), measure(a.astype(np.float64) * 2.0**exponent, b.astype(np.float64) * 2.0**exponent)
    assert (one.largest_relative, one.rms_relative) == pytest.approx((other.largest_relative, other.rms_relative), rel=1e-12)


@given(ANY, ANY)
def test_the_largest_ulp_is_the_largest_of_all_elements(a, b):
    """Most elements are left out of the search; the plain form looks at each."""
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    finite = np.abs(b64[np.isfinite(b64)])
    typical = np.sqrt(np.mean(finite**2)) if finite.size else 0.0
    plain = 0.0
    for ours, reference, gap in zip(a64.ravel(), b64.ravel(), gaps(a64.ravel(), b64.ravel())):
        if math.isinf(gap):
            plain = INF
        elif gap:
            exponent = math.floor(math.log2(max(abs(ours), abs(reference), typical, 2.0**-126)))
            plain = max(plain, gap / 2.0 ** (exponent - 23))
    assert measure(a, b).ulp == pytest.approx(plain, rel=1e-9)


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_ulp_is_one_step_of_the_dtype(dtype, steps):
    reference = np.array([1.25, -1.5, 1.75], dtype)
    ours = reference.copy()
    for _ in range(steps):
        ours[1] = np.nextafter(ours[1], dtype(0))
    assert measure(ours, reference).ulp == steps


def test_ulps_of_mixed_dtypes_are_those_of_the_coarser():
    reference = np.array([1.25, 1.5])
    assert measure((reference + [0, 2.0**-23]).astype(np.float32), reference).ulp == 1
    assert measure(reference + [0, 2.0**-23], reference.astype(np.float32)).ulp == 1


def test_a_value_that_cancelled_counts_in_units_of_the_arrays_rms():
    """1e-9 for 0 beside values near 1 is far less than one rounding of their sum, though the two share no digit."""
    assert measure(single(1, 1, 1e-9), single(1, 1, 0)).ulp < 0.1


@pytest.mark.parametrize(("ours", "reference"), [(NAN, NAN), (INF, INF), (-INF, -INF)], ids=str)
def test_equal_exceptions_are_no_gap(ours, reference):
    found = measure(single(1, ours), single(1, reference))
    assert found.unequal == 0 and found.ulp == 0 and found.within(0)


@pytest.mark.parametrize(("ours", "reference"), [(NAN, 1), (1, NAN), (INF, 1), (1, INF), (INF, -INF), (INF, NAN)], ids=str)
def test_an_exception_that_stands_alone_is_an_infinite_gap(ours, reference):
    found = measure(single(1, ours), single(1, reference))
    assert found.unequal == 1 and found.largest_gap == INF and found.ulp == INF and not found.within(1e30)


def test_exceptions_do_not_spoil_the_scale():
    assert measure(single(NAN, 2, 4.5), single(NAN, 2, 4)).largest_relative == 0.125


def test_zeros_as_the_reference():
    assert measure(single(0, -0.0), single(0, 0)).within(0)
    assert measure(single(0, 1e-30), single(0, 0)).largest_relative == INF


def test_squares_do_not_overflow():
    found = measure(np.array([1e300, 2e300]), np.array([1e300, 1e300]))
    assert found.rms_relative == pytest.approx(math.sqrt(0.5)) and found.largest_relative == pytest.approx(1)


def test_arrays_of_no_images_agree():
    assert measure(np.zeros((0, 3)), np.zeros((0, 3))).within(0)


def test_another_shape_is_refused_with_both_shapes():
    with pytest.raises(ShapeError, match=r"shape \(2, 3\) and \(3, 2\) cannot be compared"):
        measure(np.zeros((2, 3)), np.zeros((3, 2)))


def test_one_column_flips_where_it_crosses_the_middle():
    logits = np.array([[-2.0], [-1e-9], [0.0], [3.0]])
    probabilities = 1 / (1 + np.exp(-logits))
    assert difference.argmax_flips(logits, logits) == difference.argmax_flips(probabilities, probabilities, 0.5) == 0
    assert difference.argmax_flips(-logits, logits) == difference.argmax_flips(1 - probabilities, probabilities, 0.5) == 3
    assert difference.argmax_flips(logits * 2, logits) == 0


def test_argmax_flips_count_rows():
    reference = np.array([[1, 2, 3], [3, 2, 1], [1, 1, 0]])
    assert difference.argmax_flips(reference, reference) == 0
    assert difference.argmax_flips(np.array([[1, 2, 3], [1, 2, 3], [0, 1, 1]]), reference) == 2
