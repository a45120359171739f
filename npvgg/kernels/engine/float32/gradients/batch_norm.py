"""Batch norm with the statistics of the batch, forward and backwards, with the ReLU and the max pooling that follow it.

    forward       mean = Σ y / n     variance = Σ (y − mean)² / n     z = (y − mean) · scale + β     scale = γ / √(variance + ε)
    backwards     g′ = g where z > 0 and, with pooling, z is the first largest of its window; 0 elsewhere
                  dβ = Σ g′          dγ = Σ g′ · x̂                   x̂ = (y − mean) / √(variance + ε)
                  dy = scale · (g′ − dβ/n − x̂ · dγ/n)                                  (Ioffe and Szegedy 2015, section 3)

Without ReLU every z passes.  Where the statistics are fixed, as at inference, they do not depend on y, and dy = scale · g′.

Sums over the batch are taken plane by plane in float32, in the order of rows and pixels, and joined in float64 in the order of
the images, so their bits do not depend on the threads.  Each plane's squares are taken from its own mean (Chan, Golub and
LeVeque 1979), never as E[y²] − E[y]², which loses everything where the mean is large.
"""
import math

import numpy as np
from numba import carray

from npvgg.kernels.compiling.flags import part
from npvgg.kernels.engine.float32.epilogue import Tail
from npvgg.kernels.engine.float32.feature_map import clear_border, clear_vector, floats_from
from npvgg.kernels.engine.float32.memory import NO_END, doubles_at
from npvgg.kernels.engine.float32.places import at, x_at, y_at
from npvgg.kernels.engine.float32.vectors import kernel
from npvgg.kernels.engine.machine import LANES
from npvgg.kernels.engine.steps import PARTS

MEAN, SCALE, SHIFT = 2, 3, 4            # vectors of a tail: see packing.pack_tail
SUMS = 2                                # vectors that a plane's partial sums take
DEPTH, SLOPE, ROOT, COEFFICIENTS = 0, 1, 2, 3           # vectors of a block: dβ/n, dγ/(n·√…), 1/√(variance + ε); their number


# ------------------------------------------------------------------------------------------------- forward


@kernel(LANES)
def add_pixels(v, count, source, target):
    """target += Σ of `count` pixels side by side."""
    source, target = v.floats(source), v.floats(target)
    line, = v.repeat(count, [v.splat(0)], lambda index, sums: [v.add(sums[0], v.load(v.at(source, v.product(index, LANES))))])
    v.store(v.add(v.load(target), line), target)


@kernel(LANES)
def add_squares(v, count, source, mean, target):
    """target += Σ (pixel − mean)² over `count` pixels side by side."""
    source, target, middle = v.floats(source), v.floats(target), v.load(v.floats(mean))

    def square(index, sums):
        distance = v.subtract(v.load(v.at(source, v.product(index, LANES))), middle)
        return [v.multiply_add(distance, distance, sums[0])]

    line, = v.repeat(count, [v.splat(0)], square)
    v.store(v.add(v.load(target), line), target)


@part
def statistics_task(step, task, scratch):
    """The mean of one plane of x, and its sum of squares from there → `sums`, two vectors a plane."""
    image, block = task // step.inputs, task % step.inputs
    mean = at(step.sums, (image * step.inputs + block) * SUMS * LANES)
    squares = at(mean, LANES)
    clear_vector(mean)
    clear_vector(squares)
    for i in range(step.height):
        add_pixels(step.width, x_at(step, image, block, i, 0), mean)
    values = floats_from(mean)
    for lane in range(LANES):
        values[lane] /= step.height * step.width
    for i in range(step.height):
        add_squares(step.width, x_at(step, image, block, i, 0), mean, squares)


