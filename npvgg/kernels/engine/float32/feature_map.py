"""Feature maps in blocks of channels: into that form and out of it, their borders, pooling, normalisation.

Every task is part of one plane, which is one block of channels of one image: `chunk` of its rows.
"""
import numpy as np
from numba import carray

from npvgg.kernels.compiling.arithmetic import ceil_div
from npvgg.kernels.compiling.flags import part
from npvgg.kernels.engine.float32.epilogue import finish_pixels
from npvgg.kernels.engine.float32.memory import NO_END, floats_at
from npvgg.kernels.engine.float32.places import at, x_at, y_at
from npvgg.kernels.engine.float32.vectors import kernel
from npvgg.kernels.engine.machine import FLOAT, LANES
from npvgg.kernels.engine.steps import PARTS

NEIGHBOURS = 2          # channels on each side that a local response normalisation looks at


@kernel(LANES)
def copy_vector(v, source, target):
    """LANES floats from one address to the other."""
    v.store(v.load(v.floats(source)), v.floats(target))


@kernel(LANES)
def clear_vector(v, target):
    """LANES zeros at an address."""
    v.store(v.splat(0), v.floats(target))


@part
def floats_from(address):
    """The memory from an address on, as an array."""
    return carray(floats_at(address), NO_END)


@part
def plane_of(step, task, height, blocks):
    """The number of a task → image, block of channels, first row, row behind the last."""
    parts = ceil_div(height, step.chunk)
    plane, number = task // parts, task % parts
    return plane // blocks, plane % blocks, number * step.chunk, min((number + 1) * step.chunk, height)


@part
def clear_border(step, plane):
    """Zeros around the pixels of one plane of y, and in the room behind them."""
    image, block = plane // step.outputs, plane % step.outputs
    rows, columns = step.y_plane // step.y_row, step.y_row // LANES
    for row in range(-1, rows - 1):
        column = -1
        while column < columns - 1:
            if column == 0 and 0 <= row < step.y_height:
                column = step.y_width
            clear_vector(y_at(step, image, block, row, column))
            column += 1


@part
def begin_plane(step, image, block, first):
    """Clear the border of a plane of y, in the task that has its first rows."""
    if step.y_border and first == 0:
        clear_border(step, image * step.outputs + block)


@part
def pad_picture_task(step, task, scratch):
    """Rows of one channel of (N, C, H, W) → the same of (N, C, H+2, W+2), with the border beside them."""
    image, channel, first, last = plane_of(step, task, step.height, step.channels)
    width, source_row, target_row = step.width, step.x_row, step.y_row
    source = floats_from(at(step.x, image * step.x_image + channel * step.x_plane))
    target = floats_from(at(step.y, image * step.y_image + channel * step.y_plane))
    for row in range(first, last):
        start = (row + 1) * target_row
        target[start] = 0
        for column in range(width):
            target[start + 1 + column] = source[row * source_row + column]
        target[start + 1 + width] = 0
    if first == 0:
        target[:target_row] = 0
    if last == step.height:
        target[step.y_plane - target_row:step.y_plane] = 0


@part
def enter_task(step, task, scratch):
    """Rows of a plane of (N, C, H, W), whose distances are in numbers, → the same rows in blocks of channels."""
    image, block, first, last = plane_of(step, task, step.height, step.outputs)
    begin_plane(step, image, block, first)
    count = max(0, min(LANES, step.channels - block * LANES))
    source = floats_from(at(step.x, image * step.x_image + block * LANES * step.x_plane))
    for i in range(first, last):
        target = floats_from(y_at(step, image, block, i, 0))
        for j in range(step.width):
            for lane in range(count):
                target[j * LANES + lane] = source[lane * step.x_plane + i * step.x_row + j]
            for lane in range(count, LANES):
                target[j * LANES + lane] = 0


@part
def mirrored(index, extent):
    """|k| below `extent`, 2·(extent − 1) − k from there on."""
    return abs(index) if index < extent else 2 * (extent - 1) - index


@part
def mirror_task(step, task, scratch):
    """Rows of a plane of y, which is `padding` pixels larger on each side than x and mirrors it there."""
    image, block, first, last = plane_of(step, task, step.y_height, step.inputs)
    begin_plane(step, image, block, first)
    for i in range(first, last):
        row = mirrored(i - step.padding, step.height)
        for j in range(step.y_width):
            copy_vector(x_at(step, image, block, row, mirrored(j - step.padding, step.width)), y_at(step, image, block, i, j))


@part
def leave_task(step, task, scratch):
    """Rows of a plane in blocks of channels → the same rows of (N, C, H, W), whose distances are in numbers."""
    image, block, first, last = plane_of(step, task, step.height, step.inputs)
    count = min(LANES, step.channels - block * LANES)
    target = floats_from(at(step.y, image * step.y_image + block * LANES * step.y_plane))
    for i in range(first, last):
        source = floats_from(x_at(step, image, block, i, 0))
        for lane in range(count):
            start = lane * step.y_plane + i * step.y_row
            for j in range(step.width):
                target[start + j] = source[j * LANES + lane]
    if step.y_end and block == step.inputs - 1 and last == step.height:
        row = floats_from(at(step.y, image * step.y_image))
        for k in range(step.channels * step.y_plane, step.y_end):
            row[k] = 0


@part
def finish_task(step, task, scratch):
    """Bias, batch norm and ReLU of rows of a plane."""
    image, block, first, last = plane_of(step, task, step.height, step.inputs)
    begin_plane(step, image, block, first)
    tail = at(step.tail, PARTS * block * LANES)
    for i in range(first, last):
        finish_pixels(step.width, x_at(step, image, block, i, 0), tail, step.floor, y_at(step, image, block, i, 0))


