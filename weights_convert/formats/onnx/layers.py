"""Nodes → the layers of a VGG: each gets the paper's name that belongs to its place.

    features    ([Pad] Conv [BatchNormalization] Relu [LRN])… MaxPool, five times
    pooling     AveragePool, GlobalAveragePool or ReduceMean, where the map is larger than the classifier wants
    classifier  Flatten or Reshape, then Gemm, MatMul + Add, or a Conv that covers the map; Relu; Dropout
    end         Softmax, or nothing

Whether these come in the right order is judged when the network is known (`verify.ordered`); here every attribute has to
be one that a VGG has.  Source: onnx/docs/Operators.md, Changelog.md.
"""
import math
from dataclasses import dataclass, field

import numpy as np

from npvgg.architecture import BLOCKS, MINIMUM_INPUT
from npvgg.errors import NpvggError, UnsupportedError
from weights_convert.formats.onnx import classifier, features
from weights_convert.formats.onnx.attributes import unsupported
from weights_convert.refusals import damaged

TYPICAL_INPUT = 224                       # side of the pictures where nothing in the file tells it
POOLED = 7                                # side of the map with which a network without classifier ends
FLOAT_TYPES = (1, 10, 11, 16)


def read(nodes, opset, size):
    """[Node, …], the opset, the side of the pictures or None → Layers.  BadFileError, UnsupportedError."""
    found = Layers(opset, side=size)
    for node in nodes:
        if node.op not in OPERATORS:
            raise unsupported(node, f"is none of a VGG's; npvgg knows {', '.join(OPERATORS)}")
        is_late = found.is_flat and node.op in OF_MAPS or found.has_ended and node.op not in ("Identity", "Cast")
        if is_late or found.border and node.op != "Conv":
            raise unsupported(node, "stands where a VGG has none")
        try:
            OPERATORS[node.op](found, node)
        except NpvggError:
            raise
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError):
            raise damaged(f"its node {node.shown} has attributes or inputs that do not fit it") from None
        if node.attributes:
            raise unsupported(node, f"has the attribute {min(node.attributes)[:40]!r}, which npvgg does not know")
    found.finish(size)
    return found


@dataclass
class Layers:
    """What has been read so far."""

    opset: int
    side: int | None                      # of the map now; None where the file leaves it open
    tensors: dict = field(default_factory=dict)       # "conv1_1.W" → array
    order: list = field(default_factory=list)         # "conv1_1", "relu1_1", … without what changes nothing
    remarks: list = field(default_factory=list)
    output: str = "logits"
    block: int = 1
    position: int = 0
    dense: int = 0
    channels: int = 3
    border: tuple = ()                    # (mode, size) of a Pad that waits for its convolution
    is_flat: bool = False
    takes_bias: str = ""                  # the layer whose bias may still come from an Add
    has_ended: bool = False
    is_pooled_to_one: bool = False
    input_size: int = 0                   # from here on what `finish` finds out
    pooled_size: int = 0

    @property
    def here(self):
        """The number of the last convolution or dense layer: "1_2", "6"."""
        return str(BLOCKS + self.dense) if self.dense else f"{self.block}_{self.position}"

    @property
    def padding_mode(self):
        return "reflect" if any(name.startswith("pad") for name in self.order) else "zeros"

    @property
    def has_lrn(self):
        return any(name.startswith("lrn") for name in self.order)

    def finish(self, size):
        """The sizes that follow from the whole."""
        if self.border:
            raise UnsupportedError("it ends with a border around its last map; no VGG does")
        first = self.tensors.get(f"fc{BLOCKS + 1}.W")
        if first is None:
            self.pooled_size = self.side or POOLED
            if self.pooled_size != POOLED or self.is_flat:
                raise UnsupportedError(f"it ends without a classifier at a map of {self.pooled_size}×{self.pooled_size}, or "
                                       f"flattened; npvgg's features end with a map of {POOLED}×{POOLED}")
            self.input_size = size or TYPICAL_INPUT
            return
        if not self.is_flat:
            raise UnsupportedError("it ends with a map of answers; npvgg reads networks that give one row for each picture")
        self.pooled_size = math.isqrt(first.shape[1] // max(1, self.channels))
        self.input_size = size or (TYPICAL_INPUT if self.is_pooled_to_one else MINIMUM_INPUT * max(1, self.pooled_size))

    def add_parameters(self, layer, **arrays):
        self.tensors |= {f"{layer}.{kind}": array for kind, array in arrays.items()}
        self.order.append(layer)


# ------------------------------------------------------------------------------------------------- what changes nothing


def dropout(found, node):
    """In inference it hands on what it gets."""
    for name in ("ratio", "seed", "is_test", "consumed_inputs"):
        node.attributes.pop(name, None)
    if len(node.inputs) > 2 and np.any(node.inputs[2]):
        raise unsupported(node, "is in training; export the network in evaluation mode")


def identity(found, node):
    pass


def cast(found, node):
    node.attributes.pop("saturate", None)
    if node.attributes.pop("to", None) not in FLOAT_TYPES:
        raise unsupported(node, "turns the picture into whole numbers; npvgg reads networks in floating point")


OF_MAPS = ("Conv", "Pad", "BatchNormalization", "LRN", "MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean", "Squeeze")
OPERATORS = {
    "Conv": features.conv, "Pad": features.pad, "BatchNormalization": features.batch_norm, "Relu": features.relu,
    "LRN": features.response_norm, "MaxPool": features.max_pool, "AveragePool": features.average_pool,
    "GlobalAveragePool": features.global_pool, "ReduceMean": features.reduced_mean,
    "Flatten": classifier.flatten, "Reshape": classifier.reshape, "Squeeze": classifier.squeeze, "Gemm": classifier.gemm,
    "MatMul": classifier.matmul, "Add": classifier.add, "Softmax": classifier.softmax,
    "Dropout": dropout, "Identity": identity, "Cast": cast,
}
