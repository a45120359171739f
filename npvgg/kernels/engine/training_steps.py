"""Layers → the steps of a training step: forward with the batch's statistics, and backwards.

    chain = groups(layers)
    forward, backward = build(chain, x_shape, threads, first=0)

A network is a chain of groups, each of which the two programs do as one piece:

    conv2d [batchnorm2d] relu [maxpool2d]        adaptive_avgpool2d        flatten        dense [relu]        dropout

Between them lies what the way back needs: of a group of convolution its sums y (without batch norm, after ReLU), and what it
answered.  A ReLU's mask is read off its answer.
"""
import math
from dataclasses import dataclass, field

import numpy as np

from npvgg.arithmetic import ceil_div
from npvgg.kernels.engine.builder import Builder
from npvgg.kernels.engine.building import DENSE_CHUNK, WINDOW
from npvgg.kernels.engine.convolution_steps import GROUPED, SUMMED, add_winograd, blocks_of, odd_lines
from npvgg.kernels.engine.layout import Map, Picture, Rows, as_input, as_output
from npvgg.kernels.engine.machine import CACHE_LINE, COLUMNS, FLOAT, LANES, ROWS, VECTORS, machine
from npvgg.kernels.engine.program import TRAINING, Program
from npvgg.kernels.engine.steps import CONVOLUTION_SCRATCH, PARTS, PICTURE_CHANNELS
from npvgg.kernels.engine.winograd import positions, tile_for

SUMS, COEFFICIENTS, TAPS = 2, 3, 9      # vectors a plane or a block: see float32/gradients/batch_norm.py
TILE_PARTS = 8                  # into how many parts the tiles are divided, each with sums of its own
PART_SUMS = 1 << 20             # bytes of them: with more, each position is a task of its own over all tiles
OUTPUT_BLOCKS = 4               # of a convolution whose products share the transformed inputs in the first-level cache
INPUTS = 512                    # of a dense layer, a task

GROUPS = {                      # the first layer of a group: those that may follow it, in this order
    "conv2d": ("batchnorm2d", "relu", "maxpool2d"), "dense": ("relu",), "adaptive_avgpool2d": (), "flatten": (), "dropout": (),
}


def groups(layers):
    """Layers → [{operation: layer}, …] in order."""
    chain = []
    for layer in layers:
        op, *others = chain[-1] if chain else [None]
        allowed = GROUPS.get(op, ())
        if layer.op in allowed[allowed.index(others[-1]) + 1 if others else 0:]:
            chain[-1][layer.op] = layer
        else:
            chain.append({layer.op: layer})
    return chain


def refused(layers) -> str | None:
    """The name of the first layer that the engine cannot train, None where it can train all.

    It trains 3×3 convolutions with padding 1 and a ReLU behind them, the first on a picture, 2×2 windows side by side, and a head
    of features.
    """
    chain = groups(layers)
    for number, group in enumerate(chain):
        op, layer = next(iter(group.items()))
        if op not in GROUPS or (number == 0) and op != "conv2d":
            return layer.name
        if op == "conv2d":
            _, channels, *kernel = dict(layer.shapes)["weight"]
            if kernel != [3, 3] or dict(layer.options) != {"padding": 1} or number == 0 and channels > PICTURE_CHANNELS:
                return layer.name
            if "relu" not in group:
                return layer.name
            if "maxpool2d" in group and dict(group["maxpool2d"].options) != WINDOW:
                return group["maxpool2d"].name
        if op == "dropout" and not any("flatten" in before for before in chain[:number]):
            return layer.name
    return None if any("dense" in group for group in chain) else layers[-1].name


