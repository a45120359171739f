"""The losses and their gradients against PyTorch's, against differences, and by hand."""
import math

import numpy as np
import pytest

from npvgg.errors import NpvggError
from npvgg.training.losses import binary_cross_entropy, cross_entropy, mean_squared_error

with_torch = pytest.mark.usefixtures("one_torch_thread")
RNG = np.random.default_rng(0)
LOGITS = 3 * RNG.standard_normal((5, 7))
INDICES = np.array([0, 6, 3, 3, 1])
SHARES = RNG.random((5, 7))
WEIGHTS = RNG.uniform(0.2, 3, 7)
LABELS = RNG.integers(0, 2, (5, 7))

CASES = {
    "indices": (cross_entropy, LOGITS, INDICES, {}),
    "list of indices": (cross_entropy, LOGITS, INDICES.tolist(), {}),
    "smoothing": (cross_entropy, LOGITS, INDICES, {"smoothing": 0.1}),
    "class weights": (cross_entropy, LOGITS, INDICES, {"weights": WEIGHTS}),
    "smoothing and class weights": (cross_entropy, LOGITS, INDICES, {"smoothing": 0.3, "weights": WEIGHTS}),
    "probabilities": (cross_entropy, LOGITS, SHARES, {}),
    "probabilities, smoothing and weights": (cross_entropy, LOGITS, SHARES, {"smoothing": 0.2, "weights": WEIGHTS}),
    "one class": (cross_entropy, LOGITS[:, :1], np.zeros(5, int), {}),
    "labels": (binary_cross_entropy, LOGITS, LABELS, {}),
    "shares of labels": (binary_cross_entropy, LOGITS, SHARES, {}),
    "positive weights": (binary_cross_entropy, LOGITS, LABELS, {"positive_weights": WEIGHTS}),
    "far logits": (binary_cross_entropy, 300 * LOGITS, LABELS, {}),
    "squares": (mean_squared_error, LOGITS, SHARES, {}),
    "squares of a vector": (mean_squared_error, LOGITS[0], SHARES[0], {}),
}
each_case = pytest.mark.parametrize("loss, logits, targets, options", CASES.values(), ids=CASES)


def of_torch(loss, logits, targets, options):
    torch = pytest.importorskip("torch")
    functional, z = torch.nn.functional, torch.tensor(logits, requires_grad=True)
    targets = torch.tensor(targets)
    given = {name: torch.tensor(value, dtype=z.dtype) for name, value in options.items() if name != "smoothing"}
    if loss is cross_entropy:
        targets = targets.to(z.dtype) if targets.ndim == 2 else targets
        value = functional.cross_entropy(z, targets, weight=given.get("weights"), label_smoothing=options.get("smoothing", 0))
    elif loss is binary_cross_entropy:
        value = functional.binary_cross_entropy_with_logits(z, targets.to(z.dtype), pos_weight=given.get("positive_weights"))
    else:
        value = functional.mse_loss(z, targets.to(z.dtype))
    value.backward()
    return value.item(), z.grad.numpy()


@with_torch
@each_case
def test_value_and_gradient_are_pytorchs(loss, logits, targets, options):
    value, gradient = loss(logits, targets, **options)
    expected, slope = of_torch(loss, logits, targets, options)
    assert type(value) is float and value == pytest.approx(expected, rel=1e-14, abs=1e-15)
    np.testing.assert_allclose(gradient, slope, rtol=1e-13, atol=1e-16)


@each_case
def test_float32_is_rounded_once(loss, logits, targets, options):
    logits = logits.astype(np.float32)
    value, gradient = loss(logits, targets, **options)
    exact, slope = loss(logits.astype(np.float64), targets, **options)
    assert value == exact and gradient.dtype == np.float32
    assert np.array_equal(gradient, slope.astype(np.float32))


@each_case
def test_the_gradient_is_the_slope_of_differences(loss, logits, targets, options):
    direction, h = np.random.default_rng(1).standard_normal(logits.shape), 1e-6
    above, below = (loss(logits + step * direction, targets, **options)[0] for step in (h, -h))
    slope = np.vdot(direction, loss(logits, targets, **options)[1])
    assert (above - below) / (2 * h) == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_a_network_that_knows_nothing_loses_the_logarithm_of_the_classes():
    value, gradient = cross_entropy(np.zeros((2, 8)), [3, 0])
    assert value == pytest.approx(math.log(8))
    assert gradient[0] == pytest.approx(np.array([1 / 16] * 3 + [1 / 16 - 1 / 2] + [1 / 16] * 4))
    assert binary_cross_entropy(np.zeros((2, 3)), np.ones((2, 3)))[0] == pytest.approx(math.log(2))


