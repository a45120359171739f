"""Feature maps in blocks of channels: into that form, their borders, pooling, normalisation, and out of it again.

`arena` is the address of the arena, `floats` the same memory as an array of float32, `picture` the pictures as one.
"""
import numpy as np

from npvgg.kernels.compiling.flags import part
from npvgg.kernels.engine.float32.vectors import kernel
from npvgg.kernels.engine.machine import LANES
from npvgg.kernels.engine.step import PICTURE_CHANNELS

NEIGHBOURS = 2          # channels on each side that a local response normalisation looks at


@kernel(LANES)
def copy_vector(v, source, target):
    v.store(v.load(v.floats(source)), v.floats(target))


@kernel(LANES)
def clear_vector(v, target):
    v.store(v.splat(0), v.floats(target))


@kernel(LANES)
def finish(v, count, sums, tail, floor, target):
    """`count` pixels side by side: max(sums + bias, floor), NaN kept, channels that do not exist zero."""
    sums, tail, target = v.floats(sums), v.floats(tail), v.floats(target)
    bias, mask, floor = v.load(tail), v.load(tail, LANES), v.broadcast(v.floats(floor))

    def pixel(index, _):
        place = v.product(index, LANES)
        v.store(finished(v, v.load(v.at(sums, place)), bias, mask, floor), v.at(target, place))
        return []

    v.repeat(count, [], pixel)


def finished(v, value, bias, mask, floor):
    return v.masked(v.at_least(v.add(value, bias), floor), mask)


@kernel(LANES)
def pool_window(v, source, row_step, target):
    """The largest of 2×2 vectors, lane by lane; a NaN wins, of equal values the first."""
    source = v.floats(source)
    below = v.at(source, row_step)
    v.store(v.largest(v.load(source), v.load(source, LANES), v.load(below), v.load(below, LANES)), v.floats(target))


@part
def clear_border(step, arena, plane):
    """Zeros around the pixels of one plane (image, block of channels) of y."""
    image, channels = plane // step.outputs, plane % step.outputs
    y = arena + 4 * (step.y + image * step.y_image + channels * step.y_plane)
    rows, columns = step.y_plane // step.y_row, step.y_row // LANES
    for row in range(rows):
        inside = 0 < row <= step.y_height
        column = 0
        while column < columns:
            if inside and column == 1:
                column += step.y_width
            clear_vector(y + 4 * (row * step.y_row + column * LANES))
            column += 1


@part
def pad_task(step, floats, picture, task):
    """One row of (N, 3, H, W) → the same row of (N, H+2, W+2, 3), or one row of its border."""
    rows = step.height + 2
    image, row = task // rows, task % rows
    start = step.y + image * step.y_image + row * step.y_row
    if row == 0 or row == rows - 1:
        floats[start:start + step.y_row] = 0
        return
    for channel in range(PICTURE_CHANNELS):
        floats[start + channel] = 0
        floats[start + step.y_row - 1 - channel] = 0
        for column in range(step.width):
            place = ((image * PICTURE_CHANNELS + channel) * step.height + row - 1) * step.width + column
            floats[start + (column + 1) * PICTURE_CHANNELS + channel] = picture[place]


@part
def maxpool_task(step, arena, task):
    """One plane: 2×2 windows side by side; a last row or column without a partner is dropped."""
    image, channels = task // step.outputs, task % step.outputs
    x = arena + 4 * (step.x + image * step.x_image + channels * step.x_plane + step.x_row + LANES)
    y = arena + 4 * (step.y + image * step.y_image + channels * step.y_plane + step.y_row + LANES)
    for i in range(step.y_height):
        for j in range(step.y_width):
            pool_window(x + 8 * (i * step.x_row + j * LANES), step.x_row, y + 4 * (i * step.y_row + j * LANES))
    clear_border(step, arena, task)


@kernel(LANES)
def normalise(v, below, x, above, constants, target):
    """x / (k + slope · Σ x²)^¾ over the five channels around each; t^¾ = √(t·√t).

    `below` and `above` are the neighbouring blocks of channels, `constants` is (slope, k).
    """
    squares = [v.product_of(value, value) for value in (v.load(v.floats(address)) for address in (below, x, above))]
    energy = None
    for shift in range(-NEIGHBOURS, NEIGHBOURS + 1):
        moved = squares[1] if shift == 0 else v.window(squares[0], squares[1], v.lanes + shift) if shift < 0 else \
            v.window(squares[1], squares[2], shift)
        energy = moved if energy is None else v.add(energy, moved)
    constants = v.floats(constants)
    base = v.multiply_add(energy, v.broadcast(constants), v.broadcast(constants, 1))
    power = v.square_root(v.product_of(base, v.square_root(base)))
    v.store(v.builder.fdiv(v.load(v.floats(x)), power), v.floats(target))


@part
def normalise_task(step, arena, task):
    """Local response normalisation of one row.  `weights` is the address of (slope, k) and a vector of zeros behind them."""
    image, i = task // step.height, task % step.height
    nothing = step.weights + 8
    for j in range(step.width):
        pixel = image * step.x_image + (i + 1) * step.x_row + (j + 1) * LANES
        for block in range(step.inputs):
            x = arena + 4 * (step.x + pixel + block * step.x_plane)
            below = x - 4 * step.x_plane if block else nothing
            above = x + 4 * step.x_plane if block < step.inputs - 1 else nothing
            normalise(below, x, above, step.weights, arena + 4 * (step.y + pixel + block * step.y_plane))


@part
def relu_task(step, floats, task):
    """One row of `outputs` numbers; NaN stays NaN."""
    for k in range(step.outputs):
        value = floats[step.x + task * step.x_image + k]
        floats[step.y + task * step.y_image + k] = np.float32(0) if value < 0 else value


@part
def average_task(step, floats, task):
    """Adaptive average pooling of one channel, and flattening: (N, C/L, H, W, L) → (N, C·s·s), s = y_height.

    Each row of a bin is summed first, then the rows.  `outputs` counts channels here.
    """
    image, channel = task // step.outputs, task % step.outputs
    x = step.x + image * step.x_image + channel // LANES * step.x_plane + channel % LANES
    for i in range(step.y_height):
        top, bottom = i * step.height // step.y_height, -(-(i + 1) * step.height // step.y_height)
        for j in range(step.y_width):
            left, right = j * step.width // step.y_width, -(-(j + 1) * step.width // step.y_width)
            total = np.float32(0)
            for row in range(top, bottom):
                line = np.float32(0)
                for column in range(left, right):
                    line += floats[x + (row + 1) * step.x_row + (column + 1) * LANES]
                total += line
            mean = total / np.float32((bottom - top) * (right - left))
            floats[step.y + image * step.y_image + (channel * step.y_height + i) * step.y_width + j] = mean
