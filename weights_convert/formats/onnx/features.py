"""The nodes before the classifier: convolutions, batch norm, ReLU, local response normalisation, pooling.

A missing bias is one of zeros.  Batch norm divides by √(variance + ε), so an ε other than ours moves into the variances.
Each function takes the `layers.Layers` so far and a `chain.Node`, and takes away the attributes that it knows.
Source: onnx/docs/Operators.md: Conv, Pad, BatchNormalization, LRN, MaxPool, AveragePool, GlobalAveragePool, ReduceMean.
"""
import numpy as np

from npvgg.architecture import BLOCKS
from weights_convert.formats.onnx.attributes import constant, is_list, moved, require, short, unsupported
from weights_convert.formats.onnx.classifier import dense_layer
from weights_convert.refusals import damaged

EPSILON = 1e-5
LARGEST_EPSILON = 0.1
LRN = {"size": 5, "alpha": 1e-4, "beta": 0.75, "bias": 2.0}


def conv(found, node):
    weight, bias = constant(node, 1), constant(node, 2, optional=True)
    if weight.ndim != 4 or weight.shape[2] != weight.shape[3] or 0 in weight.shape:
        raise unsupported(node, f"has filters of the shape {weight.shape}; a VGG's are square")
    side = weight.shape[2]
    pads = padding(node, side)
    mode, border = found.border or ("constant", 0)
    found.border = ()
    if mode == "reflect" and any(pads):
        raise unsupported(node, "pads a border that is reflected already")
    is_dense = found.block > BLOCKS
    require(node, {"kernel_shape": [side, side], "strides": [1, 1], "dilations": [1, 1], "group": 1})
    if {pad + border for pad in pads} != {0 if is_dense else side // 2} or side % 2 == 0 and not is_dense:
        raise unsupported(node, f"has the padding {[pad + border for pad in pads]} with filters of "
                               f"{side}×{side}; a VGG keeps the size of the map, and after pool5 covers it")
    if is_dense:
        if side != (found.side or side):
            raise unsupported(node, f"has filters of {side}×{side} on a map of {found.side}; npvgg reads "
                                   "a convolution after pool5 where it covers the map")
        found.side = 1
        return dense_layer(found, node, weight.reshape(len(weight), -1), bias)
    found.position += 1
    if mode == "reflect":
        found.order.append(f"pad{found.here}")
    found.channels = len(weight)
    layer = f"conv{found.here}"
    found.add_parameters(layer, W=weight, B=np.zeros(len(weight), np.float32) if bias is None else bias)
    found.takes_bias = layer if bias is None else ""


def padding(node, side):
    """The four paddings that a Conv node names."""
    how, given = node.attributes.pop("auto_pad", "NOTSET"), node.attributes.pop("pads", [0] * 4)
    if how in ("SAME_UPPER", "SAME_LOWER"):
        return [side // 2] * 4                                       # with a stride of 1
    if how not in ("NOTSET", "VALID") or not is_list(given, 4):
        raise damaged(f"its node {node.shown} has paddings that cannot be read")
    return [0] * 4 if how == "VALID" else given


def pad(found, node):
    mode = node.attributes.pop("mode", "constant")
    given = moved(node, node.attributes.pop("pads", node.attributes.pop("paddings", None)))
    fill = node.attributes.pop("value", 0) if len(node.inputs) < 3 or node.inputs[2] is None else node.inputs[2]
    has_axes = len(node.inputs) > 3 and node.inputs[3] is not None
    if mode not in ("constant", "reflect") or np.any(fill) or has_axes or not is_list(given, 8) or given[2] < 0 \
            or given != [0, 0, given[2], given[2]] * 2:
        raise unsupported(node, f"pads by {short(given)} in the mode {short(mode)}; npvgg reads equal borders of "
                                "zeros, and reflected ones")
    if given[2]:
        found.border = (mode, given[2])


def batch_norm(found, node):
    scale, shift, mean, variance = (constant(node, at) for at in (1, 2, 3, 4))
    epsilon = node.attributes.pop("epsilon", EPSILON)
    for name in ("momentum", "spatial", "consumed_inputs"):
        node.attributes.pop(name, None)
    require(node, {"training_mode": 0, "is_test": 1})
    if not isinstance(epsilon, float) or not 0 < epsilon <= LARGEST_EPSILON:
        raise unsupported(node, f"has the epsilon {short(epsilon)}; npvgg reads those up to {LARGEST_EPSILON}")
    if np.float32(epsilon) != np.float32(EPSILON) and variance.dtype.kind == "f":
        variance = (variance.astype(np.float64) + (epsilon - EPSILON)).astype(np.float32)
        if "epsilon" not in "".join(found.remarks):
            found.remarks.append(f"batch norm's epsilon is {epsilon:.3g}; its difference from ours, {EPSILON:g}, was added to "
                                 "the variances")
    found.takes_bias = ""
    found.add_parameters(f"bn{found.here}", W=scale, B=shift, mean=mean, var=variance)


def relu(found, node):
    node.attributes.pop("consumed_inputs", None)
    found.takes_bias = ""
    found.order.append(f"relu{found.here}")


def response_norm(found, node):
    defaults = {"alpha": 1e-4, "beta": 0.75, "bias": 1.0}
    given = {name: node.attributes.pop(name, defaults.get(name)) for name in LRN}
    is_ours = [type(given[name]) in (int, float) and np.float32(given[name]) == np.float32(LRN[name]) for name in LRN]
    if not all(is_ours):
        raise unsupported(node, f"normalises with {short(given)}; A-LRN does with {LRN}")
    found.order.append(f"lrn{found.block}")


def max_pool(found, node):
    check_window(node, [2, 2], is_even=found.side is not None and found.side % 2 == 0)
    found.order.append(f"pool{found.block}")
    found.block, found.position = found.block + 1, 0
    found.side = None if found.side is None else found.side // 2


def check_window(node, window, is_even):
    """Refuse a window other than this one, or with a step or a border other than a VGG's."""
    node.attributes.pop("storage_order", None)
    node.attributes.pop("count_include_pad", None)
    how, ceil = node.attributes.pop("auto_pad", "NOTSET"), node.attributes.pop("ceil_mode", 0)
    # On an even map rounding up and padding to the same size change nothing.
    if (how not in ("NOTSET", "VALID") or ceil) and not is_even:
        raise unsupported(node, "rounds up the size of a map that is odd or not told; npvgg rounds down")
    given = {"kernel_shape": node.attributes.pop("kernel_shape", None), "strides": node.attributes.pop("strides", [1, 1])}
    expected = {"kernel_shape": window, "strides": window}
    if given != expected:
        raise unsupported(node, f"pools with {short(given)} where a VGG has {expected}")
    require(node, {"pads": [0] * 4, "dilations": [1, 1]})


def average_pool(found, node):
    window = node.attributes.get("kernel_shape")
    if not is_list(window, 2) or len(set(window)) != 1 or window[0] < 1:
        raise unsupported(node, f"pools with a window of {short(window)}; npvgg reads square ones")
    if window != [1, 1]:
        require_pooling(found, node)
        if found.side is None or found.side % window[0]:
            raise unsupported(node, f"pools {window[0]}×{window[0]} on a map of side {found.side or 'unknown'}; npvgg reads "
                                    "windows that divide the map")
        found.side //= window[0]
    check_window(node, window, is_even=True)


def global_pool(found, node):
    if not found.dense:
        require_pooling(found, node)
        found.side, found.is_pooled_to_one = 1, True
    elif found.side != 1:
        raise unsupported(node, "stands where a VGG has none")


def reduced_mean(found, node):
    """The mean over the map, whose two sides become 1 or vanish."""
    given = moved(node, node.attributes.pop("axes", None))
    require(node, {"noop_with_empty_axes": 0})
    if sorted(axis % 4 for axis in given) != [2, 3]:
        raise unsupported(node, f"takes the mean over the axes {short(given)}; npvgg reads that over a map")
    global_pool(found, node)
    found.is_flat = not node.attributes.pop("keepdims", 1)


def require_pooling(found, node):
    """Refuse a mean anywhere but between pool5 and the classifier."""
    if found.block <= BLOCKS or found.dense:
        raise unsupported(node, "stands where a VGG has none")
