"""An array as nine numbers: equal for equal arrays but for rounding, and changed by any change."""
import hashlib

import numpy as np
import pytest

from npvgg import projections

X = np.random.default_rng(1).standard_normal((1, 5, 7, 9))


def test_the_first_is_the_norm_and_the_others_are_sums_with_random_signs():
    p = projections.project(X, 0)
    assert p.shape == (projections.COUNT,) and p.dtype == np.float64
    assert p[0] == pytest.approx(np.sqrt((X ** 2).sum()), rel=1e-14)
    bits = projections.random_bytes(X.size, 0)
    for j in range(8):
        signs = np.where(bits >> (7 - j) & 1, -1.0, 1.0)
        assert p[1 + j] == pytest.approx((signs * X.ravel()).sum(), rel=1e-12)


def test_signs_are_as_often_plus_as_minus_and_differ_from_sum_to_sum():
    signs = projections.SIGNS[projections.random_bytes(100_000, 0)]
    assert set(np.unique(signs)) == {-1, 1}
    assert np.abs(signs.T @ signs / len(signs) - np.eye(8)).max() < 0.02


@pytest.mark.parametrize("index", range(0, X.size, 40))
def test_one_changed_value_changes_every_sum_by_as_much(index):
    changed = X.copy()
    changed.flat[index] += 1e-6
    difference = projections.project(changed, 0) - projections.project(X, 0)
    np.testing.assert_allclose(np.abs(difference[1:]), 1e-6, rtol=1e-6)
    assert projections.gap(projections.project(changed, 0), projections.project(X, 0)) > projections.BOUND


def test_two_values_that_change_places_are_seen():
    p = projections.project(X, 0)
    swapped = [X.copy() for _ in range(X.size - 1)]
    for k, array in enumerate(swapped):
        array.flat[[k, k + 1]] = array.flat[[k + 1, k]]
    seen = [projections.gap(projections.project(array, 0), p) > projections.BOUND for array in swapped]
    assert np.mean(seen) > 0.98                              # all eight pairs of signs are equal once in 256


def test_rounding_stays_far_below_the_bound():
    x = np.random.default_rng(2).standard_normal(300_000)
    other = np.nextafter(x, np.inf)
    assert projections.gap(projections.project(other, 0), projections.project(x, 0)) < 1e-14


def test_gaps_of_nothing_and_of_nan_are_judged():
    zero, p = np.zeros(9), projections.project(X, 0)
    assert projections.gap(zero, zero) == 0 and projections.gap(p, zero) == np.inf
    assert projections.gap(projections.project(X * np.nan, 0), p) == np.inf


def test_bytes_and_picture_are_the_same_for_ever():
    """Another NumPy that drew others would fail every recorded run."""
    assert projections.random_bytes(10, 0).tolist() == [95, 130, 194, 217, 207, 235, 15, 163, 33, 215]
    assert hashlib.sha256(projections.picture(3, 0)).hexdigest() == (
        "409332dc98155fdf8bda6c380deaf5270dc57f9d34abac4d49fcffd57384b4ec")
    assert projections.picture(4, 1).shape == (241, 317, 4) and projections.picture(1, 0).dtype == np.uint8


def test_class_names_have_one_digest_for_each_order():
    lists = (None, ("a", "b"), ("b", "a"), ("ab",), ("a", "b", ""), ("a\udce9", "b"))
    digests = list(map(projections.digest_of, lists))
    assert len(set(digests)) == len(digests)
    assert digests[1] == hashlib.sha256(b"a\nb\n").hexdigest() == projections.digest_of(["a", "b"])
