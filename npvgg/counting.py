"""Output shapes, parameters, multiply–adds and receptive fields of every layer of a network.

    describe(architecture("vgg16"))       a Row a layer
    operations(rows, "thop")              the total that a published table prints under its own rule
"""
import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

from npvgg.architecture import BLOCKS, MINIMUM_INPUT, Architecture, check_architecture
from npvgg.arithmetic import ceil_div
from npvgg.errors import ShapeError, UsageError
from npvgg.kernels import contracts
from npvgg.kernels.contracts import Outline
from npvgg.layer import Layer

POOLINGS = ("maxpool2d", "avgpool2d", "adaptive_maxpool2d", "adaptive_avgpool2d")


@dataclass(frozen=True)
class Row:
    """What one layer does to one picture.  Sizes in bytes are those of float32."""

    layer: Layer
    output_shape: tuple           # (C, H, W) or (features,)
    parameters: int               # weights and biases; batch norm: scale and shift, not its running statistics
    macs: int                     # multiply–adds of convolutions and dense layers; 0 elsewhere, as torchvision counts
    receptive_field: tuple        # (height, width) in input pixels that one output value depends on, border included
    stride: int | None            # input pixels between neighbours of the map; None once pooled to a fixed side, or flat
    input_shape: tuple            # what the layer is given
    # The pixel (row, column) at which the first value's field begins, negative in the border; None as `stride` is.
    start: tuple | None
    # For each axis of the last map the (begin, end) of every row's (column's) field, where these are not evenly spaced.
    seen: tuple | None

    def field(self, y: int, x: int) -> tuple[int, int, int, int]:
        """(top, left, bottom, right) of the input pixels that the map's value at (y, x) depends on, border included.

        Behind a flattening (y, x) are those of the map before it, and behind a dense layer, which sees all, (0, 0).
        """
        if self.seen is not None:
            (top, bottom), (left, right) = self.seen[0][y], self.seen[1][x]
        else:
            top, left = (first + at * self.stride for first, at in zip(self.start, (y, x)))
            bottom, right = top + self.receptive_field[0], left + self.receptive_field[1]
        return top, left, bottom, right

    @property
    def input_elements(self):
        """How many numbers it is given."""
        return math.prod(self.input_shape)

    @property
    def output_elements(self):
        """How many numbers it gives."""
        return math.prod(self.output_shape)

    @property
    def parameter_bytes(self):
        """Bytes of all its arrays in float32, running statistics included."""
        return 4 * sum(math.prod(shape) for _, shape in self.layer.shapes)

    @property
    def output_bytes(self):
        """Bytes of its output in float32."""
        return 4 * self.output_elements


def describe(net: Architecture, input_size=None) -> tuple:
    """Walk one picture through the layers: (C, H, W) → a Row for each.

    `input_size` is a side, or (H, W); by default the network's own.  With kernel k and stride s, the receptive field r
    and the stride j (in input pixels) grow as  r ← r + (k−1)·j,  j ← j·s,  and a border of p rows moves the start a of the
    first value's field:  a ← a − p·j  (Araujo et al., Distill 2019, section 2).
    ShapeError where the picture is too small, or a layer cannot take what the one before it gives; UsageError for a size that
    is neither.
    """
    check_architecture(net)
    size = net.input_size if input_size is None else input_size
    sides = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(sides) != 2 or not all(isinstance(side, Integral) for side in sides):
        raise UsageError(f"the size of the picture is {size!r:.80}; give a side or (height, width), whole numbers of pixels")
    height, width = sides
    if min(height, width) < MINIMUM_INPUT:
        raise ShapeError(f"a picture of {height}×{width} vanishes in {BLOCKS} poolings; "
                         f"give at least {MINIMUM_INPUT}×{MINIMUM_INPUT}")
    arrays = {path: Outline(shape) for path, shape in net.parameters.items()}
    shape, reach, stride, start, seen, rows = (net.input_channels, height, width), (1, 1), 1, (0, 0), None, []
    for layer in net.layers:
        before, shape = shape, answer_shape(net, layer, shape, arrays, (height, width))
        options = dict(layer.options)
        if layer.op == "conv2d":
            reach = tuple(r + (side - 1) * stride for r, side in zip(reach, dict(layer.shapes)["weight"][2:]))
            start = tuple(first - options["padding"] * stride for first in start)
        elif layer.op == "reflection_pad2d":
            start = tuple(first - options["size"] * stride for first in start)
        elif layer.op in ("maxpool2d", "avgpool2d"):
            reach, stride = tuple(r + (options["size"] - 1) * stride for r in reach), options["stride"] * stride
        elif layer.op in ("adaptive_avgpool2d", "adaptive_maxpool2d"):
            seen = seen or windows(reach, stride, start, before)
            stride = stride if before == shape else None
            seen = tuple(binned(axis, options["size"]) for axis in seen)
            reach = longest(seen)
        elif layer.op == "flatten":
            seen, stride = seen or windows(reach, stride, start, before), None
        elif layer.op == "dense":
            seen = tuple(binned(axis, 1) for axis in seen)
            reach = longest(seen)
        rows.append(Row(layer, shape, parameter_count(layer), mac_count(layer, shape), reach, stride, before,
                        None if stride is None else start, seen))
    return tuple(rows)


