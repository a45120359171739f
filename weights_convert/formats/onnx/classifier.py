"""The nodes on features: flattening, dense layers, and what makes probabilities of their outputs.

Each function takes the `layers.Layers` so far and a `chain.Node`, and takes away the attributes that it knows.
Source: onnx/docs/Operators.md: Flatten, Reshape, Squeeze, Gemm, MatMul, Add, Softmax,
LogSoftmax, Sigmoid.
"""
import math

import numpy as np

from npvgg.errors import BadFileError
from weights_convert.formats.onnx.attributes import constant, is_list, moved, require, short, unsupported
from weights_convert.formats.onnx.chain import BATCH


def flatten(layers, node):
    """Flatten: the maps become a row of features.  UnsupportedError for another axis than the channels'."""
    axis = node.attributes.pop("axis", 1)
    if axis not in ((1, -1) if layers.is_flat else (1, -3)):
        raise unsupported(node, f"flattens from axis {short(axis)}; npvgg reads axis 1")
    become_flat(layers, node)


def become_flat(layers, node):
    """From here on arrays of two axes."""
    if not layers.is_head:
        raise unsupported(node, "stands before the last of five poolings, where a VGG has none")
    layers.is_flat = True
    layers.flatten()


def reshape(layers, node):
    """A Reshape to (batch, everything else)."""
    wanted = node.sizes if node.sizes is not None else node.attributes.pop("shape", None)
    node.attributes.pop("consumed_inputs", None)
    node.attributes.pop("allowzero", None)
    is_pair = is_list(wanted, 2, (int, str)) and (wanted[0] == BATCH or isinstance(wanted[0], int))
    if not is_pair or not isinstance(wanted[1], int) or wanted[1] == 0 or wanted == [-1, -1]:
        raise unsupported(node, f"reshapes to {short(wanted)}; npvgg reads it where it flattens: (N, C·H·W)")
    dense = [arrays for kind, arrays in layers.steps if kind == "dense"]
    numbers = len(dense[-1]["W"]) if dense else layers.channels * (layers.side or 0)**2
    if numbers and wanted[1] not in (-1, numbers):
        raise BadFileError(f"its node {node.shown} reshapes {numbers:,} numbers a picture to {wanted[1]:,}; export it again")
    become_flat(layers, node)


def squeeze(layers, node):
    """Squeeze: a map of 1×1 becomes a row of features.  UnsupportedError for larger maps or other axes."""
    axes = node.attributes.pop("axes", None)
    if len(node.inputs) > 1:
        axes = moved(node, axes)
    if layers.side != 1 or not axes or sorted(axis % 4 for axis in axes) != [2, 3]:
        raise unsupported(node, f"removes the axes {short(axes)}; npvgg reads that for a map of 1×1")
    become_flat(layers, node)


def gemm(layers, node):
    """y = alpha · x · B + beta · C, where B may be transposed."""
    weight, bias = constant(node, 1), constant(node, 2, optional=True)
    alpha, beta = (node.attributes.pop(name, 1.0) for name in ("alpha", "beta"))
    is_transposed = node.attributes.pop("transB", 0)
    node.attributes.pop("broadcast", None)
    require(node, {"transA": 0})
    if weight.ndim != 2 or not all(isinstance(factor, float) and math.isfinite(factor) for factor in (alpha, beta)):
        raise unsupported(node, f"has a weight of the shape {weight.shape}, or factors that are no numbers")
    require_flat(layers, node)
    weight = weight if is_transposed else np.ascontiguousarray(weight.T)
    dense_layer(layers, node, scaled(weight, alpha), None if bias is None else scaled(bias, beta))


def scaled(array, factor):
    """The array times a factor, rounded once to float32; the array itself where the factor is 1 or it holds no floats."""
    return array if factor == 1 or array.dtype.kind != "f" else (array.astype(np.float64) * factor).astype(np.float32)


