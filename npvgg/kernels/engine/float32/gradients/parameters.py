"""Parameters as they lie → packed, on every run, for in training they change with every step."""
import numpy as np
from numba import carray

from npvgg.kernels.compiling.arithmetic import ceil_div
from npvgg.kernels.compiling.flags import part
from npvgg.kernels.engine.float32.convolution import FIRST_KERNEL
from npvgg.kernels.engine.float32.feature_map import floats_from
from npvgg.kernels.engine.float32.memory import NO_END, integers_at
from npvgg.kernels.engine.float32.places import at
from npvgg.kernels.engine.float32.vectors import kernel
from npvgg.kernels.engine.machine import COLUMNS, LANES, VECTORS
from npvgg.kernels.engine.steps import PARTS
from npvgg.kernels.engine.winograd import filter_matrix

TAPS = FIRST_KERNEL**2


@part
def pack_tail_task(step, task, scratch):
    """bias (C,), or none → the tail of one block of channels without batch norm: see packing.pack_tail."""
    tail, bias = floats_from(at(step.tail, PARTS * task * LANES)), floats_from(step.bias)
    masks = carray(integers_at(at(step.tail, PARTS * task * LANES)), NO_END)
    for lane in range(LANES):
        channel = task * LANES + lane
        exists = channel < step.channels
        tail[lane] = bias[channel] if exists and step.has_bias else np.float32(-0.0)
        masks[LANES + lane] = -1 if exists else 0
        tail[2 * LANES + lane] = 0
        tail[3 * LANES + lane] = 1
        tail[4 * LANES + lane] = np.float32(-0.0)


@part
def pack_first_task(step, task, scratch):
    """weight (O, C, 3, 3) → one panel of (panels, C, 3, 3, COLUMNS)."""
    source, target = floats_from(step.weight), floats_from(at(step.y, task * step.channels * TAPS * COLUMNS))
    for channel in range(step.channels):
        for tap in range(TAPS):
            for column in range(COLUMNS):
                output = task * COLUMNS + column
                value = source[(output * step.channels + channel) * TAPS + tap] if output < step.filters else np.float32(0)
                target[(channel * TAPS + tap) * COLUMNS + column] = value


def filters_transform(height, width):
    """The kernel  transform(source, target, position_step):  G w Gᵀ of COLUMNS filters, 9 rows of them → a row a position.

    For tiles of `height` × `width` pixels.
    """
    def transformed(v, w, m):
        return [v.combination([float(value) for value in row], w) for row in filter_matrix(m)]

    @kernel(LANES)
    def transform(v, source, target, position_step):
        source, target = v.floats(source), v.floats(target)
        for s in range(VECTORS):
            rows = [transformed(v, [v.load(source, (3 * u + w) * COLUMNS + s * LANES) for w in range(3)], width)
                    for u in range(3)]
            for j in range(width + 2):
                for i, value in enumerate(transformed(v, [row[j] for row in rows], height)):
                    v.store(value, v.at(target, v.product(position_step, (width + 2) * i + j)), s * LANES)
    return transform


filters_transform_2x2, filters_transform_2x4 = filters_transform(2, 2), filters_transform(2, 4)


@part
def pack_winograd_task(step, task, scratch):
    """weight (O, C, 3, 3) → LANES channels of one panel of (positions, panels, C, COLUMNS).

    `rotated`: for the gradient of the input, which is a convolution of g with the filters turned by 180° and their inputs
    and outputs exchanged.
    """
    panel, block = task // step.inputs, task % step.inputs
    source, room = floats_from(step.weight), floats_from(scratch)
    depth, panels = step.inputs * LANES, ceil_div(step.outputs, VECTORS)
    outer, inner = (TAPS, step.channels * TAPS) if step.rotated else (step.channels * TAPS, TAPS)
    columns, rows = (step.channels, step.filters) if step.rotated else (step.filters, step.channels)
    first, sign = (TAPS - 1, -1) if step.rotated else (0, 1)
    count = min(COLUMNS, columns - panel * COLUMNS)
    for place in range(TAPS * COLUMNS):
        room[place] = 0
    for row in range(block * LANES, (block + 1) * LANES):
        if row < rows:
            for column in range(count):
                place = (panel * COLUMNS + column) * outer + row * inner + first
                for tap in range(TAPS):
                    room[tap * COLUMNS + column] = source[place + sign * tap]
        elif row == rows:
            for place in range(TAPS * COLUMNS):
                room[place] = 0
        target = at(step.y, (panel * depth + row) * COLUMNS)
        if step.tile_width == 4:
            filters_transform_2x4(scratch, target, panels * depth * COLUMNS)
        else:
            filters_transform_2x2(scratch, target, panels * depth * COLUMNS)
