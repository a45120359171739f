"""The layers of a Keras model → those of a VGG.

    front       Rescaling, which belongs to the preparation of pictures
    features    (Conv2D [BatchNormalization] [Activation or ReLU])… MaxPooling2D or AveragePooling2D, five times
    head        poolings, Flatten, Dense, BatchNormalization, Activation, ReLU and Dropout in any order
    end         softmax, sigmoid, or nothing

Every layer and every option of it has to be one that a VGG has.  Source: keras/src/layers.
"""
from dataclasses import dataclass, field

import numpy as np

from npvgg.architecture import CHANNELS
from npvgg.errors import NpvggError, UnsupportedError
from weights_convert.formats.layers import CHANNELS_LAST, MAPS, Layers
from weights_convert.refusals import damaged, printable

FIELDS = {"W": "weight", "B": "bias", "mean": "mean", "var": "var"}      # of `Layers` → in the keys
FLOATS = ("float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16")
# Options that training uses, or that the shapes of the arrays say again.
IN_TRAINING = {"name", "trainable", "filters", "units", "momentum", "seed", "noise_shape", "data_format", "ragged", "sparse",
               "optional", "synchronized", "fused", "renorm_momentum", "build_config"}
ENDINGS = ("_initializer", "_regularizer", "_constraint")


@dataclass
class Walk(Layers):
    """The layers so far, and (scale, offset) of the pictures' levels in front of the network."""

    rescaling: tuple = ()
    precisions: set = field(default_factory=set)      # "float32", "mixed_float16", …: of its layers


def read(nodes, arrays):
    """[Node, …], Arrays → Walk, finished.  BadFileError, UnsupportedError."""
    layers, size = Walk(), None
    for node in nodes:
        if node.kind not in OPERATORS:
            raise unsupported(node, f"is none of a VGG's; npvgg knows {', '.join(OPERATORS)}")
        if layers.has_ended and node.kind not in NOTHING:
            raise unsupported(node, "stands behind the end of a VGG")
        try:
            shape = shape_of(node)
            if shape and not layers.features:
                size = layers.side = picture(node, shape) or size    # an inner model may leave open what the outer one says
            is_last, last = node.options.get("data_format", "channels_last"), node.options.pop("dtype", "float32")
            if is_last not in (None, "channels_last") or dtype_of(last) not in FLOATS:
                raise unsupported(node, f"has the data format {short(is_last)} and the dtype {short(dtype_of(last))}; npvgg "
                                        "reads channels_last and floating point")
            layers.precisions.add(dtype_of(last))
            if layers.border and node.kind != "Conv2D":
                raise unsupported(node, "stands where a VGG has none")
            OPERATORS[node.kind](layers, node, arrays)
        except NpvggError:
            raise
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError):
            raise damaged(f"its layer {node.shown} has options or weights that do not fit it") from None
        left = sorted(name for name, value in node.options.items() if value not in (None, False)
                      and name not in IN_TRAINING and not name.endswith(ENDINGS))
        if left and node.kind not in NOTHING:
            raise unsupported(node, f"has the option {short(left[0])}, which npvgg does not know")
    layers.finish(size)
    low = sorted(name for name in layers.precisions if name.endswith("float16"))
    layers.remarks += [f"its layers compute in {', '.join(low)}; npvgg does in float32, so that digits differ"] if low else []
    return layers


def unsupported(node, what):
    """The UnsupportedError for a layer: its name and what it does."""
    return UnsupportedError(f"its layer {node.shown} {what}")


def short(value):
    """What a file says, for a message."""
    return printable(repr(value), 80)


def dtype_of(said):
    """"float32", or Keras 3's description of a policy → its name, or how it quantises."""
    config = said["config"] if isinstance(said, dict) else {"name": "float32" if said is None else said}
    return config["name"] if "name" in config else config["mode"]


def shape_of(node):
    """The shape of the pictures where a layer has it: [None, H, W, C]."""
    shapes = [node.options.pop(name, None) for name in ("batch_shape", "batch_input_shape")]
    return next((shape for shape in shapes if shape), None)


def picture(node, shape):
    """[None, S, S, C] → S, or None where it is open.  UnsupportedError for others."""
    if len(shape) != 4 or shape[1] != shape[2] or shape[3] not in (*CHANNELS, None) or not (shape[1] is None or shape[1] > 0):
        raise unsupported(node, f"takes pictures of the shape {short(shape[1:])}; npvgg's VGGs take (S, S, C) with C one of "
                                f"{', '.join(map(str, CHANNELS))}")
    return shape[1]


def require(node, **expected):
    """Refuse options that are there and differ from all that a VGG may have."""
    for name, values in expected.items():
        theirs = node.options.pop(name, values[0])
        if theirs not in values:
            raise unsupported(node, f"has {name} {short(theirs)} where a VGG has {values[0]}")


