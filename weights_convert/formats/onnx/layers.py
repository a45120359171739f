"""Nodes → the layers of a VGG: each gets the paper's name that belongs to its place.

    features    ([Pad] Conv [BatchNormalization] Relu [LRN])… MaxPool or AveragePool, five times
    head        in any order: AveragePool, MaxPool, GlobalAveragePool, GlobalMaxPool, ReduceMean, ReduceMax; Flatten, Reshape
                or Squeeze; Gemm, MatMul + Add, or a Conv that covers the map; BatchNormalization; Relu; Dropout
    end         Softmax, Sigmoid, LogSoftmax, or nothing

Whether the features come in the right order is judged when the network is known (`verify.ordered`); here every attribute has
to be one that a VGG has.  Source: onnx/docs/Operators.md, Changelog.md.
"""
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from npvgg import heads
from npvgg.architecture import BLOCKS, MINIMUM_INPUT
from npvgg.errors import NpvggError, UnsupportedError, UsageError
from weights_convert.formats.onnx import classifier, features
from weights_convert.formats.onnx.attributes import unsupported
from weights_convert.refusals import damaged

TYPICAL_INPUT = 224                       # side of the pictures where nothing in the file tells it
FLOAT_TYPES = (1, 10, 11, 16)
EPSILON = 1e-5                            # of a network without batch norm behind its convolutions


def read(nodes, opset, size):
    """[Node, …], the opset, the side of the pictures or None → Layers.  BadFileError, UnsupportedError."""
    layers = Layers(opset, side=size)
    for node in nodes:
        if node.op not in OPERATORS:
            raise unsupported(node, f"is none of a VGG's; npvgg knows {', '.join(OPERATORS)}")
        is_late = layers.is_flat and node.op in OF_MAPS or layers.has_ended and node.op not in ("Identity", "Cast")
        if is_late or layers.border and node.op != "Conv":
            raise unsupported(node, "stands where a VGG has none")
        try:
            OPERATORS[node.op](layers, node)
        except NpvggError:
            raise
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError):
            raise damaged(f"its node {node.shown} has attributes or inputs that do not fit it") from None
        if node.attributes:
            raise unsupported(node, f"has the attribute {min(node.attributes)[:40]!r}, which npvgg does not know")
    layers.finish(size)
    return layers


