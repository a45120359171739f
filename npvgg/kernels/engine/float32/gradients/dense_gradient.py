"""The gradients of a dense layer  y = W x + b,  and of what stands between dense layers and maps.

    dx[n, k] = Σ_o g[n, o] · W[o, k]            dW[o, k] = Σ_n g[n, o] · x[n, k]            db[o] = Σ_n g[n, o]

W and dW lie as in the file, (outputs, inputs), rows of whole cache lines.
"""
from npvgg.kernels.compiling.flags import part
from npvgg.kernels.engine.float32.feature_map import begin_plane, bin_edges, clear_vector, floats_from
from npvgg.kernels.engine.float32.gradients.outer_product import OUTER_ROWS, outer_product
from npvgg.kernels.engine.float32.places import at, x_at, y_at
from npvgg.kernels.engine.float32.vectors import kernel
from npvgg.kernels.engine.machine import LANES, VECTORS

OUTPUTS = 16            # rows of W that pass while a part of dx stays in the first-level cache


@part
def dense_weight_gradient_task(step, task, scratch):
    """`chunk` outputs: dW and db; x is the layer's input, g the gradient of its output."""
    first, last = task * step.chunk, min((task + 1) * step.chunk, step.outputs)
    bias, g = floats_from(step.bias_gradient), floats_from(step.g)
    for o in range(first, last):
        total = 0.0
        for n in range(step.images):
            total += g[n * step.g_image + o]
        bias[o] = total
    o = first
    while o < last:
        rows = OUTER_ROWS if o + OUTER_ROWS <= last else 1
        k = 0
        while k < step.inputs:
            vectors = min(VECTORS, (step.inputs - k) // LANES)
            outer_product(rows, vectors, step.images, at(step.g, o), step.g_image, 1, at(step.x, k), step.x_image, LANES,
                          at(step.weight_gradient, o * step.inputs + k), step.inputs, 1)
            k += vectors * LANES
        o += rows


@part
def dense_input_gradient_task(step, task, scratch):
    """`chunk` inputs of every image: dx."""
    first, last = task * step.chunk, min((task + 1) * step.chunk, step.inputs)
    for o in range(0, step.outputs, OUTPUTS):
        count = min(OUTPUTS, step.outputs - o)
        k = first
        while k < last:
            vectors = min(VECTORS, (last - k) // LANES)
            n = 0
            while n < step.images:
                rows = OUTER_ROWS if n + OUTER_ROWS <= step.images else 1
                outer_product(rows, vectors, count, at(step.g, n * step.g_image + o), 1, step.g_image,
                              at(step.weight, o * step.inputs + k), step.inputs, LANES, at(step.y, n * step.y_image + k),
                              step.y_image, o == 0)
                n += rows
            k += vectors * LANES


@kernel(LANES)
def multiply_features(v, count, x, mask, target):
    """target ← x ⊙ mask for `count` vectors side by side."""
    x, mask, target = v.floats(x), v.floats(mask), v.floats(target)

    def vector(index, _):
        place = v.product(index, LANES)
        v.store(v.product_of(v.load(v.at(x, place)), v.load(v.at(mask, place))), v.at(target, place))
        return []

    v.repeat(count, [], vector)


@part
def mask_task(step, task, scratch):
    """Rows of features times the `mask` that lies beside them, one image a task: dropout and its gradient."""
    multiply_features(step.x_image // LANES, at(step.x, task * step.x_image), at(step.weight, task * step.x_image),
                      at(step.y, task * step.y_image))


@kernel(LANES)
def add_share(v, source, divisor, target):
    """target += source / divisor, one vector; `divisor` is the address of a number."""
    source, target = v.floats(source), v.floats(target)
    v.store(v.add(v.load(target), v.divide(v.load(source), v.broadcast(v.floats(divisor)))), target)


@part
def adaptive_average_gradient_task(step, task, scratch):
    """One plane: each pixel of y gets its share of every bin of x that it lies in."""
    image, block = task // step.inputs, task % step.inputs
    begin_plane(step, image, block, 0)
    for i in range(step.y_height):
        for j in range(step.y_width):
            clear_vector(y_at(step, image, block, i, j))
    divisor = floats_from(scratch)
    for i in range(step.height):
        top, bottom = bin_edges(i, step.y_height, step.height)
        for j in range(step.width):
            left, right = bin_edges(j, step.y_width, step.width)
            divisor[0] = (bottom - top) * (right - left)
            for row in range(top, bottom):
                for column in range(left, right):
                    add_share(x_at(step, image, block, i, j), scratch, y_at(step, image, block, row, column))
