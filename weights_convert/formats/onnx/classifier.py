"""The nodes of the classifier: flattening, dense layers, soft-max.

Each function takes the `layers.Layers` so far and a `chain.Node`, and takes away the attributes that it knows.
Source: onnx/docs/Operators.md: Flatten, Reshape, Squeeze, Gemm, MatMul, Add, Softmax.
"""
import math

import numpy as np

from npvgg.errors import BadFileError
from weights_convert.formats.onnx.attributes import constant, is_list, moved, require, short, unsupported
from weights_convert.formats.onnx.chain import BATCH


def flatten(found, node):
    axis = node.attributes.pop("axis", 1)
    if axis not in ((1, -1) if found.is_flat else (1, -3)):
        raise unsupported(node, f"flattens from axis {short(axis)}; npvgg reads axis 1")
    found.is_flat = True


def reshape(found, node):
    """A Reshape to (batch, everything else)."""
    wanted = node.sizes if node.sizes is not None else node.attributes.pop("shape", None)
    node.attributes.pop("consumed_inputs", None)
    node.attributes.pop("allowzero", None)
    is_pair = is_list(wanted, 2, (int, str)) and (wanted[0] == BATCH or isinstance(wanted[0], int))
    if not is_pair or not isinstance(wanted[1], int) or wanted[1] == 0 or wanted == [-1, -1]:
        raise unsupported(node, f"reshapes to {short(wanted)}; npvgg reads it where it flattens: (N, C·H·W)")
    numbers = len(found.tensors[f"fc{found.here}.W"]) if found.dense else found.channels * (found.side or 0)**2
    if numbers and wanted[1] not in (-1, numbers):
        raise BadFileError(f"its node {node.shown} reshapes {numbers:,} numbers a picture to {wanted[1]:,}; export it again")
    found.is_flat = True


def squeeze(found, node):
    given = node.attributes.pop("axes", None)
    if len(node.inputs) > 1:
        given = moved(node, given)
    if found.side != 1 or not given or sorted(axis % 4 for axis in given) != [2, 3]:
        raise unsupported(node, f"removes the axes {short(given)}; npvgg reads that for a map of 1×1")
    found.is_flat = True


def gemm(found, node):
    """y = alpha · x · B + beta · C, where B may be transposed."""
    weight, bias = constant(node, 1), constant(node, 2, optional=True)
    alpha, beta = (node.attributes.pop(name, 1.0) for name in ("alpha", "beta"))
    is_transposed = node.attributes.pop("transB", 0)
    node.attributes.pop("broadcast", None)
    require(node, {"transA": 0})
    if weight.ndim != 2 or not all(isinstance(factor, float) and math.isfinite(factor) for factor in (alpha, beta)):
        raise unsupported(node, f"has a weight of the shape {weight.shape}, or factors that are no numbers")
    require_flat(found, node)
    weight = weight if is_transposed else np.ascontiguousarray(weight.T)
    dense_layer(found, node, scaled(weight, alpha), None if bias is None else scaled(bias, beta))


def scaled(array, factor):
    return array if factor == 1 or array.dtype.kind != "f" else (array.astype(np.float64) * factor).astype(np.float32)


def matmul(found, node):
    weight = constant(node, 1)
    require_flat(found, node)
    if weight.ndim != 2:
        raise unsupported(node, f"multiplies by an array of the shape {weight.shape}; npvgg reads a matrix")
    dense_layer(found, node, np.ascontiguousarray(weight.T), None)


def require_flat(found, node):
    if not found.is_flat:
        raise unsupported(node, "is applied to a map that was not flattened")


def dense_layer(found, node, weight, bias):
    """A dense layer's (O, I) weight and its bias, as a vector or to be broadcast to one."""
    outputs, inputs = weight.shape
    if not found.dense and found.is_flat and found.side and inputs != found.channels * found.side**2:
        raise BadFileError(f"its node {node.shown} takes {inputs:,} numbers from maps of {found.channels}×{found.side}×"
                           f"{found.side}; export it again")
    found.dense += 1
    layer = f"fc{found.here}"
    found.add_parameters(layer, W=weight, B=np.zeros(outputs, np.float32) if bias is None else vector(bias, outputs, node))
    found.takes_bias = layer if bias is None else ""


def add(found, node):
    """The bias of the layer before, which had none."""
    bias = next((array for array in node.inputs if array is not None), None)
    axis = node.attributes.pop("axis", None)                         # to opset 6, with broadcast
    node.attributes.pop("broadcast", None)
    if not found.takes_bias or bias is None or axis not in (None, 1):
        raise unsupported(node, "adds something that is no bias; a VGG does not")
    if axis == 1 and not found.is_flat:
        bias = bias.reshape(*bias.shape, 1, 1)
    outputs = len(found.tensors[f"{found.takes_bias}.W"])
    found.tensors[f"{found.takes_bias}.B"] = vector(bias, outputs, node, axis=-1 if found.is_flat else -3)
    found.takes_bias = ""


def vector(bias, outputs, node, axis=-1):
    """A bias in any shape that is broadcast along the outputs, which are the axis `axis` → (O,)."""
    whole = [1] * max(bias.ndim, -axis)
    whole[axis] = outputs
    if bias.size != 1 and bias.shape != tuple(whole[-bias.ndim:]):
        raise BadFileError(f"its node {node.shown} has a bias of the shape {bias.shape} for {outputs} outputs; export it again")
    return np.ascontiguousarray(np.broadcast_to(bias.reshape(-1), (outputs,)))


def softmax(found, node):
    axis = node.attributes.pop("axis", 1 if found.opset < 13 else -1)
    require_flat(found, node)
    if axis not in (1, -1):
        raise unsupported(node, f"is taken along axis {short(axis)}; a VGG's runs over the classes")
    found.output, found.has_ended = "probabilities", True
