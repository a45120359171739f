"""What maps go through, forward and backwards: convolutions, batch norm, and the ReLU and max pooling behind these.

Each function gives what its group answers, and undo(g, is_input_wanted): the gradient of that → that of the group's input, or
None where it is not wanted.
"""
import numpy as np

from npvgg.kernels.engine.layout import as_output
from npvgg.kernels.engine.machine import LANES
from npvgg.kernels.engine.training.builder import as_gradient
from npvgg.kernels.engine.training.convolution_steps import convolve, weight_gradient

SUMS, COEFFICIENTS = 2, 3       # vectors a plane or a block: see float32/gradients/batch_norm.py


def add_convolution(builder, x, group):
    """conv2d [relu] [maxpool2d]: (N, C, H, W) → (N, O, H′, W′)."""
    layer, bias = group["conv2d"], f"{group['conv2d'].name}/bias"
    outputs = dict(layer.shapes)["weight"][0]
    y = builder.keep(outputs, x.height, x.width)
    convolve(builder, x, y, layer, builder.tail(outputs, bias if "bias" in dict(layer.shapes) else None), "relu" in group)
    has_gradient = bias in builder.wanted and layer.name not in builder.idle

    def undo(g, is_input_wanted):
        if len(group) > 1 or has_gradient:
            g = undo_activation(builder, y, g, group, bias if has_gradient else None)
        if f"{layer.name}/weight" in builder.wanted:
            weight_gradient(builder, x, g, layer)
        if is_input_wanted:
            dx = builder.map(x.channels, x.height, x.width)
            convolve(builder, g, dx, layer, builder.tail(x.channels), has_relu=False, is_rotated=True)
            return dx
        return None

    return pooled(builder, y, group), undo


def add_activation(builder, x, group):
    """relu [maxpool2d], or maxpool2d alone: (N, C, H, W) → (N, C, H′, W′); a ReLU on features too."""
    y = x
    if "relu" in group:
        y = builder.keep_like(x)
        builder.by_planes("finish", x, y, y.height, tail=(builder.tail(x.channels), 0), floor=builder.floor(True))

    def undo(g, is_input_wanted):
        return undo_activation(builder, y, g, group) if is_input_wanted else None

    return pooled(builder, y, group), undo


def pooled(builder, y, group):
    """y, or with a max pooling in the group the largest of its 2×2 windows."""
    if "maxpool2d" not in group:
        return y
    answer = builder.keep(y.channels, y.height // 2, y.width // 2)
    return builder.by_planes("maxpool", y, answer, answer.height)


def undo_activation(builder, y, g, group, bias=None):
    """g behind ReLU and max pooling → the gradient before them, and where it has a name, of the bias there."""
    dy, sums = builder.like(y), builder.region(builder.images * y.blocks * LANES)
    builder.planes("relu_gradient", y, **as_output(dy), **as_gradient(g), sums=(sums, 0), pooled="maxpool2d" in group,
                   floor=builder.floor("relu" in group))
    if bias:
        builder.step("merge_bias", y.blocks, inputs=y.blocks, images=builder.images, channels=y.channels, sums=(sums, 0),
                     bias_gradient=(f"∂{bias}", 0))
    return dy


def add_norm(builder, y, group):
    """Batch norm [relu] [maxpool2d]: (N, C, H, W) → (N, C, H′, W′), or (N, features) → the same."""
    norm, is_pooled, has_relu = next(iter(group.values())), "maxpool2d" in group, "relu" in group
    name, fields = norm.name, {"inputs": y.blocks, "images": builder.images, "height": y.height, "width": y.width,
                               "channels": y.channels}
    sums = builder.region(builder.images * y.blocks * SUMS * LANES)
    coefficients = builder.region(y.blocks * COEFFICIENTS * LANES)
    tail, eps = builder.tail(y.channels), builder.address(np.array([dict(norm.options)["eps"]]))
    own = {"tail": (tail, 0), "coefficients": (coefficients, 0), "sums": (sums, 0), "fixed": builder.fixed,
           "floor": builder.floor(has_relu)}
    if not builder.fixed:
        builder.planes("statistics", y, sums=(sums, 0))
    mean, variance = ("mean", "var") if builder.fixed else ("batch mean", "batch variance")
    builder.step("merge_statistics", y.blocks, **fields, **own, constants=eps, weight=(f"{name}/weight", 0),
                 bias=(f"{name}/bias", 0), mean=(f"{name}/{mean}", 0), variance=(f"{name}/{variance}", 0))
    if is_pooled:
        answer = builder.keep(y.channels, y.height // 2, y.width // 2)
        builder.planes("finish_pooled", y, **as_output(answer), tail=(tail, 0), floor=builder.floor(has_relu))
    else:
        answer = builder.keep_like(y)
        builder.by_planes("finish", y, answer, y.height, tail=(tail, 0), floor=builder.floor(has_relu))

    def undo(g, is_input_wanted):
        gradient = as_gradient(g) | {"pooled": is_pooled}
        builder.planes("norm_sums", y, **gradient, **own)
        builder.step("merge_norm_sums", y.blocks, **fields, **own, weight_gradient=(f"∂{name}/weight", 0),
                     bias_gradient=(f"∂{name}/bias", 0))
        if not is_input_wanted:
            return None
        dy = builder.like(y)
        builder.planes("norm_gradient", y, **as_output(dy), **gradient, **own)
        return dy

    return answer, undo
