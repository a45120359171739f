"""What each operation accepts, and the shape of its answer.

Letters used everywhere in npvgg:

    N images   C channels in   O channels out   H, W height and width
    kh, kw filter height and width   p zero padding   ′ marks an output size

Every function takes what the operation of the same name takes, raises ShapeError where the arrays do not fit together
and UsageError where an option makes no sense, and returns the shape of the answer.  Arrays are float32 or float64, all
of one dtype.  N may be 0 (no images in, no answers out); every other size is at least 1.  An Outline will do for an array.
"""
import math
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np

from npvgg.arithmetic import ceil_div
from npvgg.errors import ShapeError, UsageError


@dataclass(frozen=True)
class Outline:
    """What a contract looks at in an array."""

    shape: tuple
    dtype: np.dtype = np.dtype(np.float32)

    @property
    def ndim(self):
        """The number of axes."""
        return len(self.shape)


def answer_shape(layer, x, parameters):
    """The shape that `layer` answers with, given its input and {"conv1_1/weight": array}; arrays or Outlines."""
    return OPERATIONS[layer.op](x, *layer.arrays(parameters), **dict(layer.options))


def output_size(size, window, stride=1, padding=0, ceil_mode=False):
    """How many windows fit along an axis of `size`; below 1 where none does.

        ⌊(size + 2p − window) / stride⌋ + 1         ⌈…⌉ with ceil_mode

    With ceil_mode the last window may hang over the end, but must start inside the input or its left padding
    (PyTorch's rule, torch.nn.MaxPool2d).
    """
    room = size + 2 * padding - window
    if not ceil_mode:
        return room // stride + 1
    count = ceil_div(room, stride) + 1
    return count - 1 if (count - 1) * stride >= size + padding else count


def conv2d(x, weight, bias=None, padding=1):
    """x (N, C, H, W), weight (O, C, kh, kw), bias (O,) or None → (N, O, H′, W′)."""
    check_arrays("conv2d", x=(x, "N C H W"), weight=(weight, "O C kh kw"), **{} if bias is None else {"bias": (bias, "O")})
    check_integer("conv2d", "padding", padding, 0)
    n, channels, height, width = x.shape
    outputs, expected, kh, kw = weight.shape
    if channels != expected:
        raise ShapeError(f"conv2d: x {x.shape} has {channels} channels but weight {weight.shape} expects {expected}; "
                         f"give it an x with {expected} channels or the weight of another layer")
    if bias is not None:
        check_length("conv2d", "bias", bias, outputs, f"weight {weight.shape} has {outputs} filters")
    answer = output_size(height, kh, 1, padding), output_size(width, kw, 1, padding)
    if min(answer) < 1:
        raise ShapeError(f"conv2d: x {x.shape} padded by {padding} is smaller than the filters of weight "
                         f"{weight.shape}; give a larger x or more padding")
    return n, outputs, *answer


def reflection_pad2d(x, size=1):
    """x (N, C, H, W) → (N, C, H + 2·size, W + 2·size)."""
    check_arrays("reflection_pad2d", x=(x, "N C H W"))
    check_integer("reflection_pad2d", "size", size, 0)
    height, width = x.shape[2:]
    if size >= min(height, width):
        raise ShapeError(f"reflection_pad2d: x {x.shape} has no {size} pixels beside its border to mirror; "
                         "give a larger x or a smaller size")
    return *x.shape[:2], height + 2 * size, width + 2 * size


def maxpool2d(x, size=2, stride=2, ceil_mode=False):
    """x (N, C, H, W) → (N, C, H′, W′)."""
    return pooled("maxpool2d", x, size, stride, ceil_mode)


def avgpool2d(x, size=2, stride=2):
    """x (N, C, H, W) → (N, C, H′, W′)."""
    return pooled("avgpool2d", x, size, stride, False)


def pooled(op, x, size, stride, ceil_mode):
    """x (N, C, H, W) → (N, C, H′, W′), with `op` as the operation's name in errors."""
    check_arrays(op, x=(x, "N C H W"))
    check_integer(op, "size", size, 1)
    check_integer(op, "stride", stride, 1)
    answer = tuple(output_size(extent, size, stride, 0, ceil_mode) for extent in x.shape[2:])
    if min(answer) < 1:
        raise ShapeError(f"{op}: x {x.shape} is smaller than one window of {size}×{size}; "
                         "give a larger x or a smaller window")
    return *x.shape[:2], *answer


def batchnorm2d(x, weight, bias, mean, var, eps=1e-5):
    """x (N, C, H, W), the others (C,) → (N, C, H, W)."""
    return normalised("batchnorm2d", x, "N C H W", "channels", weight, bias, mean, var, eps)


def batchnorm1d(x, weight, bias, mean, var, eps=1e-5):
    """x (N, features), the others (features,) → (N, features)."""
    return normalised("batchnorm1d", x, "N features", "features", weight, bias, mean, var, eps)


def normalised(op, x, axes, what, weight, bias, mean, var, eps):
    """x and vectors along its second axis → the shape of x, with `op` as the operation's name in errors."""
    vectors, axis = {"weight": weight, "bias": bias, "mean": mean, "var": var}, axes.split()[1]
    check_arrays(op, x=(x, axes), **{name: (vector, axis) for name, vector in vectors.items()})
    check_number(op, "eps", eps, 0)
    for name, vector in vectors.items():
        check_length(op, name, vector, x.shape[1], f"x {x.shape} has {x.shape[1]} {what}")
    return x.shape


def relu(x):
    """x of any shape → the same shape."""
    check_arrays("relu", x=(x, None))
    return x.shape


