"""The networks of Simonyan and Zisserman (arXiv 1409.1556, table 1) as data.

    architecture("vgg16").layers          conv1_1, relu1_1, conv1_2, … pool5, avgpool, flatten, fc6, … fc8
    architecture("vgg16").parameters      {"conv1_1/weight": (64, 3, 3, 3), "conv1_1/bias": (64,), …}
    describe(architecture("vgg16"))       output shape, parameters, MACs and receptive field of each layer

A network is a tuple of layers and a layer is a name, an operation and the shapes of its parameters: everything else
(counts, file layout, key maps, the forward pass) is computed from these.  Names are the paper's, as Caffe spelled them.
"""
import json
import math
from dataclasses import asdict, dataclass
from functools import cached_property

from npvgg.errors import BadFileError, ShapeError, UsageError

# Channels of a 3×3 convolution, followed by batch norm in the _bn variants, and by ReLU; "256/1" is a 1×1 convolution;
# M halves the picture by max-pooling; LRN is local response normalisation.
CONFIGURATIONS = {
    "vgg11": "64         M 128         M 256 256             M 512 512             M 512 512             M",
    "a_lrn": "64 LRN     M 128         M 256 256             M 512 512             M 512 512             M",
    "vgg13": "64 64      M 128 128     M 256 256             M 512 512             M 512 512             M",
    "c":     "64 64      M 128 128     M 256 256 256/1       M 512 512 512/1       M 512 512 512/1       M",
    "vgg16": "64 64      M 128 128     M 256 256 256         M 512 512 512         M 512 512 512         M",
    "vgg19": "64 64      M 128 128     M 256 256 256 256     M 512 512 512 512     M 512 512 512 512     M",
}
WITH_BATCH_NORM = ("vgg11", "vgg13", "vgg16", "vgg19")
NAMES = tuple(CONFIGURATIONS) + tuple(f"{name}_bn" for name in WITH_BATCH_NORM)
LETTERS = {"a": "vgg11", "a-lrn": "a_lrn", "b": "vgg13", "c": "c", "d": "vgg16", "e": "vgg19",
           "a_bn": "vgg11_bn", "b_bn": "vgg13_bn", "d_bn": "vgg16_bn", "e_bn": "vgg19_bn"}

PADDING_MODES = ("zeros", "reflect")        # what a 3×3 convolution sees outside the picture

POOLINGS = 5
MINIMUM_INPUT = 2**POOLINGS


@dataclass(frozen=True)
class Layer:
    """One step: the kernel `op`, called with the parameters stored under `name` and with `options`."""

    op: str
    name: str
    shapes: tuple = ()            # (("weight", (O, C, kh, kw)), ("bias", (O,))), in the order the kernel takes them
    options: tuple = ()           # (("padding", 1),)

    def arrays(self, parameters):
        """Its own among {"conv1_1/weight": array, …}, in the order in which the kernel takes them."""
        return [parameters[f"{self.name}/{kind}"] for kind, _ in self.shapes]


