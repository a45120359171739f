"""One number of a layer's output as a sum over what the layer is given: one function an operation.

    convolution, dense      y = Σ weight · given + bias
    batch norm              y = scale · given + (shift − scale · mean),  scale = weight / √(variance + ε)
    average pooling         y = Σ given / n
    max-pooling             y = Σ given · [it is the winner]
    ReLU                    y = given · [given > 0]
    response normalisation  y = given / (k + α/size · Σ given²)^β, the neighbours' part in the weight
    flatten, dropout, …     y = given
    soft-max                p = exp(given of the class) / Σ exp(given)
    sigmoid                 p = 1 / (1 + exp(−given))

The last two are quotients, and the sum is what stands below the line.
"""
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from npvgg.kernels.gradients.reference.largest_place import largest_place
from npvgg.kernels.reference.adaptive_avgpool2d import bins


@dataclass(frozen=True, eq=False)
class WeightedSum:
    """Σ products + bias, all in float64.

    `window` is what is looked at, in the shape of the filter, of the pooling window or of the features; `corner` is where its
    first value lies in the array that the layer is given, negative in the border.  `hidden` are other numbers that the kernel
    adds or cancels on its way, which count in its rounding error.
    """

    window: np.ndarray
    weights: np.ndarray
    products: np.ndarray                  # float32 numbers have 24 bits, so their products are exact in float64
    corner: tuple[int, ...]
    bias: float = 0.0
    hidden: float = 0.0
    numerator: float | None = None        # above the line, where the layer gives a quotient
    # Where a max-pooling's largest value lies in the window; other numbers by name, such as the mean of a batch norm.
    winner: tuple[int, ...] | None = None
    parts: Mapping[str, float] = field(default_factory=dict)


def exact_sum(values: list[float]) -> float:
    """The sum of the values, rounded once; NaN or an infinity where they hold one."""
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):             # the sum overflows, or there are infinities of both signs
        with np.errstate(all="ignore"):
            return float(np.sum(values))


def weighted(window, weights, corner, **others) -> WeightedSum:
    """A WeightedSum of the window and the weights, (…) twice."""
    window, weights = np.asarray(window, np.float64), np.asarray(weights, np.float64)
    with np.errstate(all="ignore"):       # NaN and infinities are answers, not accidents
        return WeightedSum(window, weights, window * weights, tuple(corner), **others)


def conv2d(x, place, weight, bias=None, *, padding=1) -> WeightedSum:
    """x (C, H, W), (filter, y, x) → a window (C, kh, kw); the border is zeros."""
    channel, *corner = place
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    (top, left), (height, width) = corner, weight.shape[2:]
    return weighted(padded[:, top:top + height, left:left + width], weight[channel], (0, top - padding, left - padding),
                    bias=0.0 if bias is None else float(bias[channel]))


def dense(x, place, weight, bias) -> WeightedSum:
    """x (features,), (unit,) → a window (features,)."""
    return weighted(x, weight[place[0]], (0,), bias=float(bias[place[0]]))


def batch_norm(x, place, weight, bias, mean, var, *, eps=1e-5) -> WeightedSum:
    """x (C, …), place in it → one value, scaled and shifted by the running statistics."""
    weight, bias, mean, var = (float(array[place[0]]) for array in (weight, bias, mean, var))
    scale = weight / np.sqrt(var + eps)
    return weighted(one(x, place), np.full([1] * x.ndim, scale), place, bias=bias - scale * mean,
                    hidden=abs(bias) + abs(scale * mean),
                    parts={"mean": mean, "variance": var, "ε": eps, "weight": weight, "bias": bias, "scale": float(scale)})


def relu(x, place) -> WeightedSum:
    """x, place in it → one value, weighed by 1 where it is above 0 and by 0 elsewhere."""
    window = one(x, place)
    return weighted(window, ~(window <= 0), place)


def same(x, place, **_) -> WeightedSum:
    """x, place in it → that value."""
    return weighted(one(x, place), np.ones([1] * x.ndim), place)


def flatten(x, place) -> WeightedSum:
    """x (C, H, W), (feature,) → the value that the feature is."""
    return same(x, np.unravel_index(place[0], x.shape))


def reflection_pad2d(x, place, *, size=1) -> WeightedSum:
    """x (C, H, W), place in the mirrored map → the value that stands there."""
    axes = [np.pad(np.arange(extent), size, "reflect") for extent in x.shape[1:]]
    return same(x, (place[0], *(int(axis[at]) for axis, at in zip(axes, place[1:]))))