@dataclass
class Layers:
    """What has been read so far."""

    opset: int
    side: int | None                      # of the map now; None where the file leaves it open
    features: dict = field(default_factory=dict)      # "conv1_1" → {"W": array, …}, "relu1_1" → {}, … to pool5, in order
    steps: list = field(default_factory=list)         # of the head: ("dense", {"W": array, …}), ("relu", {}), …
    remarks: list = field(default_factory=list)
    source_output: str = "logits"
    output: str | None = None             # what makes probabilities, where the graph shows it
    block: int = 1
    position: int = 0
    channels: int = 3
    border: tuple = ()                    # (mode, size) of a Pad that waits for its convolution
    is_flat: bool = False                 # arrays of two axes
    takes_bias: dict | None = None        # the arrays of the layer before, whose bias may still come from an Add
    has_ended: bool = False
    poolings: set = field(default_factory=set)        # "max", "avg": of the blocks
    epsilons: dict = field(default_factory=dict)      # of the batch norms behind convolutions
    input_size: int = 0                   # from here on what `finish` finds out
    head: str = ""
    eps: float = EPSILON
    tensors: dict = field(default_factory=dict)       # "conv1_1.W" → array

    @property
    def is_head(self):
        """Whether pool5 is behind."""
        return self.block > BLOCKS

    @property
    def here(self):
        """The number of the last convolution: "1_2"."""
        return f"{self.block}_{self.position}"

    @property
    def order(self):
        """The names of the convolutional part."""
        return list(self.features)

    @property
    def is_dense(self):
        """Whether a dense layer is behind, so that maps have one pixel."""
        return any(kind == "dense" for kind, _ in self.steps)

    @property
    def padding_mode(self):
        """"reflect" where the graph pads with reflected pixels, "zeros" otherwise."""
        return "reflect" if any(name.startswith("pad") for name in self.features) else "zeros"

    @property
    def has_lrn(self):
        """Whether the graph has local response normalisation."""
        return any(name.startswith("lrn") for name in self.features)

    @property
    def pooling(self):
        """"max" or "avg", that of the graph's pooling nodes."""
        return next(iter(self.poolings), "max")

    def add(self, name, **arrays):
        """A layer of the convolutional part."""
        if name in self.features:
            raise UnsupportedError(f"its graph has {name} twice; a VGG has one")
        self.features[name] = arrays
        return arrays

    def step(self, kind, **arrays):
        """A layer of the head, `kind` as in the notation of npvgg.heads, "dense" for a dense layer."""
        self.steps.append((kind, arrays))
        return arrays

    def flatten(self):
        """From here on features instead of maps."""
        if not any(kind == "flatten" for kind, _ in self.steps):
            self.step("flatten")

    def finish(self, size):
        """The sizes, the ε and the head that follow from the whole."""
        if self.border:
            raise UnsupportedError("it ends with a border around its last map; no VGG does")
        if len(self.poolings) > 1:
            raise UnsupportedError("some of its blocks end with maximum and others with average pooling; no VGG does")
        if self.is_dense and not self.is_flat:
            raise UnsupportedError("it ends with a map of answers; npvgg reads networks that give one row for each picture")
        self.share_epsilon()
        self.share_biases()
        side = self.taken_side()
        self.input_size = size or (MINIMUM_INPUT * side if side else TYPICAL_INPUT)
        if side:
            self.steps.insert(0, (f"avg{side}", {}))              # keeps this map, and brings those of other pictures to it
        self.head = " ".join(self.token(kind, arrays) for kind, arrays in self.steps)
        try:
            named = list(heads.layers(self.head, (self.channels, 1, 1), BLOCKS, self.eps))
        except UsageError as error:
            raise UnsupportedError(f"what follows its last block is no head of npvgg's: {error}") from None
        layers = self.features | {layer.name: arrays for layer, (_, arrays) in zip(named, self.steps)}
        self.tensors = {f"{name}.{kind}": array for name, arrays in layers.items() for kind, array in arrays.items()
                        if kind in KINDS}

    def taken_side(self):
        """Of the map that the first dense layer takes as it is; None where there is none, or it is pooled before."""
        first = next((arrays["W"] for kind, arrays in self.steps if kind == "dense"), None)
        if first is None or any(kind.startswith(("avg", "max")) for kind, _ in self.steps):
            return None
        return max(1, round((first.shape[1] / max(1, self.channels)) ** 0.5))

    def share_epsilon(self):
        """One ε for the batch norms behind convolutions: what one lacks to the most frequent moves into its variances.

        Batch norm divides by √(variance + ε), so the answer is the same.
        """
        if not self.epsilons:
            return
        (self.eps, _), = Counter(self.epsilons.values()).most_common(1)
        for name, eps in self.epsilons.items():
            variance = self.features[name]["var"]
            if eps != self.eps and variance.dtype.kind == "f":
                self.features[name]["var"] = (variance.astype(np.float64) + (eps - self.eps)).astype(np.float32)
        others = sorted({eps for eps in self.epsilons.values() if eps != self.eps})
        if others:
            self.remarks.append(f"most batch norms have the epsilon {self.eps:g}; what others ({', '.join(map(str, others))}) "
                                "have more was added to their variances")

    def share_biases(self):
        """Biases of zeros where only some convolutions have one."""
        convolutions = [arrays for name, arrays in self.features.items() if name.startswith("conv")]
        if any("B" in arrays for arrays in convolutions):
            for arrays in convolutions:
                arrays.setdefault("B", np.zeros(len(arrays["W"]), np.float32))

    def token(self, kind, arrays):
        """As the notation writes it."""
        if kind == "dense":
            return str(len(arrays["W"]))
        if kind == "bn":
            return "bn" if arrays["epsilon"] == self.eps else f"bn{arrays['epsilon']!r}"
        return kind


KINDS = ("W", "B", "mean", "var")         # of arrays


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
    ratio = features.shortest(ratio)
    if layers.is_head:
        layers.step("drop" if ratio == 0.5 or not 0 <= ratio < 1 else f"drop{ratio!r}")


def identity(layers, node):
    """Identity: no layer."""


def cast(layers, node):
    """Cast between kinds of float: no layer.  UnsupportedError for whole numbers."""
    node.attributes.pop("saturate", None)
    if node.attributes.pop("to", None) not in FLOAT_TYPES:
        raise unsupported(node, "turns the picture into whole numbers; npvgg reads networks in floating point")


OF_MAPS = ("Conv", "Pad", "LRN", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceMax",
           "Squeeze")
OPERATORS = {
    "Conv": features.conv, "Pad": features.pad, "BatchNormalization": features.batch_norm, "Relu": features.relu,
    "LRN": features.response_norm, "MaxPool": features.max_pool, "AveragePool": features.average_pool,
    "GlobalAveragePool": features.global_average, "GlobalMaxPool": features.global_maximum,
    "ReduceMean": features.reduced_mean, "ReduceMax": features.reduced_maximum,
    "Flatten": classifier.flatten, "Reshape": classifier.reshape, "Squeeze": classifier.squeeze, "Gemm": classifier.gemm,
    "MatMul": classifier.matmul, "Add": classifier.add, "Softmax": classifier.softmax,
    "LogSoftmax": classifier.log_softmax, "Sigmoid": classifier.sigmoid,
    "Dropout": dropout, "Identity": identity, "Cast": cast,
}
