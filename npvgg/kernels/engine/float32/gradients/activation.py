"""The gradient through ReLU and max pooling, without batch norm, and that of a bias before them.

    dy = g where y > 0 and, with pooling, y is the first largest of its window; 0 elsewhere        db = Σ dy

`y` is what the layer answered before pooling, so the mask needs no memory of its own.  Without ReLU every y passes.
"""
from npvgg.kernels.compiling.flags import part
from npvgg.kernels.engine.float32.feature_map import clear_border, clear_vector, floats_from
from npvgg.kernels.engine.float32.gradients.batch_norm import first_largest, g_at
from npvgg.kernels.engine.float32.places import at, x_at, y_at
from npvgg.kernels.engine.float32.vectors import kernel
from npvgg.kernels.engine.machine import LANES


@kernel(LANES)
def relu_pixels(v, count, y, g, floor, target, total):
    """dy of `count` pixels side by side; total += their sum."""
    y, g, target, total = v.floats(y), v.floats(g), v.floats(target), v.floats(total)
    floor = v.broadcast(v.floats(floor))

    def pixel(index, sums):
        place = v.product(index, LANES)
        through = v.where_above(v.load(v.at(y, place)), floor, v.load(v.at(g, place)))
        v.store(through, v.at(target, place))
        return [v.add(sums[0], through)]

    line, = v.repeat(count, [v.splat(0)], pixel)
    v.store(v.add(v.load(total), line), total)


@kernel(LANES)
def relu_windows(v, count, upper, lower, g, floor, target, target_row, total):
    """The same for `count` windows of 2×2 pixels; the lower row of the target lies target_row floats behind the upper."""
    upper, lower, g, target, total = v.floats(upper), v.floats(lower), v.floats(g), v.floats(target), v.floats(total)
    floor = v.broadcast(v.floats(floor))

    def window(index, sums):
        place = v.product(index, 2 * LANES)
        values = [v.load(v.at(row, place), column) for row in (upper, lower) for column in (0, LANES)]
        line = sums[0]
        for number, gradient in enumerate(first_largest(v, values, v.load(v.at(g, v.product(index, LANES))), floor)):
            v.store(gradient, v.at(target, v.builder.add(place, v.product(target_row, number // 2))), number % 2 * LANES)
            line = v.add(line, gradient)
        return [line]

    line, = v.repeat(count, [v.splat(0)], window)
    v.store(v.add(v.load(total), line), total)


@part
def relu_gradient_task(step, task, scratch):
    """One plane: g → dy, whose border is zero; x is y.  The plane's sum of dy → `sums`."""
    image, block = task // step.inputs, task % step.inputs
    total = at(step.sums, task * LANES)
    clear_vector(total)
    if step.y_border:
        clear_border(step, task)
    if step.pooled:
        for i in range(step.height // 2):
            relu_windows(step.width // 2, x_at(step, image, block, 2 * i, 0), x_at(step, image, block, 2 * i + 1, 0),
                         g_at(step, image, block, i, 0), step.floor, y_at(step, image, block, 2 * i, 0), step.y_row,
                         total)
        for i in range(step.height):                    # an odd row or column, which no window covers
            for j in range(0 if i == step.height // 2 * 2 else step.width // 2 * 2, step.width):
                clear_vector(y_at(step, image, block, i, j))
    else:
        for i in range(step.height):
            relu_pixels(step.width, x_at(step, image, block, i, 0), g_at(step, image, block, i, 0), step.floor,
                        y_at(step, image, block, i, 0), total)


@part
def merge_bias_task(step, task, scratch):
    """`sums` of all planes of one block → db."""
    sums, bias = floats_from(step.sums), floats_from(step.bias_gradient)
    for lane in range(min(LANES, step.channels - task * LANES)):
        total = 0.0
        for image in range(step.images):
            total += sums[(image * step.inputs + task) * LANES + lane]
        bias[task * LANES + lane] = total


@part
def join_task(step, task, scratch):
    """One plane of (N, C, H, W), whose distances are in numbers, is added to g, in blocks of channels, where it lies: y."""
    image, block = task // step.outputs, task % step.outputs
    source = floats_from(at(step.x, image * step.x_image + block * LANES * step.x_plane))
    for i in range(step.height):
        target = floats_from(y_at(step, image, block, i, 0))
        for j in range(step.width):
            for lane in range(min(LANES, step.channels - block * LANES)):
                target[j * LANES + lane] += source[lane * step.x_plane + i * step.x_row + j]
