"""Nodes → the layers of a VGG.

    features    ([Pad] Conv [BatchNormalization] Relu [LRN])… MaxPool or AveragePool, five times
    head        in any order: AveragePool, MaxPool, GlobalAveragePool, GlobalMaxPool, ReduceMean, ReduceMax; Flatten, Reshape
                or Squeeze; Gemm, MatMul + Add, or a Conv that covers the map; BatchNormalization; Relu; Dropout
    end         Softmax, Sigmoid, LogSoftmax, or nothing

Transpose and Squeeze change what the axes are; Mul and Add by a number a channel are a batch norm.  Every attribute has to be
one that a VGG has.  Source: onnx/docs/Operators.md, Changelog.md; onnxruntime/docs/ContribOperators.md.
"""
from dataclasses import dataclass, field

import numpy as np

from npvgg.errors import NpvggError
from weights_convert.formats.layers import MAPS, Layers
from weights_convert.formats.onnx import classifier, features
from weights_convert.formats.onnx.attributes import unsupported
from weights_convert.refusals import damaged

FLOAT_TYPES = (1, 10, 11, 16)
NCHWC = "com.microsoft.nchwc."            # ONNX Runtime's layout for one kind of processor


@dataclass
class Walk(Layers):
    """The layers so far, and what a later node may still add to them."""

    opset: int = 0
    takes_bias: dict | None = None        # the arrays of the layer before, whose bias may still come from an Add
    takes_shift: dict | None = None       # the same of a factor before, which an Add may turn into a whole batch norm
    reduced: dict = field(default_factory=dict)       # "H", "W" → "avg" or "max": one axis of a map, before the other


def read(nodes, opset, layout, size):
    """[Node, …], the opset, the layout and the side of the pictures or None → Walk.  BadFileError, UnsupportedError."""
    layers = Walk(opset=opset, side=size, layout=layout)
    for node in nodes:
        if node.op.startswith(NCHWC):
            raise unsupported(node, "is laid out for one kind of processor; let ONNX Runtime write the model at a lower level "
                                    "of optimisation, or give the file that it was made of")
        if node.op not in OPERATORS:
            known = ", ".join(name for name in OPERATORS if "." not in name)
            raise unsupported(node, f"is none of a VGG's; npvgg knows {known}")
        is_late = layers.is_flat and node.op in (*OF_MAPS, *OF_AXES) or layers.has_ended and node.op not in ("Identity", "Cast")
        is_halfway = layers.reduced and node.op not in ("Identity", "Cast", *OF_AXES)
        if is_late or is_halfway or layers.border and node.op not in CONVOLUTIONS:
            raise unsupported(node, "stands where a VGG has none")
        if node.op in OF_MAPS and layers.layout != MAPS:
            raise unsupported(node, f"takes maps whose axes are {layers.layout} where {MAPS} belongs")
        try:
            OPERATORS[node.op](layers, node)
        except NpvggError:
            raise
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError):
            raise damaged(f"its node {node.shown} has attributes or inputs that do not fit it") from None
        if node.attributes:
            raise unsupported(node, f"has the attribute {min(node.attributes)[:40]!r}, which npvgg does not know")
    return layers


# ------------------------------------------------------------------------------------------------- what changes nothing


def dropout(layers, node):
    """In inference it hands on what it gets."""
    ratio = node.attributes.pop("ratio", 0.5)
    for name in ("seed", "is_test", "consumed_inputs"):
        node.attributes.pop(name, None)
    if len(node.inputs) > 2 and np.any(node.inputs[2]):
        raise unsupported(node, "is in training; export the network in evaluation mode")
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        ratio = node.inputs[1].reshape(-1)[0]
    layers.dropout(features.shortest(ratio))


def identity(layers, node):
    """Identity: no layer."""


def cast(layers, node):
    """Cast between kinds of float: no layer.  UnsupportedError for whole numbers."""
    node.attributes.pop("saturate", None)
    if node.attributes.pop("to", None) not in FLOAT_TYPES:
        raise unsupported(node, "turns the picture into whole numbers; npvgg reads networks in floating point")


CONVOLUTIONS = ("Conv", "com.microsoft.FusedConv")
OF_MAPS = (*CONVOLUTIONS, "Pad", "LRN", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool")
OF_AXES = ("ReduceMean", "ReduceMax", "Squeeze", "Transpose")        # and of maps in any layout
OPERATORS = {
    "Conv": features.conv, "com.microsoft.FusedConv": features.fused_conv, "Pad": features.pad,
    "BatchNormalization": features.batch_norm, "Relu": features.relu,
    "LRN": features.response_norm, "MaxPool": features.max_pool, "AveragePool": features.average_pool,
    "GlobalAveragePool": features.global_average, "GlobalMaxPool": features.global_maximum,
    "ReduceMean": features.reduced_mean, "ReduceMax": features.reduced_maximum,
    "Transpose": features.transpose, "Squeeze": features.squeeze,
    "Mul": features.multiply, "Div": features.divide, "Sub": features.subtract, "Add": features.add,
    "Flatten": classifier.flatten, "Reshape": classifier.reshape, "Gemm": classifier.gemm,
    "com.microsoft.FusedGemm": classifier.fused_gemm, "MatMul": classifier.matmul, "Softmax": classifier.softmax,
    "LogSoftmax": classifier.log_softmax, "Sigmoid": classifier.sigmoid,
    "Dropout": dropout, "Identity": identity, "Cast": cast,
}
