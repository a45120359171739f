"""What follows the maps: pooling to a size, flatten, dense layers, dropout, forward and backwards.

Each function gives what its group answers, and undo(g, is_input_wanted): the gradient of that → that of the group's input.
"""
import math

from npvgg.arithmetic import ceil_div
from npvgg.kernels.engine.building import DENSE_CHUNK
from npvgg.kernels.engine.layout import Rows, as_output
from npvgg.kernels.engine.machine import LANES
from npvgg.kernels.engine.training.builder import as_gradient

INPUTS = 512                    # of a dense layer, a task of the gradient of its input


def add_adaptive_average(builder, x, group):
    """(N, C, H, W) → (N, C, size, size): the means of bins that cover the map."""
    size = dict(group["adaptive_avgpool2d"].options)["size"]
    y = builder.keep(x.channels, size, size)
    builder.by_planes("adaptive_average", x, y, size)

    def undo(g, is_input_wanted):
        if not is_input_wanted:
            return None
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
    builder.leave(x, y=(y.region, 0), y_image=y.image, y_end=y.image)

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
    builder.step("dense", ceil_div(outputs, DENSE_CHUNK), images=builder.images, inputs=inputs, outputs=outputs,
                 chunk=DENSE_CHUNK, x=(x.region, 0), x_image=x.image, y=(y.region, 0), y_image=y.image, y_end=y.image,
                 weights=(f"{layer.name}/weight", 0), tail=(f"{layer.name}/bias", 0), floor=builder.floor(has_relu))

    def undo(g, is_input_wanted):
        if has_relu:
            dy, sums = builder.features(outputs), builder.region(builder.images * y.blocks * LANES)
            builder.planes("relu_gradient", y, **as_output(dy), **as_gradient(g), sums=(sums, 0), pooled=False,
                           floor=builder.floor(True))
            g = dy
        common = {**as_gradient(g), "images": builder.images, "inputs": inputs, "outputs": outputs}
        if {f"{layer.name}/weight", f"{layer.name}/bias"} & builder.wanted:
            chunk = ceil_div(outputs, builder.TASKS)
            builder.step("dense_weight_gradient", ceil_div(outputs, chunk), **common, x=(x.region, 0), x_image=x.image,
                         chunk=chunk, weight_gradient=(f"∂{layer.name}/weight", 0), bias_gradient=(f"∂{layer.name}/bias", 0))
        if not is_input_wanted:
            return None
        dx = builder.features(x.channels)
        builder.step("dense_input_gradient", ceil_div(inputs, INPUTS), **common, y=(dx.region, 0), y_image=dx.image,
                     chunk=INPUTS, weight=(f"{layer.name}/weight", 0))
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
