"""Every operation in float64, beside how far rounding can take another run from it.

    x = Rounded.of(array)                       an array as it stands: no error
    y = conv2d(x, weight, bias, 2**-24)         y.value, and y.bound: a right run in float32 is no further away than that

`unit` is half a unit in the last place of the run, 2⁻²⁴ in float32.  A sum of products w·x in any order, and even through
Winograd's or Fourier's transforms, errs by a few units of ‖w‖·‖x‖, where ‖x‖ is that of the picture's largest window: those
transforms mix neighbouring pixels.  The factors are more than twice the largest errors that were measured with npvgg's three
tiers, PyTorch and ONNX Runtime (tests/parity/test_exact.py).  What rounds nothing, ReLU or max-pooling, has no bound of its own
and passes that of its input on.

Options that VGG does not use (stride, dilation, …) are here because others use them by mistake.
"""
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from npvgg.kernels.contracts import output_size
from npvgg.kernels.reference import OPERATIONS as REFERENCE

# In units of ‖w‖·‖x‖ + |bias|, and of the sum of the magnitudes that an element-wise operation adds.
PRODUCTS = 8
TERMS = 8
COLUMNS = 4_000_000                       # numbers of a convolution that are laid out as columns together, 32 MB


@dataclass(frozen=True, eq=False)
class Rounded:
    """float64 values, and for each the largest distance at which a right run may be; arrays of one shape."""

    value: np.ndarray
    bound: np.ndarray

    @classmethod
    def of(cls, array) -> "Rounded":
        """An array that is given, not computed: its bound is 0."""
        value = np.asarray(array, np.float64)
        return cls(value, np.zeros((1,) * value.ndim))

    def __post_init__(self):
        object.__setattr__(self, "bound", np.broadcast_to(self.bound, self.value.shape))

    def map(self, change) -> "Rounded":
        """The same values in another arrangement: `change` takes and gives arrays."""
        return Rounded(change(self.value), change(self.bound))

    @property
    def is_exact(self) -> bool:
        """Whether no bound is above 0."""
        return not self.bound.any()


@np.errstate(all="ignore")
def conv2d(x: Rounded, weight, bias, unit, *, padding=1, mode="constant", stride=1, dilation=1, groups=1) -> Rounded:
    """(N, C, H, W) and (O, C/groups, kh, kw) → (N, O, H′, W′); `padding` is a number, or ((top, below), (left, right))."""
    sides = padding if isinstance(padding, tuple) else ((padding, padding),) * 2
    value = correlated(np.pad(x.value, ((0, 0), (0, 0), *sides), mode), weight, stride, dilation, groups)
    added = np.zeros(len(weight)) if bias is None else bias
    value += added[:, np.newaxis, np.newaxis]
    norms = np.sqrt((weight.reshape(len(weight), -1) ** 2).sum(axis=1))
    bound = PRODUCTS * unit * (np.outer(windows(x.value, weight.shape[2:], groups), norms) + np.abs(added))[:, :, None, None]
    if not x.is_exact:
        bound = bound + correlated(np.pad(x.bound, ((0, 0), (0, 0), *sides), mode), np.abs(weight), stride, dilation, groups)
    return Rounded(value, bound)


