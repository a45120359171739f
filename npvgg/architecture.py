"""The networks of Simonyan and Zisserman (arXiv 1409.1556, table 1) as data.

    architecture("vgg16").layers          conv1_1, relu1_1, conv1_2, … pool5, avgpool, flatten, fc6, … fc8
    architecture("vgg16").parameters      {"conv1_1/weight": (64, 3, 3, 3), "conv1_1/bias": (64,), …}

A network is a tuple of layers and a layer is a name, an operation, the shapes of its parameters and options: everything
else (counts, file layout, key maps, the forward pass) is computed from these.  Names are the paper's, as Caffe spelled them.
"""
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from dataclasses import fields as fields_of
from types import MappingProxyType

from npvgg import heads
from npvgg.checks import check_choice, check_size, is_number
from npvgg.computed_once import computed_once
from npvgg.errors import BadFileError, UsageError
from npvgg.layer import Layer, norm_layer
from npvgg.storage import strict_json
from npvgg.text import meant

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

# What follows pool5, in the same notation: the side that maps are pooled to, outputs of dense layers, and so on (heads.py).
HEAD = "avg7 flatten 4096 relu drop 4096 relu drop 1000"

POOLINGS = {"max": "maxpool2d", "avg": "avgpool2d"}
PADDING_MODES = ("zeros", "reflect")        # what a 3×3 convolution sees outside the picture
CHANNELS = (1, 3, 4)                        # of the picture: grey; red, green, blue; and alpha

BLOCKS = 5
MINIMUM_INPUT = 2**BLOCKS


@dataclass(frozen=True)
class Architecture:
    """Which network, and how large.  UsageError for a field that makes no sense.

    `width` multiplies the channels of every convolution.  `head` is what follows pool5, as in HEAD; "" ends the network there.
    `input_size` is the side it was trained for; it runs on any picture of at least 32×32 where its head pools to a fixed side.
    `output` says what the numbers of the last layer mean: "softmax" (one class of several), "sigmoid" (independent labels, or
    with one output two classes) or "none"; None takes it from the head.  `pooling` is that of pool1 … pool5.  Without `bias`
    the convolutions have none.  `eps` is the ε of batch norm.  `padding_mode` "reflect" mirrors the border of each map, as some
    re-implementations do; the paper's is "zeros".
    """

    name: str
    width: float = 1.0
    input_size: int = 224
    head: str = HEAD
    output: str | None = None
    input_channels: int = 3
    pooling: str = "max"
    bias: bool = True
    eps: float = 1e-5
    padding_mode: str = "zeros"

    def __post_init__(self):
        def put(field, value):
            object.__setattr__(self, field, value)

        put("name", canonical_name(self.name))
        if not is_number(self.width) or not 0 < self.width <= 16:
            raise UsageError(f"width is {self.width!r}; give a number above 0 and at most 16, for example 0.5")
        put("width", float(self.width))
        check_size("input_size", self.input_size, MINIMUM_INPUT, 16384)
        check_choice("input_channels", self.input_channels, CHANNELS)
        check_choice("pooling", self.pooling, tuple(POOLINGS))
        check_choice("bias", self.bias, (True, False))
        if not is_number(self.eps) or not 0 <= self.eps <= 1:
            raise UsageError(f"eps is {self.eps!r}; give a number from 0 to 1, for example 1e-5")
        put("eps", float(self.eps))
        check_choice("padding_mode", self.padding_mode, PADDING_MODES)
        put("head", heads.canonical(self.head))
        put("output", heads.output_of(self.head, self.output))

    def __reduce__(self):                       # by its fields, for what is computed from them cannot be packed
        return type(self), tuple(getattr(self, field.name) for field in fields_of(self))

    @property
    def has_batch_norm(self) -> bool:
        """Whether batch norm follows its convolutions."""
        return self.name.endswith("_bn")

    @computed_once
    def layers(self) -> tuple:
        """Every layer in the order the data flows: a tuple of Layer."""
        return tuple(feature_layers(self)) + tuple(heads.layers(self.head, last_map(self), BLOCKS, self.eps))

    @computed_once
    def parameters(self) -> Mapping[str, tuple]:
        """{"conv1_1/weight": (64, 3, 3, 3), …} in the order of the layers, read-only."""
        return MappingProxyType({f"{layer.name}/{kind}": shape for layer in self.layers for kind, shape in layer.shapes})

    @property
    def dense_sizes(self) -> tuple:
        """The outputs of its dense layers, (4096, 4096, 1000)."""
        return tuple(layer.shapes[0][1][0] for layer in self.layers if layer.op == "dense")

    @property
    def pooled_size(self) -> int:
        """The side of the maps behind the last pooling, for a picture of the size it was trained for."""
        sides = [dict(layer.options)["size"] for layer in self.layers if layer.op.startswith("adaptive_")]
        return sides[-1] if sides else last_map(self)[1]

    @property
    def num_classes(self) -> int | None:
        """How many numbers the last layer gives, each of which stands for a class or a label; None where none does."""
        return None if self.output == "none" else self.dense_sizes[-1]

    @property
    def label_count(self) -> int | None:
        """How many names its answers need: one a class, and two where one output tells two classes apart."""
        return 2 if (self.output, self.num_classes) == ("sigmoid", 1) else self.num_classes

    def to_json(self) -> str:
        """The fields as one line of JSON, for the attribute of a weights file."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Architecture":
        """The inverse of `to_json`, also of that of npvgg 0.1.0; BadFileError where the text is not one."""
        try:
            fields = strict_json.read(text)
            if FIELDS_OF_0_1 - {"padding_mode"} <= fields.keys() <= FIELDS_OF_0_1:
                return architecture(**fields)
            if fields.keys() != {field.name for field in fields_of(cls)}:
                raise ValueError(f"its fields are {', '.join(fields)}")
            return cls(**fields)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise BadFileError(f"the architecture {text[:80]!r} cannot be read ({error}); convert the file again") from None


FIELDS_OF_0_1 = {"name", "width", "input_size", "pooled_size", "hidden", "num_classes", "padding_mode"}


def architecture(name, **fields) -> Architecture:
    """The Architecture called `name`: a torchvision name, a letter of the paper, or an Architecture itself.

    Beside the fields of Architecture, the sizes of the paper's kind of head: `num_classes` outputs of the last dense layer
    (None: no classifier), `hidden` outputs of those before it, `pooled_size` the side of the map that enters the first.

    >>> architecture("D", num_classes=10, hidden=(64,), pooled_size=2).head
    'avg2 flatten 64 relu drop 10'
    """
    if isinstance(name, Architecture) and not fields:
        return name
    unknown = fields.keys() - {"num_classes", "hidden", "pooled_size"} - set(Architecture.__dataclass_fields__)
    if unknown:
        known = [*(field.name for field in fields_of(Architecture)), "num_classes", "hidden", "pooled_size"][1:]
        raise UsageError(f"a network has no {min(unknown)!r}{meant(min(unknown), known)}; it has {', '.join(known)}")
    sizes = {size: fields.pop(size) for size in ("num_classes", "hidden", "pooled_size") if size in fields}
    if sizes:
        if "head" in fields:
            raise UsageError(f"a head and {' and '.join(sizes)} were given; give one of them, for the head says the same")
        fields["head"] = paper_head(**sizes)
    return Architecture(name, **fields)


def paper_head(num_classes=1000, hidden=(4096, 4096), pooled_size=7) -> str:
    """The paper's kind of head with other sizes: paper_head() == HEAD; without classes the pooled map."""
    check_size("pooled_size", pooled_size, 1, 64)
    if not isinstance(hidden, (tuple, list)):
        raise UsageError(f"hidden is {hidden!r}; give the outputs of the dense layers before the last, such as (4096, 4096)")
    for size in hidden:
        check_size("each of hidden", size, 1, 1 << 20)
    if num_classes is None:
        return f"avg{pooled_size}"
    check_size("num_classes", num_classes, 1, 1 << 20)
    return " ".join([f"avg{pooled_size} flatten", *(f"{size} relu drop" for size in hidden), str(num_classes)])


