"""The nodes on features: flattening, dense layers, and what makes probabilities of their outputs.

Each function takes the `operators.Walk` so far and a `chain.Node`, and takes away the attributes that it knows.
Source: onnx/docs/Operators.md: Flatten, Reshape, Gemm, MatMul, Softmax, LogSoftmax, Sigmoid; com.microsoft.FusedGemm.
"""
import math

import numpy as np

from npvgg.errors import BadFileError
from weights_convert.formats.layers import CHANNELS_LAST, FLAT, MAPS
from weights_convert.formats.onnx.attributes import constant, is_list, require, short, unsupported
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
    if layers.layout not in (MAPS, CHANNELS_LAST, FLAT) and layers.side != 1:
        raise unsupported(node, f"flattens maps whose axes are {layers.layout}; npvgg reads {MAPS} and {CHANNELS_LAST}")
    if not layers.is_flat:
        layers.takes_shift = None
    layers.flatten()


def reshape(layers, node):
    """A Reshape to (batch, everything else), which may be written as a product of sizes."""
    wanted = node.sizes if node.sizes is not None else node.attributes.pop("shape", None)
    node.attributes.pop("consumed_inputs", None)
    node.attributes.pop("allowzero", None)
    is_pair = is_list(wanted, 2, (int, str)) and (wanted[0] == BATCH or isinstance(wanted[0], int))
    if is_pair and is_product(layers, wanted[1]):
        wanted = [wanted[0], -1] if wanted[0] != -1 else [BATCH, -1]
    if not is_pair or not isinstance(wanted[1], int) or wanted[1] == 0 or wanted == [-1, -1]:
        raise unsupported(node, f"reshapes to {short(wanted)}; npvgg reads it where it flattens: (N, C·H·W)")
    dense = [arrays for kind, arrays in layers.steps if kind == "dense"]
    numbers = len(dense[-1]["W"]) if dense else layers.channels * (layers.side or 0)**2
    if numbers and wanted[1] not in (-1, numbers):
        raise BadFileError(f"its node {node.shown} reshapes {numbers:,} numbers a picture to {wanted[1]:,}; export it again")
    become_flat(layers, node)


def is_product(layers, size):
    """Whether a size is that of all axes but the batch's: "123", or fewer where the others are 1."""
    return isinstance(size, str) and size in ("123", *(("1", "2", "3") if layers.side == 1 else "1" if layers.is_flat else ()))


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
    weight = weight if is_transposed else weight.T
    dense_layer(layers, node, scaled(weight, alpha), None if bias is None else scaled(bias, beta))


def fused_gemm(layers, node):
    """ONNX Runtime's Gemm with the ReLU behind it in one node."""
    activation = node.attributes.pop("activation", "")
    if activation != "Relu":
        raise unsupported(node, f"ends with the activation {short(activation)}; npvgg reads Relu")
    gemm(layers, node)
    layers.takes_bias = None
    layers.relu()


def scaled(array, factor):
    """The array times a factor, rounded once to float32; the array itself where the factor is 1 or it holds no floats."""
    return array if factor == 1 or array.dtype.kind != "f" else (array.astype(np.float64) * factor).astype(np.float32)


def matmul(layers, node):
    """MatMul: features by a weight (inputs, outputs), a dense layer without bias until an Add follows."""
    weight = constant(node, 1)
    require_flat(layers, node)
    if weight.ndim != 2:
        raise unsupported(node, f"multiplies by an array of the shape {weight.shape}; npvgg reads a matrix")
    dense_layer(layers, node, weight.T, None)


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
    layers.takes_shift = None
    arrays = layers.dense(weight, np.zeros(outputs, np.float32) if bias is None else vector(bias, outputs, node))
    layers.takes_bias = arrays if bias is None else None


def vector(bias, outputs, node, axis=-1):
    """A bias in any shape that is broadcast along the outputs, which are the axis `axis` → (O,)."""
    whole = [1] * max(bias.ndim, -axis)
    whole[axis] = outputs
    if bias.size != 1 and bias.shape != tuple(whole[-bias.ndim:]):
        raise BadFileError(f"its node {node.shown} has a bias of the shape {bias.shape} for {outputs} outputs; export it again")
    return np.broadcast_to(bias.reshape(-1), (outputs,))


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
