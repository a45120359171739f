"""A convolution with the batch norm, the ReLU and the max pooling behind it, forward and backwards."""
import numpy as np

from npvgg.kernels.engine.layout import as_output
from npvgg.kernels.engine.machine import LANES
from npvgg.kernels.engine.training.builder import as_gradient
from npvgg.kernels.engine.training.convolution_steps import convolve, weight_gradient

SUMS, COEFFICIENTS = 2, 3       # vectors a plane or a block: see float32/gradients/batch_norm.py


def add_convolution(builder, x, group):
    """conv2d [batchnorm2d] relu [maxpool2d]: (N, C, H, W) → (N, O, H′, W′)."""
    layer, norm, is_pooled = group["conv2d"], group.get("batchnorm2d"), "maxpool2d" in group
    outputs = dict(layer.shapes)["weight"][0]
    y = builder.keep(outputs, x.height, x.width)
    has_bias = "bias" in dict(layer.shapes)
    tail = builder.tail(outputs, f"{layer.name}/bias" if has_bias else None)
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
                builder.step("merge_bias", y.blocks, inputs=y.blocks, images=builder.images, channels=outputs,
                             sums=(sums, 0), bias_gradient=(f"∂{layer.name}/bias", 0))
        weight_gradient(builder, x, dy, layer)
        if is_input_wanted:
            dx = builder.map(x.channels, x.height, x.width)
            convolve(builder, dy, dx, layer, builder.tail(x.channels), has_relu=False, is_rotated=True)
            return dx
        return None

    return answer, undo


def add_norm(builder, y, answer, norm, is_pooled):
    """Batch norm of the batch's own statistics, ReLU and max pooling: y → answer.  Returns function(g, dy) for the way back."""
    name, fields = norm.name, {"inputs": y.blocks, "images": builder.images, "height": y.height, "width": y.width,
                               "channels": y.channels}
    sums = builder.region(builder.images * y.blocks * SUMS * LANES)
    tail = builder.tail(y.channels)
    coefficients = builder.region(y.blocks * COEFFICIENTS * LANES)
    eps = builder.address(np.array([dict(norm.options)["eps"]]))
    own = {"tail": (tail, 0), "coefficients": (coefficients, 0), "sums": (sums, 0)}
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