def check_architecture(net) -> None:
    """UsageError unless it is an Architecture, not its name for example."""
    if not isinstance(net, Architecture):
        raise UsageError(f"the network is of type {type(net).__name__}; give an Architecture, as architecture('vgg16')")


def canonical_name(name) -> str:
    """'D' → 'vgg16', 'VGG16_BN' → 'vgg16_bn'; UsageError with the list of names for any other."""
    lowered = str(name).lower()
    lowered = LETTERS.get(lowered, lowered)
    if lowered not in NAMES:
        raise UsageError(f"there is no network called {name!r}{meant(name, NAMES)}; npvgg has {', '.join(NAMES)} and the "
                         "letters A to E")
    return lowered


def feature_layers(net: Architecture):
    """conv1_1 … pool5: the convolutional part."""
    channels, block, position = net.input_channels, 1, 1
    for token in CONFIGURATIONS[net.name.removesuffix("_bn")].split():
        if token == "M":
            yield Layer(POOLINGS[net.pooling], f"pool{block}", options=(("size", 2), ("stride", 2)))
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
            bias = (("bias", (filters,)),) if net.bias else ()
            yield Layer("conv2d", f"conv{name}", (("weight", (filters, channels, kernel, kernel)), *bias),
                        (("padding", border),))
            if net.has_batch_norm:
                yield norm_layer("batchnorm2d", f"bn{name}", filters, net.eps)
            yield Layer("relu", f"relu{name}")
            channels, position = filters, position + 1


def last_map(net: Architecture) -> tuple:
    """(channels, side, side) of pool5 for a picture of the size it was trained for."""
    *_, last = (layer for layer in feature_layers(net) if layer.op == "conv2d")
    return last.shapes[0][1][0], *[net.input_size >> BLOCKS] * 2