def correlated(x, weight, stride=1, dilation=1, groups=1):
    """(N, C, H, W), padded already, and (O, C/groups, kh, kw) → (N, O, H′, W′)."""
    outputs, _, kh, kw = weight.shape
    reach = (kh - 1) * dilation + 1, (kw - 1) * dilation + 1
    if x.shape[2] < reach[0] or x.shape[3] < reach[1]:
        return np.zeros((len(x), outputs, 0, 0))
    seen = sliding_window_view(x, reach, axis=(2, 3))[:, :, ::stride, ::stride, ::dilation, ::dilation]
    height, width = seen.shape[2:4]
    y = np.empty((len(x), outputs, height, width))
    channels, each = x.shape[1] // groups, outputs // groups
    rows = max(1, COLUMNS // (channels * kh * kw * width))
    for n in range(len(x)):
        for group in range(groups):
            own = np.s_[group * each:(group + 1) * each]
            filters = weight[own].reshape(each, -1)
            for i in range(0, height, rows):
                piece = seen[n, group * channels:(group + 1) * channels, i:i + rows].transpose(0, 3, 4, 1, 2)
                y[n, own, i:i + rows] = (filters @ piece.reshape(filters.shape[1], -1)).reshape(each, -1, width)
    return y


def windows(x, sides, groups=1):
    """(N, C, H, W) → (N,): the largest norm of what a filter of these sides sees; of all channels, whatever the groups."""
    energy = finite(x**2).sum(axis=1)
    padded = np.pad(energy, ((0, 0), (sides[0] - 1,) * 2, (sides[1] - 1,) * 2))
    rows = sliding_window_view(padded, sides[0], axis=1).sum(axis=-1)
    return np.sqrt(sliding_window_view(rows, sides[1], axis=2).sum(axis=-1).max(axis=(1, 2), initial=0))


def finite(values):
    """NaN and infinity do not set the scale of an error."""
    return np.where(np.isfinite(values), values, 0)


@np.errstate(all="ignore")
def dense(x: Rounded, weight, bias, unit) -> Rounded:
    """(N, inputs) and (outputs, inputs), of any floating dtype → (N, outputs)."""
    value, norms, carried = (np.empty((len(x.value), len(weight))) for _ in range(3))
    size = np.sqrt(finite(x.value**2).sum(axis=1))
    each = max(1, COLUMNS // weight.shape[1])
    for o in (slice(start, start + each) for start in range(0, len(weight), each)):
        some = weight[o].astype(np.float64)
        value[:, o] = x.value @ some.T + bias[o]
        norms[:, o] = np.outer(size, np.sqrt(np.einsum("ok,ok->o", some, some)))
        carried[:, o] = 0 if x.is_exact else x.bound @ np.abs(some).T
    return Rounded(value, PRODUCTS * unit * (norms + np.abs(bias)) + carried)


@np.errstate(all="ignore")
def affine(x: Rounded, mean, scale, shift, unit) -> Rounded:
    """(N, C, …) → (x − mean) · scale + shift, (C,) each: batch norm."""
    mean, scale, shift = (np.asarray(array).reshape(-1, *(1,) * (x.value.ndim - 2)) for array in (mean, scale, shift))
    bound = TERMS * unit * ((np.abs(x.value) + np.abs(mean)) * np.abs(scale) + np.abs(shift))
    return Rounded((x.value - mean) * scale + shift, bound + x.bound * np.abs(scale))


def batchnorm(x: Rounded, weight, bias, mean, var, unit, *, eps=1e-5) -> Rounded:
    """(N, C, …) → the same shape."""
    with np.errstate(all="ignore"):
        return affine(x, mean, weight / np.sqrt(var + eps), bias, unit)


def relu(x: Rounded, unit=0.0, *, slope=0.0) -> Rounded:
    """x where it is positive, slope · x elsewhere."""
    with np.errstate(all="ignore"):
        below = x.value < 0
        return Rounded(np.where(below, 0 if slope == 0 else slope * x.value, x.value),
                       np.where(below & (slope != 0), abs(slope) * (x.bound + 2 * unit * np.abs(x.value)), x.bound))


def maxpool2d(x: Rounded, unit=0.0, *, size=2, stride=2, padding=0, ceil_mode=False) -> Rounded:
    """The largest value under each window; outside the picture is −∞."""
    return Rounded(pooled(x.value, size, stride, padding, ceil_mode, np.maximum, -np.inf),
                   x.bound[:, :, :1, :1] if x.is_exact else
                   pooled(x.bound, size, stride, padding, ceil_mode, np.maximum, 0))


@np.errstate(all="ignore")
def avgpool2d(x: Rounded, unit, *, size=2, stride=2, padding=0, ceil_mode=False) -> Rounded:
    """The mean under each window, of its size² places; outside the picture is 0."""
    means = [pooled(array, size, stride, padding, ceil_mode, np.add, 0) / size**2
             for array in (x.value, np.abs(x.value), x.bound)]
    return Rounded(means[0], TERMS * unit * means[1] + means[2])


def pooled(x, size, stride, padding, ceil_mode, join, outside):
    """(N, C, H, W) → (N, C, H′, W′): windows joined by a function of two arrays."""
    counts = [output_size(extent, size, stride, padding, ceil_mode) for extent in x.shape[2:]]
    if min(counts) < 1:
        return np.zeros((*x.shape[:2], 0, 0))
    sides = [(padding, max(0, (count - 1) * stride + size - extent - padding)) for count, extent in zip(counts, x.shape[2:])]
    padded = np.pad(x, ((0, 0), (0, 0), *sides), constant_values=outside)
    y = None
    for u, v in np.ndindex(size, size):
        seen = padded[:, :, u:u + (counts[0] - 1) * stride + 1:stride, v:v + (counts[1] - 1) * stride + 1:stride]
        y = seen.copy() if y is None else join(y, seen)
    return y


def adaptive(op, x: Rounded, unit, size) -> Rounded:
    """adaptive_avgpool2d or adaptive_maxpool2d by name."""
    terms = REFERENCE[op](np.abs(x.value), size=size) * unit * TERMS if op == "adaptive_avgpool2d" else 0
    return Rounded(REFERENCE[op](x.value, size=size), terms + REFERENCE[op](x.bound, size=size))


@np.errstate(all="ignore")
def lrn(x: Rounded, unit, **options) -> Rounded:
    """Local response normalisation: close to a division of each value, so the bound is relative."""
    value = REFERENCE["local_response_norm"](x.value, **options)
    return Rounded(value, 4 * TERMS * unit * np.abs(value) + largest_ratio(value, x.value) * x.bound.max(initial=0))


def largest_ratio(y, x):
    """The largest |y ÷ x| of elements that are not 0."""
    return float(np.max(np.abs(y[x != 0] / x[x != 0]), initial=0))


@np.errstate(all="ignore")
def softmax(x: Rounded, unit) -> Rounded:
    """Probabilities; an error of x is a relative error of its power."""
    value, shift = REFERENCE["softmax"](x.value), np.abs(x.value - x.value.max(axis=-1, keepdims=True))
    return Rounded(value, value * (TERMS * unit * (2 + shift) + 2 * x.bound.max(axis=-1, keepdims=True)))


@np.errstate(all="ignore")
def log_softmax(x: Rounded, unit) -> Rounded:
    """Logarithms of probabilities."""
    value = REFERENCE["log_softmax"](x.value)
    return Rounded(value, TERMS * unit * (1 + np.abs(value)) + 2 * x.bound.max(axis=-1, keepdims=True))


def run(layer, x: Rounded, arrays, unit) -> Rounded:
    """One layer of an architecture, with its parameters in float64, on an input → its output."""
    return OPERATIONS[layer.op](x, *arrays, unit, **dict(layer.options))


OPERATIONS = {
    "reflection_pad2d": lambda x, unit, size=1: x.map(
        lambda y: np.pad(y, ((0, 0), (0, 0), (size,) * 2, (size,) * 2), "reflect")),
    "conv2d": lambda x, w, *rest, padding=1: conv2d(x, w, rest[0] if len(rest) > 1 else None, rest[-1], padding=padding),
    "batchnorm2d": batchnorm,
    "batchnorm1d": batchnorm,
    "relu": relu,
    "maxpool2d": maxpool2d,
    "avgpool2d": avgpool2d,
    "local_response_norm": lrn,
    "adaptive_avgpool2d": lambda x, unit, size=7: adaptive("adaptive_avgpool2d", x, unit, size),
    "adaptive_maxpool2d": lambda x, unit, size=7: adaptive("adaptive_maxpool2d", x, unit, size),
    "flatten": lambda x, unit: x.map(lambda y: y.reshape(len(y), -1)),
    "dense": dense,
    "dropout": lambda x, unit, p=0.5: x,
    "output": lambda x, unit: x,                             # what a network returns: its last layer as it is
    "softmax": softmax,
    "log_softmax": log_softmax,
}


def excess(y: np.ndarray, answer: Rounded) -> float:
    """The largest |y − answer| ÷ bound: at most 1 where rounding explains y; infinite where the shapes differ."""
    if y.shape != answer.value.shape:
        return np.inf
    with np.errstate(all="ignore"):
        gap = np.abs(y - answer.value)
        equal = (y == answer.value) | (np.isnan(y) & np.isnan(answer.value))
        shares = np.nan_to_num(np.where(equal, 0, gap / answer.bound), nan=np.inf, posinf=np.inf)
    return float(shares.max(initial=0))