def matmul(layers, node):
    """MatMul: features by a weight (inputs, outputs), a dense layer without bias until an Add follows."""
    weight = constant(node, 1)
    require_flat(layers, node)
    if weight.ndim != 2:
        raise unsupported(node, f"multiplies by an array of the shape {weight.shape}; npvgg reads a matrix")
    dense_layer(layers, node, np.ascontiguousarray(weight.T), None)


def require_flat(layers, node):
    """UnsupportedError unless the maps were flattened."""
    if not layers.is_flat:
        raise unsupported(node, "is applied to a map that was not flattened")


def dense_layer(layers, node, weight, bias):
    """A dense layer's (O, I) weight and its bias, as a vector or to be broadcast to one."""
    outputs, inputs = weight.shape
    if not layers.is_dense and layers.is_flat and layers.side and inputs != layers.channels * layers.side**2:
        raise BadFileError(f"its node {node.shown} takes {inputs:,} numbers from maps of {layers.channels}×{layers.side}×"
                           f"{layers.side}; export it again")
    arrays = layers.step("dense", W=weight, B=np.zeros(outputs, np.float32) if bias is None else vector(bias, outputs, node))
    layers.takes_bias = arrays if bias is None else None


def add(layers, node):
    """The bias of the layer before, which had none."""
    bias = next((array for array in node.inputs if array is not None), None)
    axis = node.attributes.pop("axis", None)                         # to opset 6, with broadcast
    node.attributes.pop("broadcast", None)
    if layers.takes_bias is None or bias is None or axis not in (None, 1):
        raise unsupported(node, "adds something that is no bias; a VGG does not")
    if axis == 1 and not layers.is_flat:
        bias = bias.reshape(*bias.shape, 1, 1)
    outputs = len(layers.takes_bias["W"])
    layers.takes_bias["B"] = vector(bias, outputs, node, axis=-1 if layers.is_flat else -3)
    layers.takes_bias = None


def vector(bias, outputs, node, axis=-1):
    """A bias in any shape that is broadcast along the outputs, which are the axis `axis` → (O,)."""
    whole = [1] * max(bias.ndim, -axis)
    whole[axis] = outputs
    if bias.size != 1 and bias.shape != tuple(whole[-bias.ndim:]):
        raise BadFileError(f"its node {node.shown} has a bias of the shape {bias.shape} for {outputs} outputs; export it again")
    return np.ascontiguousarray(np.broadcast_to(bias.reshape(-1), (outputs,)))


def softmax(layers, node):
    """Softmax over the classes: the file's own output is probabilities."""
    over_classes(layers, node)
    layers.output, layers.source_output = "softmax", "probabilities"


def log_softmax(layers, node):
    """Logits minus a number a picture, log Σ exp: their soft-max is the same."""
    over_classes(layers, node)
    layers.output = "softmax"
    layers.remarks.append("its last layer, LogSoftmax, is left out: the answers here are the logits before it, whose soft-max "
                          "is the same")


def over_classes(layers, node):
    """The network ends here.  UnsupportedError unless a dense layer stands before, and for another axis than the classes'."""
    axis = node.attributes.pop("axis", 1 if layers.opset < 13 else -1)
    require_dense(layers, node)
    if axis not in (1, -1):
        raise unsupported(node, f"is taken along axis {short(axis)}; a VGG's runs over the classes")
    layers.has_ended = True


def sigmoid(layers, node):
    """Sigmoid behind a dense layer: the file's own output is probabilities of labels that are independent."""
    require_dense(layers, node)
    node.attributes.pop("consumed_inputs", None)
    layers.output, layers.source_output, layers.has_ended = "sigmoid", "probabilities", True


def require_dense(layers, node):
    """Probabilities are taken of what a dense layer gives."""
    require_flat(layers, node)
    if not [kind for kind, _ in layers.steps if not kind.startswith("drop")][-1:] == ["dense"]:
        raise unsupported(node, "makes probabilities of something other than a dense layer's outputs; a VGG does not")