# ------------------------------------------------------------------------------------------------- pooling


@kernel(LANES)
def largest_of_window(v, upper, lower, target):
    """The largest of 2×2 vectors, lane by lane; a NaN wins, of equal values the first."""
    upper, lower = v.floats(upper), v.floats(lower)
    v.store(v.largest(v.load(upper), v.load(upper, LANES), v.load(lower), v.load(lower, LANES)), v.floats(target))


@kernel(LANES)
def mean_of_window(v, upper, lower, target):
    """A quarter of the sum of 2×2 vectors, added row by row."""
    upper, lower = v.floats(upper), v.floats(lower)
    total = v.add(v.add(v.add(v.load(upper), v.load(upper, LANES)), v.load(lower)), v.load(lower, LANES))
    v.store(v.product_of(total, v.splat(0.25)), v.floats(target))


def pooling(pool):
    """A kernel for one window → the task: 2×2 windows side by side; a last row or column without a partner is dropped."""
    @part
    def task_of_rows(step, task, scratch):
        image, block, first, last = plane_of(step, task, step.y_height, step.inputs)
        begin_plane(step, image, block, first)
        for i in range(first, last):
            for j in range(step.y_width):
                pool(x_at(step, image, block, 2 * i, 2 * j), x_at(step, image, block, 2 * i + 1, 2 * j),
                     y_at(step, image, block, i, j))
    return task_of_rows


maxpool_task, avgpool_task = pooling(largest_of_window), pooling(mean_of_window)


@kernel(LANES)
def sum_of_pixels(v, count, source, target):
    """target += Σ of `count` vectors side by side, summed before they join."""
    source, target = v.floats(source), v.floats(target)

    def add(index, sums):
        return [v.add(sums[0], v.load(v.at(source, v.product(index, LANES))))]

    line, = v.repeat(count, [v.splat(0)], add)
    v.store(v.add(v.load(target), line), target)


@kernel(LANES)
def largest_of_pixels(v, count, source, target):
    """target ← the largest of it and `count` vectors side by side; a NaN wins."""
    source, target = v.floats(source), v.floats(target)

    def compare(index, best):
        return [v.larger(best[0], v.load(v.at(source, v.product(index, LANES))))]

    best, = v.repeat(count, [v.load(target)], compare)
    v.store(best, target)


@part
def bin_edges(index, extent, count):
    """Where bin `index` of `count` along an axis of `extent` begins, and where it ends."""
    return index * extent // count, ceil_div((index + 1) * extent, count)


@part
def clear_target(first, target):
    """A sum of nothing yet."""
    clear_vector(target)


@part
def divide_by_count(target, count):
    """A sum → the mean of `count` vectors."""
    total = floats_from(target)
    for lane in range(LANES):
        total[lane] /= np.float32(count)


@part
def leave_as_it_is(target, count):
    """The largest value needs nothing more."""


def adaptive_pooling(begin, join, end):
    """Kernels for the first vector of a bin, for each of its rows, and for all of it → the task."""
    @part
    def task_of_rows(step, task, scratch):
        image, block, first, last = plane_of(step, task, step.y_height, step.inputs)
        begin_plane(step, image, block, first)
        for i in range(first, last):
            top, bottom = bin_edges(i, step.height, step.y_height)
            for j in range(step.y_width):
                left, right = bin_edges(j, step.width, step.y_width)
                target = y_at(step, image, block, i, j)
                begin(x_at(step, image, block, top, left), target)
                for row in range(top, bottom):
                    join(right - left, x_at(step, image, block, row, left), target)
                end(target, (bottom - top) * (right - left))
    return task_of_rows


adaptive_average_task = adaptive_pooling(clear_target, sum_of_pixels, divide_by_count)
adaptive_maximum_task = adaptive_pooling(copy_vector, largest_of_pixels, leave_as_it_is)


# ------------------------------------------------------------------------------------------------- normalisation


@kernel(LANES)
def normalise_pixel(v, below, x, above, constants, target):
    """x / (k + slope · Σ x²)^¾ over the five channels around each; t^¾ = √t · √√t, which overflows no sooner than t.

    `below` and `above` are the neighbouring blocks of channels, `constants` is (slope, k).
    """
    squares = [v.product_of(value, value) for value in (v.load(v.floats(address)) for address in (below, x, above))]
    energy = None
    for shift in range(-NEIGHBOURS, NEIGHBOURS + 1):
        moved = squares[1] if shift == 0 else v.window(squares[0], squares[1], v.lanes + shift) if shift < 0 else \
            v.window(squares[1], squares[2], shift)
        energy = moved if energy is None else v.add(energy, moved)
    constants = v.floats(constants)
    root = v.square_root(v.multiply_add(energy, v.broadcast(constants), v.broadcast(constants, 1)))
    v.store(v.divide(v.load(v.floats(x)), v.product_of(root, v.square_root(root))), v.floats(target))


@part
def normalise_task(step, task, scratch):
    """Local response normalisation.  `weights` is the address of (slope, k) and a vector of zeros behind them."""
    image, block, first, last = plane_of(step, task, step.height, step.inputs)
    begin_plane(step, image, block, first)
    nothing, plane = at(step.weights, 2), FLOAT * step.x_plane
    for i in range(first, last):
        for j in range(step.width):
            x = x_at(step, image, block, i, j)
            below = x - plane if block else nothing
            above = x + plane if block < step.inputs - 1 else nothing
            normalise_pixel(below, x, above, step.weights, y_at(step, image, block, i, j))
