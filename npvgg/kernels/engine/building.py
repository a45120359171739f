"""Layers → the steps that compute them.

    program = build(layers, packed, x_shape, threads, algorithm, keep)

A layer is computed by the step of its kind, together with the layers that are fused into it:

    conv2d [batchnorm2d] [relu] [maxpool2d]        dense [relu]        batchnorm2d [relu]        batchnorm1d [relu]

Nothing is fused into a layer whose own output is kept.  A layer has the same bits either way.
"""
import math

from npvgg.arithmetic import ceil_div
from npvgg.kernels.engine.builder import Builder
from npvgg.kernels.engine.convolution_steps import add_convolution, algorithm_for
from npvgg.kernels.engine.layout import Picture, Rows, as_input, as_output
from npvgg.kernels.engine.machine import LANES
from npvgg.kernels.engine.program import Program

DENSE_CHUNK = 16                # outputs of a dense layer a task

FUSED = {                       # what may be fused into a layer, in this order
    "conv2d": ("batchnorm2d", "relu", "maxpool2d"),
    "dense": ("relu",),
    "batchnorm2d": ("relu",),
    "batchnorm1d": ("relu",),
}


def build(layers, packed, x_shape, threads, algorithm, keep):
    """Layers on x (N, C, H, W) or (N, features) → a Program that writes the outputs of those named in `keep`.

    `packed` gives their weights (packed.py).  What comes behind the last of `keep` is not computed.
    """
    builder, missing = Builder(packed, x_shape[0], threads, algorithm), set(keep)
    x = entered(builder, layers[0], x_shape)
    for group in groups(layers, keep):
        x = ADD[group[0].op](builder, x, group[0], {layer.op: layer for layer in group[1:]})
        name = group[-1].name
        if name in missing:
            leave(builder, x, name)
            missing.remove(name)
        builder.owners += [tuple(layer.name for layer in group)] * (len(builder.rows) - len(builder.owners))
        if not missing:
            break
    return Program(builder.rows, builder.regions, builder.scratch, threads, builder.owners, builder.weights)


def groups(layers, keep):
    """Lists of layers that become one step: a layer and those fused into it."""
    group, allowed = [], ()
    for layer in layers:
        if group and layer.op in allowed and group[-1].name not in keep and is_fusible(layer):
            allowed = allowed[allowed.index(layer.op) + 1:]
            group.append(layer)
            continue
        if group:
            yield group
        group, allowed = [layer], FUSED.get(layer.op, ())
    yield group


def is_fusible(layer):
    """Whether the layer does what the step that it would be fused into can do: 2×2 windows side by side, for max pooling."""
    return layer.op != "maxpool2d" or dict(layer.options) == WINDOW


# ------------------------------------------------------------------------------------------------- in and out