@part
def merge_statistics_task(step, task, scratch):
    """`sums` of all planes of one block → the tail of the normalisation, mean and unbiased variance of the batch.

    Without a second value the unbiased variance is NaN.  Where they are `fixed`, mean and variance are read and not written.
    """
    sums = floats_from(at(step.sums, 0))
    tail = floats_from(at(step.tail, PARTS * task * LANES))
    weight, bias = floats_from(step.weight), floats_from(step.bias)
    mean, variance = floats_from(step.mean), floats_from(step.variance)
    coefficients = floats_from(at(step.coefficients, COEFFICIENTS * task * LANES))
    eps = carray(doubles_at(step.constants), NO_END)
    size = step.height * step.width
    for lane in range(min(LANES, step.channels - task * LANES)):
        channel = task * LANES + lane
        if step.fixed:
            middle, spread = np.float64(mean[channel]), np.float64(variance[channel])
        else:
            middle = 0.0
            for image in range(step.images):
                middle += sums[(image * step.inputs + task) * SUMS * LANES + lane]
            middle /= step.images
            squares = 0.0
            for image in range(step.images):
                place = (image * step.inputs + task) * SUMS * LANES + lane
                distance = sums[place] - middle
                squares += sums[place + LANES] + distance * distance * size
            count = step.images * size
            mean[channel] = middle
            variance[channel] = squares / (count - 1) if count > 1 else math.nan
            spread = squares / count
        root = 1 / math.sqrt(spread + eps[0])
        coefficients[ROOT * LANES + lane] = root
        tail[MEAN * LANES + lane] = middle
        tail[SCALE * LANES + lane] = weight[channel] * root
        tail[SHIFT * LANES + lane] = bias[channel]


@kernel(LANES)
def finish_windows(v, count, upper, lower, tail, floor, target):
    """`count` windows of 2×2 pixels side by side → the largest of each after batch norm and ReLU."""
    end, upper, lower, target = Tail(v, tail, floor), v.floats(upper), v.floats(lower), v.floats(target)

    def window(index, _):
        values = [end.after(v.load(v.at(row, v.product(index, 2 * LANES)), place)) for row in (upper, lower)
                  for place in (0, LANES)]
        v.store(v.largest(*values), v.at(target, v.product(index, LANES)))
        return []

    v.repeat(count, [], window)


@part
def finish_pooled_task(step, task, scratch):
    """One plane: batch norm, ReLU and 2×2 max pooling."""
    image, block = task // step.inputs, task % step.inputs
    tail = at(step.tail, PARTS * block * LANES)
    clear_border(step, task)
    for i in range(step.y_height):
        finish_windows(step.y_width, x_at(step, image, block, 2 * i, 0), x_at(step, image, block, 2 * i + 1, 0), tail,
                       step.floor, y_at(step, image, block, i, 0))


# ------------------------------------------------------------------------------------------------- backwards


class Gate:
    """Which gradients ReLU, and max pooling behind it, let through: `floor` is the address of 0, or of −∞ without ReLU."""

    def __init__(self, v, tail, floor):
        self.v, tail, self.floor = v, v.floats(tail), v.broadcast(v.floats(floor))
        self.mean, self.scale, self.shift = (v.load(tail, number * LANES) for number in (MEAN, SCALE, SHIFT))

    def centred(self, y):
        """y − mean."""
        return self.v.subtract(y, self.mean)

    def pixel(self, centred, g):
        """The gradient of one pixel: g where z > 0."""
        v = self.v
        return v.where_above(v.multiply_add(centred, self.scale, self.shift), self.floor, g)

    def window(self, centred, g):
        """The gradients of the four pixels of a window: g at the first largest, if z > 0 there."""
        v = self.v
        return first_largest(v, [v.multiply_add(value, self.scale, self.shift) for value in centred], g, self.floor)


def first_largest(v, values, g, floor):
    """g at the first largest of four values, if that is above the floor; zeros elsewhere."""
    zero, best, gradients = v.splat(0), values[0], [v.where_above(values[0], floor, g)]
    for value in values[1:]:
        gradients = [v.where_above(value, best, zero, gradient) for gradient in gradients]
        gradients.append(v.where_above(value, best, v.where_above(value, floor, g)))
        best = v.where_above(value, best, value, best)
    return gradients


