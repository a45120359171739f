"""Layers → the steps that compute them.

    program = build(layers, packed, x_shape, threads, algorithm, keep)

A layer is computed by the step of its kind, together with the layers that are fused into it:

    conv2d [batchnorm2d] [relu] [maxpool2d]        dense [relu]        batchnorm2d [relu]        batchnorm1d [relu]

Nothing is fused into a layer whose own output is kept.  A layer has the same bits either way.  Feature maps live in two halves
of the arena, each step reading one and writing the other.
"""
import math
from dataclasses import dataclass, field

import numpy as np

from npvgg.arithmetic import ceil_div
from npvgg.kernels.engine import steps
from npvgg.kernels.engine.layout import Map, Picture, Rows, as_input, as_output
from npvgg.kernels.engine.machine import CACHE_LINE, FLOAT, LANES, ROWS, VECTORS, machine
from npvgg.kernels.engine.program import Program
from npvgg.kernels.engine.winograd import positions, tile_for

LEAST_TILES = ceil_div(24, ROWS) * ROWS     # in whole tiles of sums; with fewer the filters pass through too often
TASKS = 64                      # pieces that a step is divided into where nothing else decides: enough to share out evenly
# Channels whose products are summed in registers, and those whose sums are gathered before they join the total.  The error of
# n products grows with the root of s + g + n/(s·g) for s summed and g·s gathered, instead of the root of n, and with that of
# s + g where the total is compensated, as it is directly.  On VGG-16's published filters a layer's largest gap, the worst of
# eight photographs, is at most 1.9 times PyTorch's by Winograd's algorithm and 0.6 times directly
# (python -m benchmarks.exactness).
SUMMED, GROUPED = 16, {"direct": 128, "winograd": 64}
LEAST_SIDE = 4                  # pixels: below, most of a Winograd tile would hang over the edge
DENSE_CHUNK = 16                # outputs of a dense layer a task

RELU_FLOOR, NO_FLOOR = np.zeros(1, np.float32), np.full(1, -np.inf, np.float32)

FUSED = {                       # what may be fused into a layer, in this order
    "conv2d": ("batchnorm2d", "relu", "maxpool2d"),
    "dense": ("relu",),
    "batchnorm2d": ("relu",),
    "batchnorm1d": ("relu",),
}