def conv(layers, node, arrays):
    """Conv2D: a convolution with its activation, or behind pool5 one that covers the map, which is a dense layer."""
    require_maps(layers, node)
    fields = arrays.of(node, ["kernel", "bias"] if node.options.pop("use_bias", True) else ["kernel"])
    kernel, bias = fields["kernel"], fields.get("bias")
    if kernel.ndim != 4 or kernel.shape[0] != kernel.shape[1]:
        raise unsupported(node, f"has filters of the shape {kernel.shape}; a VGG's are square")
    side, border = kernel.shape[0], layers.border[1] if layers.border else 0
    require(node, kernel_size=([side, side],), strides=([1, 1],), dilation_rate=([1, 1],), groups=(1,))
    layers.border = ()
    padding = node.options.pop("padding", "valid")
    border += {"same": side // 2, "valid": 0}[padding]
    weight = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
    if layers.is_head:
        if border or side != (layers.side or side):
            raise unsupported(node, f"has filters of {side}×{side} on a map of {layers.side}; npvgg reads a convolution after "
                                    "pool5 where it covers the map")
        layers.begin_features()
        layers.dense(weight.reshape(len(weight), -1), np.zeros(len(weight), np.float32) if bias is None else bias)
        layers.side = 1
    elif border != side // 2 or side % 2 == 0:
        raise unsupported(node, f"has the padding {short(padding)} with filters of {side}×{side}; a VGG keeps the size of "
                                "the map")
    else:
        layers.convolution(weight, bias)
    activate(layers, node, node.options.pop("activation", None))


def require_maps(layers, node):
    """UnsupportedError where the maps were flattened."""
    if layers.is_flat:
        raise unsupported(node, "stands behind the flattened map")


def rescaling(layers, node, arrays):
    """Rescaling of the pictures in front of the network: x · scale + offset, which becomes part of their preparation."""
    scale, offset = (node.options.pop(name, default) for name, default in (("scale", 1.0), ("offset", 0.0)))
    is_number = all(type(number) in (int, float) for number in (scale, offset)) and 1e-5 < scale < 1e5 and \
        abs(offset) < 1e5 * scale
    if layers.features or layers.rescaling or not is_number:
        raise unsupported(node, f"computes x · {short(scale)} + {short(offset)}; npvgg reads two numbers, once, in front of "
                                "the network")
    layers.rescaling = float(scale), float(offset)


def zero_padding(layers, node, arrays):
    """ZeroPadding2D: a border for the next convolution."""
    require_maps(layers, node)
    sides = np.unique(node.options.pop("padding", 1))
    if sides.tolist() not in ([0], [1]):
        raise unsupported(node, f"has borders of {sides.tolist()[:4]}; a VGG's are of 1")
    layers.border = ("constant", int(sides[0]))


def activation(layers, node, arrays):
    """Activation: relu, softmax, sigmoid or linear."""
    activate(layers, node, node.options.pop("activation", None))


def activate(layers, node, name):
    """What makes the outputs of a layer."""
    if isinstance(name, dict):                                       # a function of Keras' as Keras 3 may write it
        name = name.get("config") if name.get("class_name") == "function" else name.get("class_name")
    if name == "relu":
        layers.relu()
    elif name in ("softmax", "sigmoid"):
        end(layers, node, name)
    elif name not in (None, "linear"):
        raise unsupported(node, f"has the activation {short(name)}; npvgg knows relu, and softmax and sigmoid at the end")


def end(layers, node, name):
    """Softmax or sigmoid of what a dense layer gives: the model's own output is probabilities."""
    if not layers.is_flat or [kind for kind, _ in layers.steps if not kind.startswith("drop")][-1:] != ["dense"]:
        raise unsupported(node, f"makes probabilities by {name} of something other than a dense layer's outputs; a VGG "
                                "does not")
    layers.output, layers.source_output, layers.has_ended = name, "probabilities", True


def relu(layers, node, arrays):
    """ReLU without a bound or a slope."""
    require(node, max_value=(None,), negative_slope=(0, None), threshold=(0, None))
    layers.relu()


def softmax(layers, node, arrays):
    """Softmax over the classes."""
    require(node, axis=(-1, 1))
    end(layers, node, "softmax")


def batch_norm(layers, node, arrays):
    """BatchNormalization with moving statistics, over the channels."""
    last = 1 if layers.is_flat else 3
    require(node, axis=(-1, last, [-1], [last]), renorm=(False,))
    has_scale, has_shift = node.options.pop("scale", True), node.options.pop("center", True)
    names = [name for name, there in (("gamma", has_scale), ("beta", has_shift)) if there] + ["moving_mean", "moving_variance"]
    fields, epsilon = arrays.of(node, names), node.options.pop("epsilon", 1e-3)
    if type(epsilon) not in (int, float) or not 0 <= epsilon < 1:
        raise unsupported(node, f"has the epsilon {short(epsilon)}; npvgg reads numbers from 0 to below 1")
    if not layers.features:
        raise unsupported(node, "changes the picture; give the network without the preparation of pictures")
    mean = fields["moving_mean"]
    layers.batch_norm(float(epsilon), W=fields.get("gamma", np.ones_like(mean)), B=fields.get("beta", np.zeros_like(mean)),
                      mean=mean, var=fields["moving_variance"])


def max_pool(layers, node, arrays):
    """MaxPooling2D."""
    pool(layers, node, "max")


def average_pool(layers, node, arrays):
    """AveragePooling2D."""
    pool(layers, node, "avg")


def pool(layers, node, kind):
    """A pooling of 2×2 that ends a block, or one behind pool5 whose windows divide the map."""
    require_maps(layers, node)
    window = node.options.pop("pool_size", [2, 2])
    window = [window, window] if isinstance(window, int) else window
    require(node, strides=(window, None, window[0]))
    padding = node.options.pop("padding", "valid")
    divides = bool(layers.side) and layers.side % window[0] == 0
    if len(window) != 2 or window[0] != window[1] or padding != "valid" and not (padding == "same" and divides):
        raise unsupported(node, f"pools {short(window)} with the padding {short(padding)}; npvgg rounds the size of a map down")
    if not layers.is_head:
        if window != [2, 2]:
            raise unsupported(node, f"pools with a window of {short(window)} where a VGG has [2, 2]")
        layers.pool(kind)
    elif window != [1, 1]:
        if not divides or layers.is_dense:
            raise unsupported(node, f"pools {short(window)} on a map of side {layers.side or 'unknown'}; npvgg reads windows "
                                    "that divide the map")
        layers.side //= window[0]
        layers.step(f"{kind}{layers.side}")


def global_average(layers, node, arrays):
    """GlobalAveragePooling2D."""
    global_pool(layers, node, "avg")


def global_maximum(layers, node, arrays):
    """GlobalMaxPooling2D."""
    global_pool(layers, node, "max")


def global_pool(layers, node, kind):
    """The map becomes one number a channel, as a row or, with keepdims, as a map of one pixel."""
    require_maps(layers, node)
    if not layers.is_head:
        raise unsupported(node, "stands before the last of five poolings, where a VGG has none")
    if not layers.is_dense:
        layers.side = 1
        layers.step(f"{kind}1")
    elif layers.side != 1:
        raise unsupported(node, "stands where a VGG has none")
    if not node.options.pop("keepdims", False):
        flattened(layers)


def flatten(layers, node, arrays):
    """Flatten: (h, w, c) becomes features in this order."""
    if not layers.is_head:
        raise unsupported(node, "stands before the last of five poolings, where a VGG has none")
    flattened(layers)


def flattened(layers):
    """From here on rows of features, in Keras' order."""
    layers.layout = CHANNELS_LAST if layers.layout == MAPS else layers.layout
    layers.flatten()


def reshape(layers, node, arrays):
    """Reshape to one axis, which flattens."""
    shape = node.options.pop("target_shape")
    if len(shape) != 1:
        raise unsupported(node, f"reshapes to {short(shape)}; npvgg reads it where it flattens")
    flatten(layers, node, arrays)


def dense(layers, node, arrays):
    """Dense with its activation."""
    if not layers.is_flat:
        raise unsupported(node, "is applied to a map that was not flattened")
    fields = arrays.of(node, ["kernel", "bias"] if node.options.pop("use_bias", True) else ["kernel"])
    weight = fields["kernel"].T
    if weight.ndim != 2:
        raise unsupported(node, f"has a weight of the shape {fields['kernel'].shape}; npvgg reads a matrix")
    layers.dense(weight, fields.get("bias", np.zeros(len(weight), np.float32)))
    activate(layers, node, node.options.pop("activation", None))


def dropout(layers, node, arrays):
    """In inference it hands on what it gets."""
    layers.dropout(float(node.options.pop("rate", 0.5)))


def nothing(layers, node, arrays):
    """In inference it hands on what it gets."""


NOTHING = dict.fromkeys(("InputLayer", "SpatialDropout2D", "GaussianDropout", "GaussianNoise", "AlphaDropout", "Identity",
                         "ActivityRegularization",
                         "RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast",
                         "RandomBrightness"), nothing) | {"Dropout": dropout}
OPERATORS = {
    "Rescaling": rescaling, "Conv2D": conv, "ZeroPadding2D": zero_padding, "BatchNormalization": batch_norm,
    "Activation": activation, "ReLU": relu,
    "MaxPooling2D": max_pool, "AveragePooling2D": average_pool, "GlobalAveragePooling2D": global_average,
    "GlobalMaxPooling2D": global_maximum, "Flatten": flatten, "Reshape": reshape, "Dense": dense, "Softmax": softmax,
} | NOTHING