def answer_shape(net, layer, shape, arrays, size):
    """The shape of one picture behind `layer`: (C, H, W) → (O, H′, W′) or (features,), by the contract of its kernel."""
    try:
        return contracts.answer_shape(layer, Outline((1, *shape)), arrays)[1:]
    except ShapeError as error:
        if layer.op == "dense":
            raise ShapeError(f"{layer.name} of {net.name} takes {dict(layer.shapes)['weight'][1]} numbers and a picture of "
                             f"{size[0]}×{size[1]} gives it {shape[0]}; give pictures of {net.input_size}×{net.input_size}, "
                             "or a head that pools to a fixed side") from None
        raise ShapeError(f"{layer.name} of {net.name}: {error}") from None


def windows(reach, stride, start, shape):
    """For each axis, where in the input each row (column) of a map begins and ends to look."""
    return tuple([(first + i * stride, first + i * stride + r) for i in range(extent)]
                 for r, first, extent in zip(reach, start, shape[1:]))


def binned(axis, bins):
    """The windows of adaptive pooling: bin i is ⌊i·H/s⌋ … ⌈(i+1)·H/s⌉ − 1 and sees what these see together."""
    extent = len(axis)
    return [(axis[i * extent // bins][0], axis[ceil_div((i + 1) * extent, bins) - 1][1]) for i in range(bins)]


def longest(seen):
    """For each axis, the length of its longest window, in input pixels."""
    return tuple(max(end - start for start, end in axis) for axis in seen)


def parameter_count(layer):
    """The number of trainable parameters: weights and biases, without running statistics."""
    return sum(math.prod(shape) for kind, shape in layer.shapes if kind in ("weight", "bias"))


def mac_count(layer, shape):
    """Multiply–adds: O·C·kh·kw·H′·W′ for a convolution, outputs × inputs for a dense layer."""
    if layer.op == "conv2d":
        return math.prod(layer.shapes[0][1]) * shape[1] * shape[2]
    if layer.op == "dense":
        return math.prod(layer.shapes[0][1])
    return 0


def operations(rows: Sequence[Row], rule: str = "torchvision") -> int:
    """The total that a published table would print under its own counting rule, as an exact integer.

        torchvision   MACs of convolutions and dense layers
        mmpretrain    … + one a bias of an output + one a ReLU output + one a pooling input + 2 a batch-norm output
        thop          … MACs + 4 a batch-norm output + one an average-pooling output     (the VastModelZOO tables)
        fvcore        … MACs + 2 a batch-norm output                                      (the timm benchmark tables)

    Pooling is of any kind for mmpretrain (mmcv's counter has one rule for all), to a fixed side as well, except where a
    map has that side already: the networks of its table have no such layer.  thop's count of pooling to a fixed side is left
    out for the same reason.  Local response normalisation, flatten and dropout count as nothing.
    UsageError for another rule.
    """
    def outputs(*ops):
        return sum(row.output_elements for row in rows if row.layer.op in ops)

    macs, norm = sum(row.macs for row in rows), outputs("batchnorm2d", "batchnorm1d")
    biases = sum(row.output_elements for row in rows
                 if row.layer.op in ("conv2d", "dense") and "bias" in dict(row.layer.shapes))
    pooled = sum(row.input_elements for row in rows if row.layer.op in POOLINGS and row.input_elements != row.output_elements)
    totals = {
        "torchvision": macs,
        "mmpretrain": macs + biases + outputs("relu") + pooled + 2 * norm,
        "thop": macs + 4 * norm + outputs("avgpool2d"),
        "fvcore": macs + 2 * norm,
    }
    if rule not in totals:
        raise UsageError(f"there is no counting rule {rule!r}; npvgg counts as {', '.join(totals)}")
    return totals[rule]


def activations(rows: Sequence[Row]) -> int:
    """Outputs of convolutions and dense layers, the figure that timm's tables call activations."""
    return sum(row.output_elements for row in rows if row.layer.op in ("conv2d", "dense"))