@dataclass(frozen=True)
class Architecture:
    """Which network, and how large.

    `width` multiplies the channels of every convolution; `pooled_size` is the side of the map that enters the first
    dense layer; `hidden` are the outputs of the dense layers before the last; without `num_classes` (None) the network
    ends at that pooled map and has no classifier.  `input_size` is the side it was trained for; it runs on any picture
    of at least 32×32 (torchvision's behaviour).  `padding_mode` "reflect" mirrors the border of each map, as some
    re-implementations do; the paper's is "zeros".
    """

    name: str
    width: float = 1.0
    input_size: int = 224
    pooled_size: int = 7
    hidden: tuple = (4096, 4096)
    num_classes: int | None = 1000
    padding_mode: str = "zeros"

    def __post_init__(self):
        object.__setattr__(self, "name", canonical_name(self.name))
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if isinstance(self.width, bool) or not isinstance(self.width, (int, float)) or not 0 < self.width <= 16:
            raise UsageError(f"width is {self.width!r}; give a number above 0 and at most 16, for example 0.5")
        object.__setattr__(self, "width", float(self.width))
        check_size("input_size", self.input_size, MINIMUM_INPUT, 16384)
        check_size("pooled_size", self.pooled_size, 1, 64)
        for size in self.hidden:
            check_size("each of hidden", size, 1, 1 << 20)
        if self.num_classes is not None:
            check_size("num_classes", self.num_classes, 1, 1 << 20)
        if self.padding_mode not in PADDING_MODES:
            raise UsageError(f"padding_mode is {self.padding_mode!r}; choose one of {', '.join(PADDING_MODES)}")

    @property
    def has_batch_norm(self):
        return self.name.endswith("_bn")

    @cached_property
    def layers(self):
        """Every layer in the order the data flows: a tuple of Layer."""
        return tuple(feature_layers(self)) + tuple(head_layers(self))

    @cached_property
    def parameters(self):
        """{"conv1_1/weight": (64, 3, 3, 3), …} in the order of the layers."""
        return {f"{layer.name}/{kind}": shape for layer in self.layers for kind, shape in layer.shapes}

    @cached_property
    def aliases(self):
        """{torchvision, Caffe or Keras name: paper name} for everything that `canonical_layer` accepts."""
        return torchvision_names(self) | foreign_names(self)

    def canonical_layer(self, name):
        """The paper's name of a layer: 'features.28' → 'conv5_3', 'block5_pool' → 'pool5', 'fc7' → 'fc7'."""
        if any(layer.name == name for layer in self.layers):
            return name
        if name in self.aliases:
            return self.aliases[name]
        known = ", ".join(layer.name for layer in self.layers)
        raise UsageError(f"{self.name} has no layer {name!r}; it has {known}")

    def to_json(self):
        """The fields as one line of JSON, for the attribute of a weights file."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text):
        """The inverse of `to_json`; BadFileError where the text is not one."""
        try:
            fields = json.loads(text)
            fields["hidden"] = tuple(fields["hidden"])
            return cls(**fields)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise BadFileError(f"the architecture {text[:80]!r} cannot be read ({error}); convert the file again") from None


def architecture(name, **sizes):
    """The Architecture called `name`: a torchvision name, a letter of the paper, or an Architecture itself."""
    return name if isinstance(name, Architecture) and not sizes else Architecture(name, **sizes)


def canonical_name(name):
    """'D' → 'vgg16', 'VGG16_BN' → 'vgg16_bn'; UsageError with the list of names for any other."""
    lowered = str(name).lower()
    lowered = LETTERS.get(lowered, lowered)
    if lowered not in NAMES:
        raise UsageError(f"there is no network called {name!r}; npvgg has {', '.join(NAMES)} and the letters A to E")
    return lowered


def check_size(what, value, low, high):
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UsageError(f"{what} is {value!r}; give a whole number from {low} to {high}")


# ------------------------------------------------------------------------------------------------- layers


def feature_layers(net):
    """conv1_1 … pool5: the convolutional part."""
    channels, block, position = 3, 1, 1
    for token in CONFIGURATIONS[net.name.removesuffix("_bn")].split():
        if token == "M":
            yield Layer("maxpool2d", f"pool{block}", options=(("size", 2), ("stride", 2)))
            block, position = block + 1, 1
        elif token == "LRN":
            yield Layer("local_response_norm", f"lrn{block}",
                        options=(("size", 5), ("alpha", 1e-4), ("beta", 0.75), ("k", 2.0)))
        else:
            width, _, side = token.partition("/")
            kernel, name = int(side or 3), f"{block}_{position}"
            filters, border = max(1, round(int(width) * net.width)), kernel // 2
            if border and net.padding_mode == "reflect":
                yield Layer("reflection_pad2d", f"pad{name}", options=(("size", border),))
                border = 0
            yield Layer("conv2d", f"conv{name}",
                        (("weight", (filters, channels, kernel, kernel)), ("bias", (filters,))),
                        (("padding", border),))
            if net.has_batch_norm:
                yield Layer("batchnorm2d", f"bn{name}",
                            tuple((kind, (filters,)) for kind in ("weight", "bias", "mean", "var")), (("eps", 1e-5),))
            yield Layer("relu", f"relu{name}")
            channels, position = filters, position + 1


def head_layers(net):
    """avgpool, flatten, fc6 … fc8: the pooled map and the classifier.  Dense layers are numbered on from pool5."""
    yield Layer("adaptive_avgpool2d", "avgpool", options=(("size", net.pooled_size),))
    if net.num_classes is None:
        return
    yield Layer("flatten", "flatten")
    inputs = last_filters(net) * net.pooled_size**2
    outputs = net.hidden + (net.num_classes,)
    for number, size in enumerate(outputs, start=POOLINGS + 1):
        yield Layer("dense", f"fc{number}", (("weight", (size, inputs)), ("bias", (size,))))
        if number < POOLINGS + len(outputs):
            yield Layer("relu", f"relu{number}")
            yield Layer("dropout", f"drop{number}", options=(("p", 0.5),))
        inputs = size


def last_filters(net):
    *_, last = (layer for layer in feature_layers(net) if layer.op == "conv2d")
    return last.shapes[0][1][0]


# ------------------------------------------------------------------------------------------------- other people's names


def torchvision_names(net):
    """{'features.0': 'conv1_1', …, 'classifier.6': 'fc8'}: position in torchvision's two Sequentials → paper name.

    torchvision counts from 0 in `features`, then again in `classifier`; avgpool stands between them.  There flatten is
    a call of a function, not a module, and padding a property of the convolution.
    """
    names, section, position = {}, "features", 0
    for layer in net.layers:
        if layer.op == "adaptive_avgpool2d":
            section, position = "classifier", 0
        elif layer.op not in ("flatten", "reflection_pad2d"):
            names[f"{section}.{position}"] = layer.name
            position += 1
    return names


def foreign_names(net):
    """Keras' names (block1_conv1, fc1: after the ReLU, which is part of a layer there) and Caffe's norm1 → paper names."""
    names = {}
    for layer in net.layers:
        if layer.op == "relu" and "_" in layer.name:
            block, position = layer.name.removeprefix("relu").split("_")
            names[f"block{block}_conv{position}"] = layer.name
        elif layer.op == "relu":
            names[f"fc{int(layer.name.removeprefix('relu')) - POOLINGS}"] = layer.name
        elif layer.op == "maxpool2d":
            names[f"block{layer.name.removeprefix('pool')}_pool"] = layer.name
        elif layer.op == "local_response_norm":
            names[f"norm{layer.name.removeprefix('lrn')}"] = layer.name
    if net.num_classes is not None:
        names["logits"] = net.layers[-1].name
    return names


# ------------------------------------------------------------------------------------------------- counting


@dataclass(frozen=True)
class Row:
    """What one layer does to one picture.  Sizes in bytes are those of float32."""

    layer: Layer
    output_shape: tuple           # (C, H, W) or (features,)
    parameters: int               # weights and biases; batch norm: scale and shift, not its running statistics
    macs: int                     # multiply–adds of convolutions and dense layers; 0 elsewhere, as torchvision counts
    receptive_field: tuple        # (height, width) in input pixels that one output value depends on, border included
    stride: int | None            # input pixels between neighbours of the map; None once the map is pooled or flattened
    input_elements: int

    @property
    def output_elements(self):
        return math.prod(self.output_shape)

    @property
    def parameter_bytes(self):
        return 4 * sum(math.prod(shape) for _, shape in self.layer.shapes)

    @property
    def output_bytes(self):
        return 4 * self.output_elements


def describe(net, input_size=None):
    """Walk one picture through the layers: (3, H, W) → a Row for each.

    `input_size` is a side, or (H, W); by default the network's own.  With kernel k and stride s, the receptive field r
    and the stride j (in input pixels) grow as  r ← r + (k−1)·j,  j ← j·s  (Araujo et al., Distill 2019, section 2).
    """
    size = net.input_size if input_size is None else input_size
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < MINIMUM_INPUT:
        raise ShapeError(f"a picture of {height}×{width} vanishes in {POOLINGS} poolings; "
                         f"give at least {MINIMUM_INPUT}×{MINIMUM_INPUT}")
    shape, reach, stride, rows = (3, height, width), (1, 1), 1, []
    for layer in net.layers:
        before, shape = shape, output_shape(layer, shape)
        if layer.op == "conv2d":
            reach = grown(reach, layer.shapes[0][1][2], stride)
        elif layer.op == "maxpool2d":
            reach, stride = grown(reach, 2, stride), 2 * stride
        elif layer.op == "adaptive_avgpool2d":
            # The largest of the bins [⌊i·H/s⌋, ⌈(i+1)·H/s⌉) is what one pooled value sees.
            whole = tuple(r + (extent - 1) * stride for r, extent in zip(reach, before[1:]))
            reach = tuple(r + (largest_bin(extent, out) - 1) * stride
                          for r, extent, out in zip(reach, before[1:], shape[1:]))
            stride = stride if before == shape else None
        elif layer.op in ("flatten", "dense"):
            reach, stride = (reach if layer.op == "flatten" else whole), None
        rows.append(Row(layer, shape, parameter_count(layer), mac_count(layer, shape), reach, stride, math.prod(before)))
    return tuple(rows)


def output_shape(layer, shape):
    """The shape of one picture behind `layer`: (C, H, W) → (O, H′, W′) or (features,)."""
    if layer.op == "reflection_pad2d":
        return (shape[0], *(extent + 2 * dict(layer.options)["size"] for extent in shape[1:]))
    if layer.op == "conv2d":
        outputs, _, *kernel = layer.shapes[0][1]
        return (outputs, *(extent + 2 * dict(layer.options)["padding"] - side + 1 for extent, side in zip(shape[1:], kernel)))
    if layer.op == "maxpool2d":
        return (shape[0], shape[1] // 2, shape[2] // 2)
    if layer.op == "adaptive_avgpool2d":
        return (shape[0], dict(layer.options)["size"], dict(layer.options)["size"])
    if layer.op == "flatten":
        return (math.prod(shape),)
    if layer.op == "dense":
        return (layer.shapes[0][1][0],)
    return shape


def grown(reach, kernel, stride):
    return tuple(r + (kernel - 1) * stride for r in reach)


def largest_bin(extent, bins):
    return max(-(-(i + 1) * extent // bins) - i * extent // bins for i in range(bins))


def parameter_count(layer):
    return sum(math.prod(shape) for kind, shape in layer.shapes if kind in ("weight", "bias"))


def mac_count(layer, shape):
    """Multiply–adds: O·C·kh·kw·H′·W′ for a convolution, outputs × inputs for a dense layer."""
    if layer.op == "conv2d":
        return math.prod(layer.shapes[0][1]) * shape[1] * shape[2]
    if layer.op == "dense":
        return math.prod(layer.shapes[0][1])
    return 0


def operations(rows, rule="torchvision"):
    """The total that a published table would print under its own counting rule, as an exact integer.

        torchvision   MACs of convolutions and dense layers
        mmpretrain    … + one addition a bias + one operation a ReLU output + one a max-pool input (+ 2 a batch-norm output)
        thop          … MACs + 4 a batch-norm output               (the VastModelZOO tables)
        fvcore        … MACs + 2 a batch-norm output               (the timm benchmark tables)
    """
    def outputs(*ops):
        return sum(row.output_elements for row in rows if row.layer.op in ops)

    macs, norm = sum(row.macs for row in rows), outputs("batchnorm2d")
    pooled = sum(row.input_elements for row in rows if row.layer.op == "maxpool2d")
    totals = {
        "torchvision": macs,
        "mmpretrain": macs + outputs("conv2d", "dense") + outputs("relu") + pooled + 2 * norm,
        "thop": macs + 4 * norm,
        "fvcore": macs + 2 * norm,
    }
    if rule not in totals:
        raise UsageError(f"there is no counting rule {rule!r}; npvgg counts as {', '.join(totals)}")
    return totals[rule]


def activations(rows):
    """Outputs of convolutions and dense layers, the figure that timm's tables call activations."""
    return sum(row.output_elements for row in rows if row.layer.op in ("conv2d", "dense"))