def dense(x, weight, bias):
    """x (N, inputs), weight (outputs, inputs), bias (outputs,) → (N, outputs)."""
    check_arrays("dense", x=(x, "N inputs"), weight=(weight, "outputs inputs"), bias=(bias, "outputs"))
    outputs, inputs = weight.shape
    if x.shape[1] != inputs:
        raise ShapeError(f"dense: x {x.shape} has {x.shape[1]} features but weight {weight.shape} expects {inputs}; "
                         f"give it an x with {inputs} features or the weight of another layer")
    check_length("dense", "bias", bias, outputs, f"weight {weight.shape} has {outputs} outputs")
    return x.shape[0], outputs


def local_response_norm(x, size=5, alpha=1e-4, beta=0.75, k=2.0):
    """x (N, C, H, W) → (N, C, H, W)."""
    check_arrays("local_response_norm", x=(x, "N C H W"))
    check_integer("local_response_norm", "size", size, 1)
    for name, value in (("alpha", alpha), ("beta", beta), ("k", k)):
        check_number("local_response_norm", name, value)
    return x.shape


def adaptive_avgpool2d(x, size=7):
    """x (N, C, H, W) → (N, C, size, size)."""
    return pooled_to("adaptive_avgpool2d", x, size)


def adaptive_maxpool2d(x, size=7):
    """x (N, C, H, W) → (N, C, size, size)."""
    return pooled_to("adaptive_maxpool2d", x, size)


def pooled_to(op, x, size):
    """x (N, C, H, W) → (N, C, size, size), with `op` as the operation's name in errors."""
    check_arrays(op, x=(x, "N C H W"))
    check_integer(op, "size", size, 1)
    return *x.shape[:2], size, size


def softmax(x):
    """x (…, classes) → (…, classes)."""
    return last_axis("softmax", x)


def log_softmax(x):
    """x (…, classes) → (…, classes)."""
    return last_axis("log_softmax", x)


def flatten(x):
    """x (N, …) → (N, features)."""
    check_arrays("flatten", x=(x, None))
    if x.ndim < 2:
        raise ShapeError(f"flatten: x {x.shape} has {x.ndim} axes, expected at least 2, the first for the images; "
                         "add one with x[np.newaxis]")
    return x.shape[0], math.prod(x.shape[1:])


def dropout(x, p=0.5):
    """x of any shape → the same shape."""
    check_arrays("dropout", x=(x, None))
    check_number("dropout", "p", p, 0, 1)
    return x.shape


def last_axis(op, x):
    """x (…, classes) → (…, classes), with `op` as the operation's name in errors."""
    check_arrays(op, x=(x, None))
    if x.ndim < 1 or x.shape[-1] < 1:
        raise ShapeError(f"{op}: x {x.shape} has no classes along its last axis; give at least one")
    return x.shape


def check_arrays(op, **arrays):
    """Each of name=(array, "N C H W") holds floats, has those axes (None: any) and the dtype of the first."""
    first = next(iter(arrays))
    for name, (array, axes) in arrays.items():
        if not isinstance(array, (np.ndarray, Outline)):
            raise ShapeError(f"{op}: {name} is a {type(array).__name__}, expected a NumPy array; "
                             f"convert it with np.asarray({name}, np.float32)")
        if array.dtype not in (np.float32, np.float64):
            raise ShapeError(f"{op}: {name} is {array.dtype}, expected float32 or float64; "
                             f"convert it with {name}.astype(np.float32)")
        if array.dtype != arrays[first][0].dtype:
            expected = arrays[first][0].dtype
            raise ShapeError(f"{op}: {first} is {expected} but {name} is {array.dtype}, expected one dtype; "
                             f"convert one of them, for example with {name}.astype(np.{expected})")
        if axes is None:
            continue
        letters = axes.split()
        shape = f"({', '.join(letters)}{',' if len(letters) == 1 else ''})"
        if array.ndim != len(letters):
            raise ShapeError(f"{op}: {name} {array.shape} has {array.ndim} axes, expected {len(letters)}, {shape}; "
                             "reshape it or add the missing axis with np.newaxis")
        empty = [letter for letter, extent in zip(letters, array.shape) if extent < 1 and letter != "N"]
        if empty:
            raise ShapeError(f"{op}: {name} {array.shape} is empty along {empty[0]} of {shape}; "
                             "give at least 1 there, only N may be 0")


def check_length(op, name, vector, expected, because):
    """The vector has shape (expected,); `because` is the first half of the ShapeError."""
    if vector.shape != (expected,):
        raise ShapeError(f"{op}: {because} but {name} {vector.shape} holds {vector.shape[0]}; "
                         f"give it a {name} of shape ({expected},)")


def check_integer(op, name, value, least):
    """The value is a whole number of at least `least`, not a bool; UsageError otherwise."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise UsageError(f"{op}: {name} is {value!r}, expected a whole number of at least {least}; change {name}")


def check_number(op, name, value, least=-math.inf, most=math.inf):
    """The value is a real number from `least` to `most`, not a bool and not NaN; UsageError otherwise."""
    if isinstance(value, bool) or not isinstance(value, Real) or not least <= value <= most:
        limits = f" from {least} to {most}" if most < math.inf else f" of at least {least}" if least > -math.inf else ""
        raise UsageError(f"{op}: {name} is {value!r}, expected a number{limits}; change {name}")


OPERATIONS = {operation.__name__: operation for operation in (
    reflection_pad2d, conv2d, batchnorm2d, relu, maxpool2d, avgpool2d, local_response_norm, adaptive_avgpool2d,
    adaptive_maxpool2d, flatten, dense, batchnorm1d, dropout, softmax, log_softmax)}