def build(chain, x_shape, threads, first):
    """What `groups` gave, on x (N, C, H, W) → the Programs forward and backward, over one arena.

    Arrays of forward: "x", each parameter, "logits", and for a batch norm called bn "bn/batch mean" and "bn/batch variance"; for
    a dropout called drop "drop" holds factors (N, features).  Arrays of backward: the parameters, the factors, "gradient" with
    regard to the logits, and "∂conv1_1/weight" … for the gradient of each parameter of the groups from number `first` on.
    """
    builder = TrainingBuilder(None, x_shape[0], threads, "winograd")
    x, back = builder.picture(x_shape), []
    for group in chain:
        x, undo = ADD[next(iter(group))](builder, x, group)
        back.append(undo)
    leaving(builder, x, y=("logits", 0), y_image=math.prod(x.shape), y_end=0)
    forward, builder.rows = builder.rows, []
    g = builder.like(x)
    builder.step("enter", builder.images * g.blocks, x=("gradient", 0), x_image=x.channels, x_plane=1, x_row=1, height=1, width=1,
                 **as_output(g), channels=x.channels, chunk=1)
    for number in range(len(back) - 1, first - 1, -1):
        g = back[number](g, number > first)
    return [Program(rows, builder.regions, builder.scratch, threads, weights=builder.weights, module=TRAINING)
            for rows in (forward, builder.rows)]


class TrainingMap(Map):
    """A feature map with no more room than the tiles of its own convolution need: small maps are most of a training network."""

    def room(self, side):
        """Pixels from the border on, for `side` of them."""
        tile = tile_for(self.height, self.width)
        return ceil_div(side, tile) * tile + 2