@kernel(LANES)
def add_gradients(v, count, y, g, tail, floor, target):
    """target (two vectors) += Σ g′ and Σ g′ · (y − mean) over `count` pixels side by side."""
    gate, y, g, target = Gate(v, tail, floor), v.floats(y), v.floats(g), v.floats(target)

    def pixel(index, sums):
        place = v.product(index, LANES)
        centred = gate.centred(v.load(v.at(y, place)))
        through = gate.pixel(centred, v.load(v.at(g, place)))
        return [v.add(sums[0], through), v.multiply_add(through, centred, sums[1])]

    for number, line in enumerate(v.repeat(count, [v.splat(0)] * 2, pixel)):
        v.store(v.add(v.load(target, number * LANES), line), target, number * LANES)


@kernel(LANES)
def add_gradients_of_windows(v, count, upper, lower, g, tail, floor, target):
    """The same for `count` windows of 2×2 pixels, with a gradient each."""
    gate, upper, lower = Gate(v, tail, floor), v.floats(upper), v.floats(lower)
    g, target = v.floats(g), v.floats(target)

    def window(index, sums):
        centred = [gate.centred(v.load(v.at(row, v.product(index, 2 * LANES)), place)) for row in (upper, lower)
                   for place in (0, LANES)]
        through = gate.window(centred, v.load(v.at(g, v.product(index, LANES))))
        first, second = sums
        for gradient, value in zip(through, centred, strict=True):
            first, second = v.add(first, gradient), v.multiply_add(gradient, value, second)
        return [first, second]

    for number, line in enumerate(v.repeat(count, [v.splat(0)] * 2, window)):
        v.store(v.add(v.load(target, number * LANES), line), target, number * LANES)


