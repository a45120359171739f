"""Ties, zeros, NaN and infinities come back where PyTorch sends them back."""
import warnings

import numpy as np
import pytest
from witnesses.gradients import BACKWARD, TIERS, arrays_of, gradients_of_torch
from witnesses.operations import Case, distinct, same_bits

from npvgg.kernels import contracts

with_torch = pytest.mark.usefixtures("one_torch_thread")
NAN, INF = np.nan, np.inf
each_tier = pytest.mark.parametrize("tier", TIERS)


def row(*values):
    """A map of one row."""
    return np.array(values, float).reshape(1, 1, 1, -1)


def dx(tier, op, g, x, **options):
    return BACKWARD[tier][op](g, x, **options)["x"].ravel().tolist()


@each_tier
def test_relu_stops_at_zero_and_below_and_lets_nan_pass(tier):
    x, g = np.array([-1.0, -0.0, 0.0, NAN, 2.0, -INF, INF]), np.arange(1.0, 8)
    assert dx(tier, "relu", g, x) == [0, 0, 0, 4, 5, 0, 7]
    assert dx(tier, "relu", g, np.where(x < 0, 0, x)) == [0, 0, 0, 4, 5, 0, 7]           # by the output the same


@each_tier
def test_the_first_of_equal_values_and_the_last_nan_get_the_gradient(tier):
    x = np.array([[1.0, 3, 0, 0], [3, 2, 0, 0], [NAN, 9, -INF, -INF], [1, NAN, -INF, -INF]])[None, None]
    g = np.array([[1.0, 2], [3, 4]])[None, None]
    expected = [[0, 1, 2, 0], [0, 0, 0, 0], [0, 0, 4, 0], [0, 3, 0, 0]]
    assert BACKWARD[tier]["maxpool2d"](g, x)["x"][0, 0].tolist() == expected
    assert BACKWARD[tier]["adaptive_maxpool2d"](g, x, size=2)["x"][0, 0].tolist() == expected


@each_tier
def test_windows_that_overlap_add_up(tier):
    square = np.array([0.0, 1, 2, 1, 0]) + np.array([0.0, 1, 2, 1, 0])[:, None]
    back = BACKWARD[tier]["maxpool2d"](np.ones((1, 1, 3, 3)), square[None, None], size=3, stride=1)["x"][0, 0]
    assert back[2, 2] == 9 and back.sum() == 9
    np.testing.assert_allclose(dx(tier, "adaptive_avgpool2d", np.ones((1, 1, 3, 3)), np.ones((1, 1, 1, 5)), size=3),
                               3 * np.array([1 / 2, 5 / 6, 1 / 3, 5 / 6, 1 / 2]))
    assert dx(tier, "reflection_pad2d", np.ones((1, 1, 4, 6)), np.ones((1, 1, 2, 4))) == 2 * [2, 4, 4, 2]


@with_torch
@each_tier
@pytest.mark.parametrize("case", [
    Case("maxpool2d", ((2, 2, 7, 6),)), Case("maxpool2d", ((2, 2, 7, 6),), {"size": 3, "stride": 1}),
    Case("maxpool2d", ((2, 2, 7, 5),), {"ceil_mode": True}), Case("adaptive_maxpool2d", ((2, 2, 7, 6),), {"size": 3}),
], ids=["2x2", "3x3 overlapping", "ceil", "adaptive"])
def test_winners_among_a_few_values_are_pytorchs(case, tier):
    rng = np.random.default_rng(1)
    x = rng.choice([0.0, -0.0, 1, NAN, INF, -INF], case.shapes[0], p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.1])
    g = distinct(contracts.OPERATIONS[case.op](x, **case.options), rng)
    np.testing.assert_allclose(BACKWARD[tier][case.op](g, x, **case.options)["x"], gradients_of_torch(case, g, [x])["x"],
                               rtol=1e-14, atol=1e-15)


@with_torch
@each_tier
@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("place", ["g", "x"])
@pytest.mark.parametrize("case", [
    Case("conv2d", ((2, 3, 5, 4), (2, 3, 3, 3), (2,))), Case("dense", ((3, 5), (4, 5), (4,))),
    Case("batchnorm2d", ((2, 3, 4, 5), (3,), (3,), (3,), (3,))), Case("avgpool2d", ((2, 3, 4, 5),)),
    Case("adaptive_avgpool2d", ((2, 3, 4, 5),), {"size": 3}), Case("reflection_pad2d", ((2, 3, 4, 5),)),
    Case("softmax", ((3, 5),)), Case("log_softmax", ((3, 5),)),
], ids=lambda case: case.op if isinstance(case, Case) else None)
def test_nan_and_infinities_spread_as_far_as_pytorchs(case, place, value, tier):
    g, arrays = arrays_of(case)
    g, arrays = abs(g), [abs(array) for array in arrays]
    target = g if place == "g" else arrays[0]
    target[1, ..., 1], target[0, ..., 0] = value, -value
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = BACKWARD[tier][case.op](g, *arrays, **case.options)
    theirs = gradients_of_torch(case, g, arrays)
    for name, gradient in ours.items():
        assert np.array_equal(np.isfinite(gradient), np.isfinite(theirs[name])), name
        finite = np.isfinite(gradient)
        np.testing.assert_allclose(gradient[finite], theirs[name][finite], rtol=1e-12, atol=1e-14)


@each_tier
def test_a_dropped_feature_gets_nothing_and_without_a_mask_all_get_theirs(tier):
    g, x, mask = np.array([1.0, 2, 3]), np.ones(3), np.array([True, False, True])
    assert dx(tier, "dropout", g, x, p=0.5, mask=mask) == [2, 0, 6]
    assert dx(tier, "dropout", g, x, p=1, mask=mask) == [0, 0, 0]
    assert same_bits(BACKWARD[tier]["dropout"](g, x, p=0.5)["x"], g)
