"""What gradients refuse, and in which words; and that nothing is missing."""
from inspect import getdoc

import numpy as np
import pytest
from witnesses.gradients import BACKWARD, TIERS

from npvgg.errors import ShapeError, UsageError
from npvgg.kernels import contracts
from npvgg.kernels.gradients.reference.dropout import masked

each_tier = pytest.mark.parametrize("tier", TIERS)


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


CONV = zeros(1, 3, 8, 6), zeros(5, 3, 3, 3), zeros(5)
NORM = zeros(1, 3, 1, 1), zeros(3), zeros(3), zeros(3), zeros(3)


@each_tier
@pytest.mark.parametrize("op, g, arrays, options, sentence", [
    ("conv2d", zeros(1, 5, 8, 5), CONV, {}, r"conv2d: g \(1, 5, 8, 5\) is no gradient of an answer of shape \(1, 5, 8, 6\)"),
    ("conv2d", zeros(1, 5, 8, 6), CONV, {"wanted": ("weigth",)}, r"no gradient of 'weigth' \(did you mean 'weight'"),
    ("conv2d", zeros(1, 5, 8, 6, dtype=float), CONV, {}, "x is float32 but g is float64, expected one dtype"),
    ("conv2d", zeros(1, 5, 8, 6), (CONV[0], zeros(5, 4, 3, 3), CONV[2]), {}, "has 3 channels but weight .* expects 4"),
    ("dense", [0.0], (zeros(1, 4), zeros(3, 4), zeros(3)), {}, "g is a list, expected a NumPy array"),
    ("maxpool2d", zeros(1, 1, 2, 2), (zeros(1, 1, 5, 5),), {"stride": 0}, "stride is 0, expected a whole number"),
    ("relu", zeros(4), (zeros(4, 1),), {}, r"relu: g \(4,\) is no gradient of an answer of shape \(4, 1\)"),
    ("batchnorm2d", zeros(1, 3, 1, 1), NORM, {"training": True}, "fewer than two values a channel"),
    ("dropout", zeros(4), (zeros(4),), {"mask": np.ones(4)}, r"the mask is float64 \(4,\), expected bool \(4,\)"),
    ("dropout", zeros(4), (zeros(4),), {"mask": [True] * 4}, "the mask is list, expected bool"),
])
def test_what_does_not_fit_is_refused_in_a_sentence(tier, op, g, arrays, options, sentence):
    with pytest.raises(UsageError, match=sentence):
        BACKWARD[tier][op](g, *arrays, **options)


@each_tier
@pytest.mark.parametrize("x", [zeros(1, 3), zeros(0, 3, 4, 4), zeros(5), [1.0, 2.0]])
def test_what_has_no_variance_is_refused(tier, x):
    with pytest.raises(ShapeError):
        BACKWARD[tier]["batch_statistics"](x)


@pytest.mark.parametrize("mask", [None, np.ones((2, 3), bool)])
def test_a_mask_of_another_shape_is_refused(mask):
    with pytest.raises(ShapeError, match="expected bool"):
        masked(zeros(3), mask, 0.5)


@each_tier
def test_every_operation_has_a_gradient_whose_docstring_says_which_shape_becomes_which(tier):
    assert BACKWARD[tier].keys() == contracts.OPERATIONS.keys() | {"batch_statistics"}
    assert all("→" in getdoc(gradient).split("\n\n")[0] for gradient in BACKWARD[tier].values())