def test_indices_and_the_same_as_probabilities_differ_by_the_mean_of_the_weights():
    by_index, _ = cross_entropy(LOGITS, INDICES, weights=WEIGHTS)
    by_share, _ = cross_entropy(LOGITS, np.eye(7)[INDICES], weights=WEIGHTS)
    assert by_share == pytest.approx(by_index * WEIGHTS[INDICES].mean())


def test_a_class_that_is_ruled_out_costs_nothing_unless_it_is_the_right_one():
    logits = LOGITS.copy()
    logits[:, 5] = -np.inf
    value, gradient = cross_entropy(logits, INDICES)
    assert value == pytest.approx(cross_entropy(np.delete(logits, 5, 1), [0, 5, 3, 3, 1])[0])
    assert not gradient[:, 5].any() and np.isfinite(gradient).all()
    assert cross_entropy(logits, np.full(5, 5))[0] == math.inf


@pytest.mark.parametrize("loss, targets", [(cross_entropy, INDICES), (binary_cross_entropy, LABELS),
                                           (mean_squared_error, SHARES)])
def test_nan_in_a_logit_is_nan_in_the_value(loss, targets):
    logits = LOGITS.copy()
    logits[2, 4] = np.nan
    value, gradient = loss(logits, targets)
    assert math.isnan(value) and np.isnan(gradient[2, 4]) and np.isfinite(gradient[[0, 1, 3, 4]]).all()


@pytest.mark.parametrize("loss, logits, targets, options, sentence", [
    (cross_entropy, LOGITS, INDICES - 1, {}, "a target is -1 and the classes are 0 to 6"),
    (cross_entropy, LOGITS, INDICES + 1, {}, "a target is 7"),
    (cross_entropy, LOGITS, INDICES[:4], {}, r"the targets \(4,\) do not fit logits \(5, 7\)"),
    (cross_entropy, LOGITS, LABELS, {}, r"the targets \(5, 7\) do not fit"),
    (cross_entropy, LOGITS, SHARES[:, :3], {}, r"the targets are float64 \(5, 3\), expected numbers of shape \(5, 7\)"),
    (cross_entropy, LOGITS, LABELS > 0, {}, "the targets are bool"),
    (cross_entropy, LOGITS, ["a"] * 5, {}, "the targets are <U1"),
    (cross_entropy, LOGITS[0], 3, {}, r"logits \(7,\) has 1 axes, expected 2"),
    (cross_entropy, LOGITS.tolist(), INDICES, {}, "logits is a list"),
    (cross_entropy, LOGITS, INDICES, {"smoothing": 1.5}, "smoothing is 1.5, expected a number from 0 to 1"),
    (cross_entropy, LOGITS, INDICES, {"weights": WEIGHTS[:3]}, r"weights is float64 \(3,\), expected one number a class"),
    (binary_cross_entropy, LOGITS, INDICES, {}, r"the targets are int64 \(5,\), expected numbers of shape \(5, 7\)"),
    (binary_cross_entropy, LOGITS, LABELS, {"positive_weights": 2}, r"positive_weights is int64 \(\), expected one number"),
    (cross_entropy, LOGITS, SHARES - 0.5, {}, "a target is -0.*expected a share from 0 to 1"),
    (cross_entropy, LOGITS, SHARES * np.nan, {}, "a target is nan"),
    (binary_cross_entropy, LOGITS, 2 * LABELS, {}, "a target is 2.0, expected a share"),
    (cross_entropy, LOGITS, INDICES, {"weights": -WEIGHTS}, "weights has -.*expected numbers of at least 0"),
    (binary_cross_entropy, LOGITS, LABELS, {"positive_weights": WEIGHTS * np.nan}, "positive_weights has nan"),
    (mean_squared_error, LOGITS, 0.0, {}, r"the targets are float64 \(\), expected numbers of shape"),
])
def test_what_does_not_fit_is_refused_in_a_sentence(loss, logits, targets, options, sentence):
    with pytest.raises(NpvggError, match=sentence):
        loss(logits, targets, **options)