@dataclass
class Builder:
    """Steps under construction, with names of regions where the program will have places."""

    packed: object              # Packed: the weights
    images: int
    threads: int
    algorithm: str
    rows: list = field(default_factory=list)
    regions: dict = field(default_factory=dict)         # name: floats
    scratch: int = 0
    halves: int = 0
    inputs: list = field(default_factory=list)
    outputs: dict = field(default_factory=dict)         # name: number of a step
    owners: list = field(default_factory=list)          # of each step, the names of its layers
    weights: list = field(default_factory=list)

    def need(self, layout):
        """Reserve what `layout` needs in its region; returns the layout."""
        self.regions[layout.region] = max(self.regions.get(layout.region, 0), layout.floats)
        return layout

    def half(self):
        """The half of the arena that is not being read."""
        self.halves += 1
        return f"half {self.halves % 2}"

    def map(self, channels, height, width):
        """A feature map (images, channels, height, width) in the half that is not being read."""
        return self.need(Map(self.half(), self.images, channels, height, width))

    def features(self, channels):
        """Rows of features (images, channels) in the half that is not being read."""
        return self.need(Rows(self.half(), self.images, channels))

    def like(self, x):
        """Room for an answer of the same shape."""
        return self.features(*x.shape) if isinstance(x, Rows) else self.map(*x.shape)

    def step(self, kind, tasks, **fields):
        """Append a step of that kind, divided into `tasks` tasks, with these fields of its STEP."""
        self.rows.append({"kind": steps.NUMBER[kind], "tasks": tasks, **fields})

    def by_planes(self, kind, x, y, height, **fields):
        """A step of which each task is a few rows of one plane."""
        chunk = max(1, height * y.blocks * self.images // TASKS)
        self.step(kind, self.images * y.blocks * ceil_div(height, chunk), **as_input(x), **as_output(y), chunk=chunk, **fields)
        return y

    def address(self, array):
        """Where an array lies; it stays there as long as the program lives."""
        self.weights.append(array)
        return array.ctypes.data

    def floor(self, has_relu):
        """The address of what outputs are at least: 0 with ReLU, −∞ without."""
        return (RELU_FLOOR if has_relu else NO_FLOOR).ctypes.data

    def thread_room(self, floats):
        """Reserve at least so many floats of scratch for each thread."""
        self.scratch = max(self.scratch, floats)


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
    return Program(builder.rows, builder.regions, builder.scratch, threads, builder.inputs, builder.outputs, builder.owners,
                   builder.weights)


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
    outside = {"x_image": channels * height * width, "x_plane": height * width, "x_row": width, "height": height,
               "width": width}
    builder.inputs.append(0)
    if layer.op == "conv2d" and algorithm_for(x_shape, layer, builder.algorithm, is_first=True) == "first":
        y = builder.need(Picture(builder.half(), builder.images, channels, height, width))
        builder.step("pad_picture", builder.images * channels, y=(y.region, 0), y_image=y.image, y_plane=y.plane, y_row=y.row,
                     **outside, channels=channels)
    else:
        y = builder.features(channels) if len(x_shape) == 2 else builder.map(channels, height, width)
        chunk = max(1, height * y.blocks * builder.images // TASKS)
        builder.step("enter", builder.images * y.blocks * ceil_div(height, chunk), **as_output(y), **outside, channels=channels,
                     chunk=chunk)
    builder.owners.append(("input",))
    return y


def leave(builder, x, name):
    """A step that writes x to the answer called `name`."""
    builder.outputs[name] = len(builder.rows)
    leaving(builder, x, y_image=math.prod(x.shape), y_end=0)


def leaving(builder, x, **fields):
    """A step that writes x in blocks of channels → (N, C, H, W), or (N, features), at the place that `fields` name."""
    chunk = max(1, x.height * x.blocks * builder.images // TASKS)
    builder.step("leave", builder.images * x.blocks * ceil_div(x.height, chunk), **as_input(x), channels=x.channels,
                 chunk=chunk, y_plane=x.height * x.width, y_row=x.width, **fields)


# ------------------------------------------------------------------------------------------------- convolutions


def algorithm_for(x_shape, layer, algorithm="auto", is_first=False):
    """Which algorithm convolves x (…, C, H, W): by the shapes of layer and picture alone, never by batch, threads or processor.

    "first" sums the few channels of a picture, where the layer is the first of the network; "winograd" and "direct" ask for
    one of them where there is a choice.
    """
    channels, height, width = x_shape[-3:]
    kernel, padding = dict(layer.shapes)["weight"][2:], dict(layer.options)["padding"]
    if kernel == (3, 3) and padding == 1 and is_first and channels <= steps.PICTURE_CHANNELS:
        return "first"
    least = min(height, width) + 2 * padding - 2                      # pixels of the output along its shorter side
    if kernel != (3, 3) or algorithm == "direct" or algorithm == "auto" and least < LEAST_SIDE:
        return "direct"
    return "winograd"


def add_convolution(builder, x, layer, fused):
    """(N, C, H, W) → (N, O, H′, W′), with batch norm, ReLU and max pooling where they are fused."""
    outputs, _, kh, kw = dict(layer.shapes)["weight"]
    padding = dict(layer.options)["padding"]
    algorithm = algorithm_for((x.channels, x.height, x.width), layer, builder.algorithm, isinstance(x, Picture))
    height, width = x.height + 2 * padding - kh + 1, x.width + 2 * padding - kw + 1
    pooled = "maxpool2d" in fused and algorithm == "winograd"
    y = builder.map(outputs, height // 2 if pooled else height, width // 2 if pooled else width)
    tile = tile_for(height, width) if algorithm == "winograd" else None
    weights = builder.packed.convolution(layer, algorithm, tile)
    common = {**as_output(y), "padding": padding, "images": builder.images, "pooled": pooled,
              "weights": builder.address(weights), "floor": builder.floor("relu" in fused),
              "tail": builder.address(builder.packed.tail(layer, fused.get("batchnorm2d")))}
    builder.thread_room(steps.CONVOLUTION_SCRATCH)
    borders = builder.images * y.blocks
    if algorithm == "first":
        # Rows side by side: where two threads write neighbouring rows, the lines that the processor asks for ahead of one are
        # taken from the other, and with one row a task this step takes 1.9 ms instead of 1.2.
        chunk = ceil_div(builder.images * height, TASKS)
        builder.step("first_convolution", ceil_div(builder.images * height, chunk) + borders, **common, chunk=chunk,
                     channels=x.channels, x=(x.region, 0), x_image=x.image, x_plane=x.plane, x_row=x.row)
    elif algorithm == "direct":
        builder.step("direct", builder.images * height + borders, **common | as_input(x), kh=kh, kw=kw,
                     summed=blocks_of(SUMMED), grouped=blocks_of(GROUPED["direct"]))
    else:
        across = ceil_div(width, tile)
        common |= as_input(x) | {"tile": tile, "tiles_across": across, "tiles": ceil_div(height, tile) * across}
        add_winograd(builder, x, y, common, weights.nbytes, borders)
    return add_pooling(builder, y, fused["maxpool2d"], {}) if "maxpool2d" in fused and not pooled else y


def add_winograd(builder, x, y, common, weight_bytes, borders):
    """One step where the transformed filters stay in a cache, three where they do not."""
    total, places = common["tiles"] * builder.images, positions(common["tile"])
    inputs, outputs = x.blocks * LANES, ceil_div(y.blocks, VECTORS) * VECTORS * LANES
    resident = weight_bytes <= machine().resident
    if resident:
        outputs = VECTORS * LANES                                     # of one panel at a time
        most = max(LEAST_TILES, machine().task // (FLOAT * places * (inputs + outputs)))
        rounds = ceil_div(total, most * builder.threads)              # with nine tasks for two threads one would wait
        chunk = ceil_div(total, rounds * builder.threads)
    else:
        chunk = total
    slots = chunk + ROWS
    v_position, m_position = odd_lines(inputs * slots), odd_lines(outputs * slots)
    common |= {"summed": blocks_of(SUMMED), "grouped": blocks_of(GROUPED["winograd"]), "slots": slots,
               "v_position": v_position, "m_position": m_position}
    if resident:
        builder.thread_room(steps.CONVOLUTION_SCRATCH + places * (v_position + m_position))
        builder.step("winograd", ceil_div(total, chunk) + borders, **common, chunk=chunk)
        return
    for region, position in (("v", v_position), ("m", m_position)):
        builder.regions[region] = max(builder.regions.get(region, 0), places * position)
    common |= {"v": ("v", 0), "m": ("m", 0)}
    part = ceil_div(total, max(1, TASKS // x.blocks))
    builder.step("transform", x.blocks * ceil_div(total, part), **common, chunk=part)
    products = places * outputs // (VECTORS * LANES)
    share = max(1, products // (4 * TASKS))
    builder.step("multiply", ceil_div(products, share), **common, chunk=share)
    part = ceil_div(total, max(1, TASKS // y.blocks))
    builder.step("transform_back", y.blocks * ceil_div(total, part) + borders, **common, chunk=part)


def blocks_of(channels):
    """So many channels, which are at least as many as lanes, in blocks."""
    return channels // LANES


def odd_lines(floats):
    """At least so many floats, an odd number of cache lines.

    A tile's positions lie that far apart and are used together; distances that share a large power of two put all of them
    into a few sets of the cache (conv1_2 with 2048 bytes instead of 1984: 1.2 ms more for the transform back alone).
    """
    return CACHE_LINE * (ceil_div(floats, CACHE_LINE) | 1)


# ------------------------------------------------------------------------------------------------- other layers


def add_finish(builder, x, layer, fused):
    """Batch norm or ReLU of their own."""
    has_relu = layer.op == "relu" or "relu" in fused
    norm = None if layer.op == "relu" else layer
    tail = builder.address(builder.packed.plain_tail(x.channels, norm))
    return builder.by_planes("finish", x, builder.like(x), x.height, tail=tail, floor=builder.floor(has_relu))


def add_pooling(builder, x, layer, _):
    """(N, C, H, W) → (N, C, ⌊H/2⌋, ⌊W/2⌋): the largest value or the mean of 2×2 windows."""
    y = builder.map(x.channels, x.height // 2, x.width // 2)
    return builder.by_planes(layer.op.removesuffix("2d"), x, y, y.height)


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