def entered(builder, layer, x_shape):
    """The steps that bring x into the form that the first layer reads."""
    _, channels, height, width = (*x_shape, 1, 1)[:4]
    outside = {"x": ("x", 0), "x_image": channels * height * width, "x_plane": height * width, "x_row": width, "height": height,
               "width": width}
    if layer.op == "conv2d" and algorithm_for(x_shape, layer, builder.algorithm, is_first=True) == "first":
        y = builder.need(Picture(builder.half(), builder.images, channels, height, width))
        chunk = max(1, height * channels * builder.images // builder.TASKS)
        builder.step("pad_picture", builder.images * channels * ceil_div(height, chunk), y=(y.region, 0), y_image=y.image,
                     y_plane=y.plane, y_row=y.row, **outside, channels=channels, chunk=chunk)
    else:
        y = builder.features(channels) if len(x_shape) == 2 else builder.map(channels, height, width)
        chunk = max(1, height * y.blocks * builder.images // builder.TASKS)
        builder.step("enter", builder.images * y.blocks * ceil_div(height, chunk), **as_output(y), **outside, channels=channels,
                     chunk=chunk)
    builder.owners.append(("input",))
    return y


def leave(builder, x, name):
    """A step that writes x to the answer called `name`."""
    leaving(builder, x, y=(name, 0), y_image=math.prod(x.shape), y_end=0)


def leaving(builder, x, **fields):
    """A step that writes x in blocks of channels → (N, C, H, W), or (N, features), at the place that `fields` name."""
    chunk = max(1, x.height * x.blocks * builder.images // builder.TASKS)
    builder.step("leave", builder.images * x.blocks * ceil_div(x.height, chunk), **as_input(x), channels=x.channels,
                 chunk=chunk, y_plane=x.height * x.width, y_row=x.width, **fields)


# ------------------------------------------------------------------------------------------------- other layers


def add_finish(builder, x, layer, fused):
    """Batch norm or ReLU of their own."""
    has_relu = layer.op == "relu" or "relu" in fused
    norm = None if layer.op == "relu" else layer
    tail = builder.address(builder.packed.plain_tail(x.channels, norm))
    return builder.by_planes("finish", x, builder.like(x), x.height, tail=tail, floor=builder.floor(has_relu))


def add_pooling(builder, x, layer, _):
    """(N, C, H, W) → (N, C, ⌊H/2⌋, ⌊W/2⌋): the largest value or the mean of 2×2 windows."""
    return builder.pool(layer.op.removesuffix("2d"), x)


def add_normalise(builder, x, layer, _):
    """Local response normalisation: (N, C, H, W) → (N, C, H, W)."""
    options = dict(layer.options)
    constants = builder.packed.normalisation(options["alpha"], options["k"])
    return builder.by_planes("normalise", x, builder.like(x), x.height, weights=builder.address(constants))


def add_adaptive_pooling(builder, x, layer, _):
    """(N, C, H, W) → (N, C, size, size): the mean or the largest value of bins that cover the map."""
    size = dict(layer.options)["size"]
    kind = {"adaptive_avgpool2d": "adaptive_average", "adaptive_maxpool2d": "adaptive_maximum"}[layer.op]
    return builder.by_planes(kind, x, builder.map(x.channels, size, size), size)


def add_flatten(builder, x, layer, _):
    """(N, C, H, W) → (N, C·H·W), in the order of a NumPy reshape; rows of features stay as they are."""
    if isinstance(x, Rows):
        return x
    y = builder.features(math.prod(x.shape))
    leaving(builder, x, y=(y.region, 0), y_image=y.image, y_end=y.image)
    return y


def add_dense(builder, x, layer, fused):
    """(N, inputs) → (N, outputs), with ReLU where it is fused."""
    outputs = dict(layer.shapes)["weight"][0]
    weight, bias = builder.packed.dense(layer)
    y = builder.features(outputs)
    builder.thread_room(builder.images * DENSE_CHUNK * LANES)
    builder.step("dense", ceil_div(outputs, DENSE_CHUNK), images=builder.images, inputs=weight.shape[1], outputs=outputs,
                 chunk=DENSE_CHUNK, x=(x.region, 0), x_image=x.image, y=(y.region, 0), y_image=y.image, y_end=y.image,
                 weights=builder.address(weight), tail=builder.address(bias), floor=builder.floor("relu" in fused))
    return y


def add_mirror(builder, x, layer, _):
    """A border of mirrored pixels: (N, C, H, W) → (N, C, H + 2·size, W + 2·size)."""
    size = dict(layer.options)["size"]
    y = builder.map(x.channels, x.height + 2 * size, x.width + 2 * size)
    return builder.by_planes("mirror", x, y, y.height, padding=size)


def add_nothing(builder, x, layer, _):
    """Dropout is the identity at inference."""
    return x


WINDOW = {"size": 2, "stride": 2}
ADD = {
    "reflection_pad2d": add_mirror,
    "conv2d": add_convolution, "batchnorm2d": add_finish, "batchnorm1d": add_finish, "relu": add_finish,
    "maxpool2d": add_pooling, "avgpool2d": add_pooling, "local_response_norm": add_normalise,
    "adaptive_avgpool2d": add_adaptive_pooling, "adaptive_maxpool2d": add_adaptive_pooling, "flatten": add_flatten,
    "dense": add_dense, "dropout": add_nothing,
}
# Which options the engine obeys: each with the values that it can take, or None for any that the contract allows.
OBEYED = {
    "reflection_pad2d": {"size": None},
    "conv2d": {"padding": (0, 1)}, "maxpool2d": {"size": (2,), "stride": (2,)}, "avgpool2d": {"size": (2,), "stride": (2,)},
    "batchnorm2d": {"eps": None}, "batchnorm1d": {"eps": None},
    "local_response_norm": {"size": (5,), "alpha": None, "beta": (0.75,), "k": None},
    "adaptive_avgpool2d": {"size": None}, "adaptive_maxpool2d": {"size": None}, "dropout": {"p": None},
}


def is_obeyed(layer):
    """Whether the engine has a step for the layer that does what its options say."""
    obeyed = OBEYED.get(layer.op, {})
    return layer.op in ADD and dict(layer.options).keys() == obeyed.keys() and all(
        obeyed[name] is None or value in obeyed[name] for name, value in layer.options)
