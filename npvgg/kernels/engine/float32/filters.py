"""Winograd's transform of the filters, in float64, rounded once at the end."""
from numba import carray

from npvgg.kernels.compiling.flags import part
from npvgg.kernels.engine.float32.memory import NO_END, doubles_at, floats_at
from npvgg.kernels.engine.machine import COLUMNS


@part
def transform_filters(weight, outputs, channels, matrix, span, panel, panels, depth, packed, room):
    """G g Gᵀ of the filters of one panel: first along the columns of g, then along the rows.

        (O, C, 3, 3) float32 and (span, 3) float64  →  panel of (span², panels, depth, COLUMNS) float32

    weight, matrix and packed are addresses, `room` that of (9 + 3·span)·COLUMNS float64 of the caller's.
    """
    weights, packs = carray(floats_at(weight), NO_END), carray(floats_at(packed), NO_END)
    g = carray(doubles_at(matrix), (span, 3))
    filters = carray(doubles_at(room), (3, 3, COLUMNS))
    half = carray(doubles_at(room + 8 * 9 * COLUMNS), (span, 3, COLUMNS))
    count = min(COLUMNS, outputs - panel * COLUMNS)
    for channel in range(depth):
        for u in range(3):
            for v in range(3):
                for o in range(COLUMNS):
                    filters[u, v, o] = 0
                if channel < channels:
                    for o in range(count):
                        output = panel * COLUMNS + o
                        filters[u, v, o] = weights[((output * channels + channel) * 3 + u) * 3 + v]
        for i in range(span):
            for v in range(3):
                for o in range(COLUMNS):
                    half[i, v, o] = g[i, 0] * filters[0, v, o] + g[i, 1] * filters[1, v, o] + g[i, 2] * filters[2, v, o]
        for position in range(span * span):
            i, j = position // span, position % span
            start = ((position * panels + panel) * depth + channel) * COLUMNS
            for o in range(COLUMNS):
                packs[start + o] = g[j, 0] * half[i, 0, o] + g[j, 1] * half[i, 1, o] + g[j, 2] * half[i, 2, o]
