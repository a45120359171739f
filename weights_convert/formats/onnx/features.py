"""The nodes on maps: convolutions, batch norm, ReLU, local response normalisation, pooling, and what moves or removes axes.

Each function takes the `operators.Walk` so far and a `chain.Node`, and takes away the attributes that it knows.
Source: onnx/docs/Operators.md: Conv, Pad, BatchNormalization, LRN, MaxPool, AveragePool, GlobalAveragePool, GlobalMaxPool,
ReduceMean, ReduceMax, Transpose, Squeeze, Mul, Add, Sub, Div; com.microsoft.FusedConv.
"""
import numpy as np

from weights_convert.formats.layers import FLAT
from weights_convert.formats.onnx.attributes import constant, is_list, moved, require, short, unsupported
from weights_convert.formats.onnx.classifier import become_flat, dense_layer, vector
from weights_convert.refusals import damaged

LRN = {"size": 5, "alpha": 1e-4, "beta": 0.75, "bias": 2.0}
EPSILON = 1e-5                            # of a node that names none


def conv(layers, node):
    """Conv: a convolution of the network, or behind pool5 one that covers the map, which is a dense layer."""
    weight, bias = constant(node, 1), constant(node, 2, optional=True)
    if weight.ndim != 4 or weight.shape[2] != weight.shape[3] or 0 in weight.shape:
        raise unsupported(node, f"has filters of the shape {weight.shape}; a VGG's are square")
    side = weight.shape[2]
    pads = padding(node, side)
    mode, border = layers.border or ("constant", 0)
    layers.border = ()
    if mode == "reflect" and any(pads):
        raise unsupported(node, "pads a border that is reflected already")
    is_dense = layers.is_head
    require(node, {"kernel_shape": [side, side], "strides": [1, 1], "dilations": [1, 1], "group": 1})
    if {pad + border for pad in pads} != {0 if is_dense else side // 2} or side % 2 == 0 and not is_dense:
        raise unsupported(node, f"has the padding {[pad + border for pad in pads]} with filters of "
                               f"{side}×{side}; a VGG keeps the size of the map, and after pool5 covers it")
    if is_dense:
        if side != (layers.side or side):
            raise unsupported(node, f"has filters of {side}×{side} on a map of {layers.side}; npvgg reads "
                                   "a convolution after pool5 where it covers the map")
        layers.begin_features()
        dense_layer(layers, node, weight.reshape(len(weight), -1), bias)
        layers.side = 1
        return
    arrays = layers.convolution(weight, bias, mode == "reflect")
    layers.takes_bias = arrays if bias is None else None


def fused_conv(layers, node):
    """ONNX Runtime's Conv with the ReLU behind it in one node."""
    fused(layers, node, conv)


def padding(node, side):
    """The four paddings that a Conv node names."""
    how, pads = node.attributes.pop("auto_pad", "NOTSET"), node.attributes.pop("pads", [0] * 4)
    if how in ("SAME_UPPER", "SAME_LOWER"):
        return [side // 2] * 4                                       # with a stride of 1
    if how not in ("NOTSET", "VALID") or not is_list(pads, 4):
        raise damaged(f"its node {node.shown} has paddings that cannot be read")
    return [0] * 4 if how == "VALID" else pads


def pad(layers, node):
    """Pad: a border of zeros or reflected pixels for the next convolution."""
    mode = node.attributes.pop("mode", "constant")
    pads = moved(node, node.attributes.pop("pads", node.attributes.pop("paddings", None)))
    fill = node.attributes.pop("value", 0) if len(node.inputs) < 3 or node.inputs[2] is None else node.inputs[2]
    has_axes = len(node.inputs) > 3 and node.inputs[3] is not None
    if mode not in ("constant", "reflect") or np.any(fill) or has_axes or not is_list(pads, 8) or pads[2] < 0 \
            or pads != [0, 0, pads[2], pads[2]] * 2:
        raise unsupported(node, f"pads by {short(pads)} in the mode {short(mode)}; npvgg reads equal borders of "
                                "zeros, and reflected ones")
    if pads[2]:
        layers.border = (mode, pads[2])


def batch_norm(layers, node):
    """BatchNormalization with running statistics."""
    scale, shift, mean, variance = (constant(node, at) for at in (1, 2, 3, 4))
    epsilon = node.attributes.pop("epsilon", EPSILON)
    for name in ("momentum", "spatial", "consumed_inputs"):
        node.attributes.pop(name, None)
    require(node, {"training_mode": 0, "is_test": 1})
    if not isinstance(epsilon, float) or not 0 <= epsilon < 1:
        raise unsupported(node, f"has the epsilon {short(epsilon)}; npvgg reads numbers from 0 to below 1")
    settled(layers)
    layers.batch_norm(shortest(epsilon), W=scale, B=shift, mean=mean, var=variance)


def settled(layers):
    """No later node adds to what has been read so far."""
    layers.takes_bias = layers.takes_shift = None


def multiply(layers, node):
    """A factor a channel, which with the Add behind it is a batch norm with the mean 0, the variance 1 and no ε."""
    scaling(layers, node, factor_of(node))


def divide(layers, node):
    """A divisor a channel: the same."""
    require_first(node)
    with np.errstate(all="ignore"):
        scaling(layers, node, (1 / factor_of(node).astype(np.float64)).astype(np.float32))


def scaling(layers, node, factor):
    """The batch norm of a factor; the Add behind it gives its shift."""
    settled(layers)
    layers.takes_shift = channelwise(layers, node, factor)


def subtract(layers, node):
    """A shift a channel with the other sign."""
    require_first(node)
    shift(layers, node, -factor_of(node))


def add(layers, node):
    """The bias of the layer before, which had none; or the shift of a batch norm."""
    shift(layers, node, factor_of(node))


def shift(layers, node, numbers):
    """A number that is added to each channel."""
    axis = node.attributes.pop("axis", None)                         # to opset 6, with broadcast
    node.attributes.pop("broadcast", None)
    if axis not in (None, 1):
        raise unsupported(node, f"adds along the axis {short(axis)}; npvgg reads 1")
    if axis == 1 and not layers.is_flat:
        numbers = numbers.reshape(*numbers.shape, 1, 1)
    target = layers.takes_bias or layers.takes_shift
    if target is None:
        target = channelwise(layers, node, np.float32(1))
    target["B"] = layers.channels_first(by_channel(layers, node, numbers, len(target["W"])))
    settled(layers)


def channelwise(layers, node, factor):
    """A batch norm that multiplies only."""
    if not layers.is_head and not layers.features:
        raise unsupported(node, "changes the picture; export the network without the preparation of pictures")
    count = width(layers)
    if count is None:
        count = factor.size
    ones = np.ones(count, np.float32)
    return layers.batch_norm(0.0, W=by_channel(layers, node, factor, count), B=0 * ones, mean=0 * ones, var=ones)


def width(layers):
    """How many channels or features the data have; None where the file leaves it open."""
    if not layers.is_flat:
        return layers.channels
    dense = [arrays for kind, arrays in layers.steps if kind == "dense"]
    return len(dense[-1]["W"]) if dense else layers.channels * layers.side**2 if layers.side else None


def by_channel(layers, node, numbers, count):
    """Numbers that are broadcast along the channels or features → a vector of them."""
    if not layers.is_flat and "C" not in layers.layout:
        raise unsupported(node, "changes maps that have no channels; a VGG does not")
    return vector(numbers, count, node, axis=layers.layout.index("C") - len(layers.layout))


def factor_of(node):
    """The constant of a node on two arrays."""
    numbers = next((array for array in node.inputs if array is not None), None)
    if numbers is None or numbers.dtype.kind != "f":
        raise damaged(f"its node {node.shown} lacks a constant that it needs")
    return numbers


def require_first(node):
    """Refuse a constant divided by the data, or that the data are taken from."""
    if node.inputs[0] is not None:
        raise unsupported(node, "has the picture as its second input; no VGG does")


def shortest(number):
    """The shortest decimal that is the same float32: 9.99999974e-06 is meant as 1e-05."""
    return float(str(np.float32(number)))


def relu(layers, node):
    """Relu."""
    node.attributes.pop("consumed_inputs", None)
    settled(layers)
    layers.relu()


def fused(layers, node, before):
    """A node that ends with an activation, which has to be ReLU."""
    activation = node.attributes.pop("activation", "")
    if activation != "Relu" or node.attributes.pop("activation_params", []) or len(node.inputs) > 3:
        raise unsupported(node, f"ends with the activation {short(activation)}, or adds a branch; a VGG's is Relu")
    before(layers, node)
    settled(layers)
    layers.relu()


def response_norm(layers, node):
    """LRN with the constants of A-LRN; UnsupportedError for others."""
    defaults = {"alpha": 1e-4, "beta": 0.75, "bias": 1.0}
    constants = {name: node.attributes.pop(name, defaults.get(name)) for name in LRN}
    is_ours = [type(constants[name]) in (int, float) and np.float32(constants[name]) == np.float32(LRN[name]) for name in LRN]
    if not all(is_ours):
        raise unsupported(node, f"normalises with {short(constants)}; A-LRN does with {LRN}")
    if layers.is_head:
        raise unsupported(node, "stands where a VGG has none")
    layers.add(f"lrn{layers.block}")


def max_pool(layers, node):
    """MaxPool."""
    pool(layers, node, "max")


def average_pool(layers, node):
    """AveragePool."""
    pool(layers, node, "avg")


def pool(layers, node, kind):
    """A pooling of 2×2 that ends a block, or one behind pool5 whose windows divide the map."""
    if not layers.is_head:
        check_window(node, [2, 2], is_even=layers.side is not None and layers.side % 2 == 0)
        layers.pool(kind)
        return
    window = node.attributes.get("kernel_shape")
    if not is_list(window, 2) or len(set(window)) != 1 or window[0] < 1:
        raise unsupported(node, f"pools with a window of {short(window)}; npvgg reads square ones")
    if window != [1, 1]:
        if layers.is_dense:
            raise unsupported(node, "stands where a VGG has none")
        if not layers.side or layers.side % window[0]:
            raise unsupported(node, f"pools {window[0]}×{window[0]} on a map of side {layers.side or 'unknown'}; npvgg reads "
                                    "windows that divide the map")
        layers.side //= window[0]
        layers.step(f"{kind}{layers.side}")
    check_window(node, window, is_even=True)


def check_window(node, window, is_even):
    """Refuse a window other than this one, or with a step or a border other than a VGG's."""
    for name in ("storage_order", "count_include_pad"):
        node.attributes.pop(name, None)
    how, ceil = node.attributes.pop("auto_pad", "NOTSET"), node.attributes.pop("ceil_mode", 0)
    # On an even map rounding up and padding to the same size change nothing.
    if (how not in ("NOTSET", "VALID") or ceil) and not is_even:
        raise unsupported(node, "rounds up the size of a map that is odd or not stated; npvgg rounds down")
    theirs = {"kernel_shape": node.attributes.pop("kernel_shape", None), "strides": node.attributes.pop("strides", [1, 1])}
    expected = {"kernel_shape": window, "strides": window}
    if theirs != expected:
        raise unsupported(node, f"pools with {short(theirs)} where a VGG has {expected}")
    require(node, {"pads": [0] * 4, "dilations": [1, 1]})


def global_average(layers, node):
    """GlobalAveragePool."""
    global_pool(layers, node, "avg")


def global_maximum(layers, node):
    """GlobalMaxPool."""
    global_pool(layers, node, "max")


def reduced_mean(layers, node):
    """ReduceMean over the map's two axes, which is global average pooling."""
    reduced(layers, node, "avg")


def reduced_maximum(layers, node):
    """ReduceMax over the map's two axes, which is global maximum pooling."""
    reduced(layers, node, "max")


def reduced(layers, node, kind):
    """The mean or the maximum over the map, or over one of its axes after the other; they become 1 or vanish."""
    axes = moved(node, node.attributes.pop("axes", None))
    require(node, {"noop_with_empty_axes": 0})
    letters = {layers.layout[axis] for axis in axes}
    others = {axis: how for axis, how in layers.reduced.items() if how != kind or axis in letters}
    if not letters <= {"H", "W"} or not letters or others:
        raise unsupported(node, f"reduces the axes {short(axes)} of {layers.layout}; npvgg reads that over a map")
    layers.reduced |= dict.fromkeys(letters, kind)
    whole = len(layers.reduced) == 2
    if whole:
        layers.reduced = {}
        global_pool(layers, node, kind)
    if not node.attributes.pop("keepdims", 1):
        remove(layers, node, letters)


def squeeze(layers, node):
    """Squeeze: axes of 1 are removed.  UnsupportedError for larger ones, and for the batch's and the channels'."""
    axes = node.attributes.pop("axes", None)
    if len(node.inputs) > 1:
        axes = moved(node, axes)
    letters = {layers.layout[axis] for axis in axes or ()}
    if not letters or not letters <= {"H", "W"} or layers.side != 1 and not letters <= layers.reduced.keys():
        raise unsupported(node, f"removes the axes {short(axes)} of {layers.layout}; npvgg reads that for a map of 1×1")
    remove(layers, node, letters)


def remove(layers, node, letters):
    """Axes vanish; where none of the map's are left, its channels are features."""
    left = "".join(letter for letter in layers.layout if letter not in letters)
    if left == FLAT:
        become_flat(layers, node)
    layers.layout = left


def transpose(layers, node):
    """Transpose: the axes change places, the batch's excepted."""
    order = node.attributes.pop("perm", list(range(len(layers.layout)))[::-1])
    if sorted(order) != list(range(len(layers.layout))) or order[0] != 0:
        raise unsupported(node, f"moves the axes of {layers.layout} by {short(order)}; npvgg reads that where "
                                "the batch stays first")
    layers.layout = "".join(layers.layout[axis] for axis in order)


def global_pool(layers, node, kind):
    """(N, C, H, W) → (N, C, 1, 1), the head's "avg1" or "max1"; UnsupportedError before the head."""
    if not layers.is_head or layers.is_dense and layers.side != 1:
        raise unsupported(node, "stands where a VGG has none")
    if not layers.is_dense:
        layers.side = 1
        layers.step(f"{kind}1")