def maxpool2d(x, place, *, size=2, stride=2, ceil_mode=False) -> WeightedSum:
    """x (C, H, W), place in the pooled map → a window (1, size, size), cut where it hangs over the end."""
    rows, columns = (slice(at * stride, at * stride + size) for at in place[1:])
    return largest(x, place[0], rows, columns)


def adaptive_maxpool2d(x, place, *, size=7) -> WeightedSum:
    """x (C, H, W), place in the pooled map → a window (1, height, width) of that bin."""
    return largest(x, place[0], *binned(x, place, size))


def largest(x, channel, rows, columns) -> WeightedSum:
    """A WeightedSum whose only weight is 1, at the largest value: of equal ones the first, of NaN the last."""
    window = x[channel:channel + 1, rows, columns]
    winner = tuple(map(int, np.unravel_index(largest_place(window.ravel()), window.shape)))
    weights = np.zeros(window.shape)
    weights[winner] = 1
    products = np.where(weights == 1, window, 0).astype(np.float64)          # an infinity that lost counts as nothing
    return WeightedSum(window.astype(np.float64), weights, products, (channel, rows.start, columns.start), winner=winner)


def avgpool2d(x, place, *, size=2, stride=2) -> WeightedSum:
    """x (C, H, W), place in the pooled map → a window (1, size, size)."""
    return mean(x, place[0], *(slice(at * stride, at * stride + size) for at in place[1:]))


def adaptive_avgpool2d(x, place, *, size=7) -> WeightedSum:
    """x (C, H, W), place in the pooled map → a window (1, height, width) of that bin."""
    return mean(x, place[0], *binned(x, place, size))


def mean(x, channel, rows, columns) -> WeightedSum:
    """A WeightedSum of equal weights."""
    window = x[channel:channel + 1, rows, columns]
    return weighted(window, np.full(window.shape, 1 / window.size), (channel, rows.start, columns.start))


def local_response_norm(x, place, *, size=5, alpha=1e-4, beta=0.75, k=2.0) -> WeightedSum:
    """x (C, H, W), place in it → the neighbour channels, of which one has a weight."""
    channel, row, column = place
    first, end = max(0, channel - size // 2), min(len(x), channel + (size - 1) // 2 + 1)
    window = x[first:end, row:row + 1, column:column + 1].astype(np.float64)
    energy = float((window**2).sum())
    weights = np.zeros(window.shape)
    weights[channel - first] = (k + alpha / size * energy) ** -beta
    return weighted(window, weights, (first, row, column), parts={"Σ squares": energy})


def softmax(x, place) -> WeightedSum:
    """Logits (classes,), (class,) → the exponentials of their distances to the largest, whose sum is below the line."""
    logits = x.astype(np.float64)
    powers = np.exp(logits - logits.max())
    return WeightedSum(logits, np.ones(len(logits)), powers, (0,), numerator=float(powers[place[0]]))


def sigmoid(x, place) -> WeightedSum:
    """Logits (labels,), (label,) → 1 + exp(−logit) below the line."""
    logit = one(x, place).astype(np.float64)
    with np.errstate(over="ignore"):
        return WeightedSum(logit, np.ones(1), np.exp(-logit), tuple(place), bias=1.0, numerator=1.0)


def one(x, place):
    """The value at that place, as an array of as many axes."""
    return x[tuple(slice(at, at + 1) for at in place)]


def binned(x, place, size):
    """The rows and columns of the bin of adaptive pooling."""
    return (bins(extent, size)[at] for extent, at in zip(x.shape[1:], place[1:]))


# {operation: function(x, place, its arrays, its options)}; "softmax" and "sigmoid" are what makes probabilities of logits.
OPERATIONS: dict[str, Callable[..., WeightedSum]] = {
    "conv2d": conv2d, "dense": dense, "batchnorm2d": batch_norm, "batchnorm1d": batch_norm, "relu": relu, "dropout": same,
    "flatten": flatten, "reflection_pad2d": reflection_pad2d, "maxpool2d": maxpool2d, "avgpool2d": avgpool2d,
    "adaptive_maxpool2d": adaptive_maxpool2d, "adaptive_avgpool2d": adaptive_avgpool2d,
    "local_response_norm": local_response_norm, "softmax": softmax, "sigmoid": sigmoid,
}
