"""What a file's own structure tells of a network, layer by layer: each gets the paper's name that belongs to its place.

    features    ([border] convolution [batch norm] ReLU [LRN])… pooling, five times
    head        poolings, flatten, dense layers, batch norms, ReLUs and dropouts in any order
    end         what makes probabilities, or nothing

The readers of graphs (onnx, keras, caffe) walk their nodes in the order of the data and call this for each.  Whether the
features come in the right order is judged when the network is known (`verify.ordered`).
"""
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from npvgg import heads
from npvgg.architecture import BLOCKS, MINIMUM_INPUT
from npvgg.errors import BadFileError, UnsupportedError, UsageError

TYPICAL_INPUT = 224                       # side of the pictures where nothing in the file tells it
EPSILON = 1e-5                            # of a network without batch norm behind its convolutions
KINDS = ("W", "B", "mean", "var")         # of arrays
MAPS, CHANNELS_LAST, FLAT = "NCHW", "NHWC", "NC"      # layouts: what each axis of the data is


@dataclass
class Layers:
    """What has been read so far; each reader adds what its own nodes need."""

    side: int | None = None               # of the map now; None where the file leaves it open
    features: dict = field(default_factory=dict)      # "conv1_1" → {"W": array, …}, "relu1_1" → {}, … to pool5, in order
    steps: list = field(default_factory=list)         # of the head: ("dense", {"W": array, …}), ("relu", {}), …
    remarks: list = field(default_factory=list)
    source_output: str = "logits"
    output: str | None = None             # what makes probabilities, where the graph shows it
    block: int = 1
    position: int = 0
    channels: int = 3
    border: tuple = ()                    # (mode, size) of a Pad that waits for its convolution
    layout: str = MAPS                    # what each axis of the data is
    was_channels_last: bool = False       # features still in the order (h, w, c) in which a map was flattened
    has_ended: bool = False
    poolings: set = field(default_factory=set)        # "max", "avg": of the blocks
    epsilons: dict = field(default_factory=dict)      # of the batch norms behind convolutions
    input_size: int = 0                   # from here on what `finish` finds out
    head: str = ""
    eps: float = EPSILON
    arrays: dict = field(default_factory=dict)        # ("conv1_1", "W") → array, in npvgg's layout

    @property
    def is_flat(self):
        """Whether the data are rows of features."""
        return self.layout == FLAT

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

    def convolution(self, weight, bias, is_reflected=False):
        """The next convolution, its filters (O, C, s, s), its bias or None; returns its arrays."""
        self.position += 1
        if is_reflected:
            self.add(f"pad{self.here}")
        self.channels = len(weight)
        return self.add(f"conv{self.here}", W=weight, **({} if bias is None else {"B": bias}))

    def batch_norm(self, epsilon, **arrays):
        """Batch norm, in the features or in the head; returns its arrays."""
        if self.is_head:
            arrays = {kind: self.channels_first(array) for kind, array in arrays.items()}
            return self.step("bn", epsilon=epsilon, **arrays)
        name = f"bn{self.here}"
        self.epsilons[name] = epsilon
        return self.add(name, **arrays)

    def relu(self):
        """ReLU, in the features or in the head."""
        if self.is_head:
            self.step("relu")
        else:
            self.add(f"relu{self.here}")

    def pool(self, kind):
        """The 2×2 pooling that ends a block, "max" or "avg"."""
        self.add(f"pool{self.block}")
        self.poolings.add(kind)
        self.block, self.position = self.block + 1, 0
        self.side = None if self.side is None else self.side // 2

    def dropout(self, ratio):
        """Dropout, which counts in the head only."""
        if self.is_head:
            self.step("drop" if ratio == 0.5 or not 0 <= ratio < 1 else f"drop{ratio!r}")

    def dense(self, weight, bias):
        """A dense layer's (O, I) weight and its (O,) bias; returns its arrays."""
        weight, self.was_channels_last = self.channels_first(weight), False
        return self.step("dense", W=weight, B=bias)

    def channels_first(self, array):
        """Numbers for the features as they are, along the last axis → for the order (c, h, w).  BadFileError."""
        if not self.was_channels_last:
            return array
        side = round((array.shape[-1] / max(1, self.channels)) ** 0.5)
        if side * side * self.channels != array.shape[-1]:
            raise BadFileError(f"what follows its last block takes {array.shape[-1]:,} numbers, which are no square map of "
                               f"{self.channels} channels; export it again")
        by_axis = array.reshape(*array.shape[:-1], side, side, self.channels)
        return np.moveaxis(by_axis, -1, -3).reshape(array.shape)

    def step(self, kind, **arrays):
        """A layer of the head, `kind` as in the notation of npvgg.heads, "dense" for a dense layer."""
        self.steps.append((kind, arrays))
        return arrays

    def flatten(self):
        """From here on rows of features instead of maps."""
        if not self.is_flat:
            self.was_channels_last = self.layout == CHANNELS_LAST and self.side != 1
            self.layout = FLAT
        self.begin_features()

    def begin_features(self):
        """From here on features, be they rows or maps of one pixel."""
        if not any(kind == "flatten" for kind, _ in self.steps):
            self.step("flatten")

    def finish(self, size):
        """The sizes, the ε and the head that follow from the whole, for pictures of side `size`, None where that is open."""
        if not self.is_head:
            raise UnsupportedError(f"it ends in block {self.block}; a VGG has {BLOCKS}, each with a pooling at its end")
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
        if size is None:
            self.remarks.append(f"the file leaves the side of the pictures open; {self.input_size} was taken (--input-size)")
        if side:
            self.steps.insert(0, (f"avg{side}", {}))              # keeps this map, and brings those of other pictures to it
        self.head = " ".join(self.token(kind, arrays) for kind, arrays in self.steps)
        try:
            named = list(heads.layers(self.head, (self.channels, 1, 1), BLOCKS, self.eps))
        except UsageError as error:
            raise UnsupportedError(f"what follows its last block is no head of npvgg's: {error}") from None
        layers = self.features | {layer.name: arrays for layer, (_, arrays) in zip(named, self.steps)}
        self.arrays = {(name, kind): array for name, arrays in layers.items() for kind, array in arrays.items()
                       if kind in KINDS}

    def stated(self):
        """What FileContents.stated says of such a network."""
        said = {"order": self.order, "source_output": self.source_output}
        said |= {name: getattr(self, name) for name in ("padding_mode", "has_lrn", "input_size", "head", "pooling", "eps")}
        return said | ({"output": self.output} if self.output else {})

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