@part
def norm_sums_task(step, task, scratch):
    """Σ g′ and Σ g′ · (y − mean) over one plane → `sums`; x is y, and `g` its gradient after ReLU and pooling."""
    image, block = task // step.inputs, task % step.inputs
    target = at(step.sums, (image * step.inputs + block) * SUMS * LANES)
    tail = at(step.tail, PARTS * block * LANES)
    clear_vector(target)
    clear_vector(at(target, LANES))
    if step.pooled:
        for i in range(step.height // 2):
            add_gradients_of_windows(step.width // 2, x_at(step, image, block, 2 * i, 0),
                                     x_at(step, image, block, 2 * i + 1, 0), g_at(step, image, block, i, 0), tail, step.floor,
                                     target)
    else:
        for i in range(step.height):
            add_gradients(step.width, x_at(step, image, block, i, 0), g_at(step, image, block, i, 0), tail, step.floor,
                          target)


@part
def g_at(step, image, block, i, j):
    """A pixel of the gradient that a step reads."""
    return at(step.g, image * step.g_image + block * step.g_plane + i * step.g_row + j * LANES)


@part
def merge_norm_sums_task(step, task, scratch):
    """`sums` of all planes of one block → dγ and dβ, and the coefficients of `through_norm`."""
    sums, d_weight, d_bias = floats_from(step.sums), floats_from(step.weight_gradient), floats_from(step.bias_gradient)
    coefficients = floats_from(at(step.coefficients, COEFFICIENTS * task * LANES))
    count = step.images * step.height * step.width
    for lane in range(LANES):
        channel = task * LANES + lane
        if channel < step.channels:
            total, product = 0.0, 0.0
            for image in range(step.images):
                place = (image * step.inputs + task) * SUMS * LANES + lane
                total += sums[place]
                product += sums[place + LANES]
            root = coefficients[ROOT * LANES + lane]
            d_bias[channel] = total
            d_weight[channel] = product * root
            coefficients[DEPTH * LANES + lane] = 0 if step.fixed else total / count
            coefficients[SLOPE * LANES + lane] = 0 if step.fixed else product * root * root / count
        else:
            coefficients[DEPTH * LANES + lane] = 0
            coefficients[SLOPE * LANES + lane] = 0


@kernel(LANES)
def norm_pixels(v, count, y, g, tail, floor, coefficients, target):
    """dy of `count` pixels side by side."""
    gate, coefficients = Gate(v, tail, floor), v.floats(coefficients)
    mean, slope = v.load(coefficients, DEPTH * LANES), v.load(coefficients, SLOPE * LANES)
    y, g, target = v.floats(y), v.floats(g), v.floats(target)

    def pixel(index, _):
        place = v.product(index, LANES)
        centred = gate.centred(v.load(v.at(y, place)))
        v.store(through_norm(v, gate, gate.pixel(centred, v.load(v.at(g, place))), centred, mean, slope), v.at(target, place))
        return []

    v.repeat(count, [], pixel)


@kernel(LANES)
def norm_windows(v, count, upper, lower, g, tail, floor, coefficients, target, target_row):
    """dy of `count` windows of 2×2 pixels side by side; the lower row lies target_row floats behind the upper."""
    gate, coefficients = Gate(v, tail, floor), v.floats(coefficients)
    mean, slope = v.load(coefficients, DEPTH * LANES), v.load(coefficients, SLOPE * LANES)
    upper, lower, g, target = v.floats(upper), v.floats(lower), v.floats(g), v.floats(target)

    def window(index, _):
        place = v.product(index, 2 * LANES)
        centred = [gate.centred(v.load(v.at(row, place), column)) for row in (upper, lower) for column in (0, LANES)]
        through = gate.window(centred, v.load(v.at(g, v.product(index, LANES))))
        for number, (gradient, value) in enumerate(zip(through, centred, strict=True)):
            line = v.at(target, v.builder.add(place, v.product(target_row, number // 2)))
            v.store(through_norm(v, gate, gradient, value, mean, slope), line, number % 2 * LANES)
        return []

    v.repeat(count, [], window)


def through_norm(v, gate, gradient, centred, mean, slope):
    """scale · (g′ − mean − (y − mean of y) · slope)."""
    return v.product_of(gate.scale, v.subtract(v.subtract(gradient, mean), v.product_of(centred, slope)))


@part
def norm_gradient_task(step, task, scratch):
    """One plane: g → dy, whose border is zero; x is y."""
    image, block = task // step.inputs, task % step.inputs
    tail, coefficients = at(step.tail, PARTS * block * LANES), at(step.coefficients, COEFFICIENTS * block * LANES)
    if step.y_border:
        clear_border(step, task)
    if step.pooled:
        for i in range(step.height // 2):
            norm_windows(step.width // 2, x_at(step, image, block, 2 * i, 0), x_at(step, image, block, 2 * i + 1, 0),
                         g_at(step, image, block, i, 0), tail, step.floor, coefficients, y_at(step, image, block, 2 * i, 0),
                         step.y_row)
        for i in range(step.height):                    # an odd row or column, which no window covers
            for j in range(0 if i == step.height // 2 * 2 else step.width // 2 * 2, step.width):
                uncovered_pixel(x_at(step, image, block, i, j), tail, step.floor, coefficients,
                                y_at(step, image, block, i, j))
    else:
        for i in range(step.height):
            norm_pixels(step.width, x_at(step, image, block, i, 0), g_at(step, image, block, i, 0), tail, step.floor,
                        coefficients, y_at(step, image, block, i, 0))


@kernel(LANES)
def uncovered_pixel(v, y, tail, floor, coefficients, target):
    """dy of one pixel that has no gradient of its own."""
    gate, coefficients = Gate(v, tail, floor), v.floats(coefficients)
    v.store(through_norm(v, gate, v.splat(0), gate.centred(v.load(v.floats(y))),
                         v.load(coefficients, DEPTH * LANES), v.load(coefficients, SLOPE * LANES)), v.floats(target))