@dataclass
class TrainingBuilder(Builder):
    """Steps of both programs: what is read again on the way back has a region of its own."""

    kept: int = 0

    def region(self, floats):
        """A new region of so many floats."""
        self.kept += 1
        self.regions[f"kept {self.kept}"] = floats
        return f"kept {self.kept}"

    def keep(self, channels, height, width):
        """A feature map that stays until the way back."""
        return self.needed(TrainingMap, channels, height, width)

    def keep_rows(self, channels):
        """Rows of features that stay until the way back."""
        return self.needed(Rows, channels)

    def needed(self, kind, *shape):
        """A layout of that kind in a region of its own."""
        return kind(self.region(kind("", self.images, *shape).floats), self.images, *shape)

    def map(self, channels, height, width):
        """A feature map in the half that is not being read."""
        return self.need(TrainingMap(self.half(), self.images, channels, height, width))

    def picture(self, x_shape):
        """The steps that bring the pictures into the form that the first convolution reads."""
        _, channels, height, width = x_shape
        y = self.needed(Picture, channels, height, width)
        chunk = max(1, height * channels * self.images // self.TASKS)
        self.step("pad_picture", self.images * channels * ceil_div(height, chunk), y=(y.region, 0), y_image=y.image, y_plane=y.plane,
                  y_row=y.row, x=("x", 0), x_image=channels * height * width, x_plane=height * width, x_row=width, height=height,
                  width=width, channels=channels, chunk=chunk)
        return y

    def planes(self, kind, x, **fields):
        """A step of which each task is one plane of x."""
        self.step(kind, self.images * x.blocks, **as_input(x), channels=x.channels, **fields)


def leaving(builder, x, **fields):
    """A step that writes x in blocks of channels → (N, C, H, W), or (N, features), at the place that `fields` name."""
    builder.step("leave", builder.images * x.blocks, **as_input(x), channels=x.channels, chunk=x.height,
                 y_plane=x.height * x.width, y_row=x.width, **fields)


def as_gradient(g):
    """The fields of a step that reads the gradient g."""
    return {"g": (g.region, g.first), "g_image": g.image, "g_plane": g.plane, "g_row": g.row}


# ------------------------------------------------------------------------------------------------- convolutions


def add_convolution(builder, x, group):
    """conv2d [batchnorm2d] relu [maxpool2d]: (N, C, H, W) → (N, O, H′, W′)."""
    layer, norm, is_pooled = group["conv2d"], group.get("batchnorm2d"), "maxpool2d" in group
    outputs = dict(layer.shapes)["weight"][0]
    y = builder.keep(outputs, x.height, x.width)
    tail = builder.region(PARTS * whole_panels(outputs))
    has_bias = "bias" in dict(layer.shapes)
    builder.step("pack_tail", y.blocks, tail=(tail, 0), channels=outputs, has_bias=has_bias,
                 **({"bias": (f"{layer.name}/bias", 0)} if has_bias else {}))
    convolve(builder, x, y, layer, tail, has_relu=norm is None)
    size = (y.height // 2, y.width // 2) if is_pooled else (y.height, y.width)
    if norm:
        answer = builder.keep(outputs, *size)
        undo_rest = add_norm(builder, y, answer, norm, is_pooled)
    elif is_pooled:
        answer = builder.keep(outputs, *size)
        builder.by_planes("maxpool", y, answer, answer.height)
    else:
        answer = y

    def undo(g, is_input_wanted):
        """The gradient of the group's answer → that of its input, where that is wanted."""
        dy = builder.map(outputs, y.height, y.width)
        if norm:
            undo_rest(g, dy)                            # and a bias before it has no gradient: it is taken away again
        else:
            sums = builder.region(builder.images * y.blocks * LANES)
            builder.planes("relu_gradient", y, **as_output(dy), **as_gradient(g), sums=(sums, 0), pooled=is_pooled)
            if has_bias:
                builder.step("merge_bias", y.blocks, inputs=y.blocks, images=builder.images, channels=outputs, sums=(sums, 0),
                             bias_gradient=(f"∂{layer.name}/bias", 0))
        weight_gradient(builder, x, dy, layer)
        if is_input_wanted:
            dx = builder.map(x.channels, x.height, x.width)
            convolve(builder, dy, dx, layer, None, has_relu=False, is_rotated=True)
            return dx
        return None

    return answer, undo


def whole_panels(channels):
    """Channels filled up to whole panels and cache lines, as tails are."""
    return ceil_div(channels, max(COLUMNS, CACHE_LINE)) * max(COLUMNS, CACHE_LINE)


def convolve(builder, x, y, layer, tail, has_relu, is_rotated=False):
    """The steps of one convolution on parameters that change: x → y; `is_rotated` for the gradient of its input."""
    outputs, channels = dict(layer.shapes)["weight"][:2]
    if tail is None:
        tail = builder.region(PARTS * whole_panels(y.channels))
        builder.step("pack_tail", y.blocks, tail=(tail, 0), channels=y.channels, has_bias=False)
    weight, panels = {"weight": (f"{layer.name}/weight", 0), "filters": outputs, "channels": channels}, ceil_div(y.blocks, VECTORS)
    common = {**as_output(y), "padding": 1, "images": builder.images, "pooled": False, "floor": builder.floor(has_relu),
              "tail": (tail, 0)}
    builder.thread_room(CONVOLUTION_SCRATCH)
    borders = builder.images * y.blocks
    if isinstance(x, Picture):
        packed = builder.region(panels * channels * TAPS * COLUMNS)
        builder.step("pack_first", panels, y=(packed, 0), **weight)
        chunk = ceil_div(builder.images * y.height, builder.TASKS)
        builder.step("first_convolution", ceil_div(builder.images * y.height, chunk) + borders, **common, weights=(packed, 0),
                     chunk=chunk, channels=x.channels, x=(x.region, 0), x_image=x.image, x_plane=x.plane, x_row=x.row)
        return
    # F(2×4) in the place of F(4×4), by which gradients would err up to three times as much as PyTorch's: with sums of 128
    # channels the largest error is 4.5e-7 of the largest value instead of 8.8e-7, for a third more products.
    height, width = 2, tile_for(y.height, y.width)
    floats = positions(height, width) * panels * COLUMNS * x.blocks * LANES
    packed = "filters"                                  # needed at once, and then no more
    builder.regions[packed] = max(builder.regions.get(packed, 0), floats)
    builder.thread_room(TAPS * COLUMNS)
    builder.step("pack_winograd", panels * x.blocks, y=(packed, 0), tile_height=height, tile_width=width, inputs=x.blocks,
                 outputs=y.blocks, rotated=is_rotated, **weight)
    across = ceil_div(y.width, width)
    common |= as_input(x) | {"tile_height": height, "tile_width": width, "tiles_across": across,
                             "tiles": ceil_div(y.height, height) * across, "weights": (packed, 0)}
    add_winograd(builder, x, y, common, FLOAT * floats, borders)


def weight_gradient(builder, x, dy, layer):
    """The steps that write the gradient of a convolution's weight."""
    outputs, channels = dict(layer.shapes)["weight"][:2]
    target = {"weight_gradient": (f"∂{layer.name}/weight", 0), "channels": channels, "filters": outputs}
    if isinstance(x, Picture):
        sums = builder.region(builder.images * dy.blocks * channels * TAPS * LANES)
        builder.step("first_weight_gradient", builder.images, **as_gradient(dy), outputs=dy.blocks, channels=channels,
                     x=(x.region, 0), x_image=x.image, x_plane=x.plane, x_row=x.row, y_height=dy.height, y_width=dy.width,
                     sums=(sums, 0))
        builder.step("merge_first_weight", channels, outputs=dy.blocks, images=builder.images, sums=(sums, 0), **target)
        return
    tile = tile_for(dy.height, dy.width)
    across, places = ceil_div(dy.width, tile), positions(tile, tile)
    tiles = ceil_div(dy.height, tile) * across
    total, size = builder.images * tiles, places * dy.blocks * x.blocks * LANES**2
    is_parted = FLOAT * size <= PART_SUMS
    parts = min(TILE_PARTS, total) if is_parted else 1
    builder.regions["sums"] = max(builder.regions.get("sums", 0), parts * size)
    common = {**as_input(x), **as_gradient(dy), "outputs": dy.blocks, "padding": 1, "tile_height": tile, "tile_width": tile,
              "tiles_across": across, "tiles": tiles, "parts": parts, "sums": ("sums", 0)}
    if is_parted:
        most = max(8, machine().task // (FLOAT * places * (x.blocks + dy.blocks) * LANES))
        chunk = ceil_div(total, ceil_div(total, parts * most) * parts)
    else:
        chunk = total
    # `odd_lines` of the distance between positions, and a last tile whose neighbours may be read.
    slots = chunk + 1
    v_position, m_position = odd_lines(x.blocks * slots * LANES), odd_lines(dy.blocks * slots * LANES)
    common |= {"slots": slots, "v_position": v_position, "m_position": m_position}
    if is_parted:
        builder.thread_room(places * (v_position + m_position))
        builder.step("weight_gradient", parts, **common, chunk=chunk)
    else:
        for region, position in (("v", v_position), ("m", m_position)):
            builder.regions[region] = max(builder.regions.get(region, 0), places * position)
        common |= {"v": ("v", 0), "m": ("m", 0)}
        part = ceil_div(total, max(1, builder.TASKS // x.blocks))
        builder.step("transform", x.blocks * ceil_div(total, part), **common, chunk=part)
        part = ceil_div(total, max(1, builder.TASKS // dy.blocks))
        builder.step("transform_gradient", dy.blocks * ceil_div(total, part), **common, chunk=part)
        builder.step("multiply_gradient", places * ceil_div(dy.blocks, OUTPUT_BLOCKS), **common, chunk=OUTPUT_BLOCKS)
    builder.thread_room(TAPS * LANES)
    builder.step("filter_gradient", outputs, inputs=x.blocks, outputs=dy.blocks, tile_height=tile, tile_width=tile, parts=parts,
                 sums=("sums", 0), **target)


# ------------------------------------------------------------------------------------------------- batch norm


def add_norm(builder, y, answer, norm, is_pooled):
    """Batch norm of the batch's own statistics, ReLU and max pooling: y → answer.  Returns function(g, dy) for the way back."""
    name, fields = norm.name, {"inputs": y.blocks, "images": builder.images, "height": y.height, "width": y.width,
                               "channels": y.channels}
    sums = builder.region(builder.images * y.blocks * SUMS * LANES)
    tail = builder.region(PARTS * whole_panels(y.channels))
    coefficients = builder.region(y.blocks * COEFFICIENTS * LANES)
    eps = builder.address(np.array([dict(norm.options)["eps"]]))
    own = {"tail": (tail, 0), "coefficients": (coefficients, 0), "sums": (sums, 0)}
    builder.step("pack_tail", y.blocks, tail=(tail, 0), channels=y.channels, has_bias=False)
    builder.planes("statistics", y, sums=(sums, 0))
    builder.step("merge_statistics", y.blocks, **fields, **own, constants=eps, weight=(f"{name}/weight", 0),
                 bias=(f"{name}/bias", 0), mean=(f"{name}/batch mean", 0), variance=(f"{name}/batch variance", 0))
    if is_pooled:
        builder.planes("finish_pooled", y, **as_output(answer), tail=(tail, 0), floor=builder.floor(True))
    else:
        builder.by_planes("finish", y, answer, y.height, tail=(tail, 0), floor=builder.floor(True))

    def undo(g, dy):
        gradient = as_gradient(g) | {"pooled": is_pooled}
        builder.planes("norm_sums", y, **gradient, **own)
        builder.step("merge_norm_sums", y.blocks, **fields, **own, weight_gradient=(f"∂{name}/weight", 0),
                     bias_gradient=(f"∂{name}/bias", 0))
        builder.planes("norm_gradient", y, **as_output(dy), **gradient, **own)

    return undo


# ------------------------------------------------------------------------------------------------- the head


def add_adaptive_average(builder, x, group):
    """(N, C, H, W) → (N, C, size, size): the means of bins that cover the map."""
    size = dict(group["adaptive_avgpool2d"].options)["size"]
    y = builder.keep(x.channels, size, size)
    builder.by_planes("adaptive_average", x, y, size)

    def undo(g, _):
        dx = builder.map(x.channels, x.height, x.width)
        builder.thread_room(LANES)
        builder.planes("adaptive_average_gradient", g, **as_output(dx))
        return dx

    return y, undo


def add_flatten(builder, x, _):
    """(N, C, H, W) → (N, C·H·W), in the order of a NumPy reshape."""
    if isinstance(x, Rows):
        return x, lambda g, _: g
    y = builder.keep_rows(math.prod(x.shape))
    leaving(builder, x, y=(y.region, 0), y_image=y.image, y_end=y.image)

    def undo(g, _):
        dx = builder.map(*x.shape)
        builder.step("enter", builder.images * dx.blocks, x=(g.region, 0), x_image=g.image, x_plane=x.height * x.width,
                     x_row=x.width, **as_output(dx), height=x.height, width=x.width, channels=x.channels, chunk=x.height)
        return dx

    return y, undo


def add_dense(builder, x, group):
    """(N, inputs) → (N, outputs), with ReLU where there is one.  Its weight comes in rows of whole cache lines."""
    layer, has_relu = group["dense"], "relu" in group
    outputs, inputs = dict(layer.shapes)["weight"][0], x.image
    y = builder.keep_rows(outputs)
    builder.thread_room(builder.images * DENSE_CHUNK * LANES)
    builder.step("dense", ceil_div(outputs, DENSE_CHUNK), images=builder.images, inputs=inputs, outputs=outputs, chunk=DENSE_CHUNK,
                 x=(x.region, 0), x_image=x.image, y=(y.region, 0), y_image=y.image, y_end=y.image,
                 weights=(f"{layer.name}/weight", 0), tail=(f"{layer.name}/bias", 0), floor=builder.floor(has_relu))

    def undo(g, is_input_wanted):
        if has_relu:
            dy, sums = builder.features(outputs), builder.region(builder.images * y.blocks * LANES)
            builder.planes("relu_gradient", y, **as_output(dy), **as_gradient(g), sums=(sums, 0), pooled=False)
            g = dy
        common = {**as_gradient(g), "images": builder.images, "inputs": inputs, "outputs": outputs}
        chunk = ceil_div(outputs, builder.TASKS)
        builder.step("dense_weight_gradient", ceil_div(outputs, chunk), **common, x=(x.region, 0), x_image=x.image, chunk=chunk,
                     weight_gradient=(f"∂{layer.name}/weight", 0), bias_gradient=(f"∂{layer.name}/bias", 0))
        if not is_input_wanted:
            return None
        dx = builder.features(x.channels)
        builder.step("dense_input_gradient", ceil_div(inputs, INPUTS), **common, y=(dx.region, 0), y_image=dx.image, chunk=INPUTS,
                     weight=(f"{layer.name}/weight", 0))
        return dx

    return y, undo


def add_dropout(builder, x, group):
    """Features times the factors that the caller brings: 0 for what is dropped, 1/(1 − p) for the rest."""
    name = group["dropout"].name
    y = builder.keep_rows(x.channels)

    def masked(x, y):
        builder.step("mask", builder.images, x=(x.region, 0), x_image=x.image, y=(y.region, 0), y_image=y.image,
                     weight=(name, 0))
        return y

    return masked(x, y), lambda g, _: masked(g, builder.features(x.channels))


ADD = {"conv2d": add_convolution, "adaptive_avgpool2d": add_adaptive_average, "flatten": add_flatten, "dense": add_dense,
       "dropout": add_dropout}
