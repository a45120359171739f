"""Parts of pictures resized as Pillow resizes them, to the bit: bilinear, antialiased, 8 bits after each direction.

    w[i] = max(0, 1 − |(i + ½ − c) / s|),  c = (j + ½)·length/size,  s = max(length/size, 1)        then Σ w := 1
    y[j] = (2²¹ + Σ_i round(2²² w[i])·x[i]) >> 22

Along rows first, then along columns (Pillow's libImaging/Resample.c); columns come first where H > size and H + size > 2W,
as Pillow 13 was measured to do.  Pillow itself would make three pictures of each part and hold Python's lock half of the time;
this makes whole batches without it.
"""
import math

import numpy as np

from npvgg.kernels.compiling.flags import serial

BITS = 22               # of a weight behind the binary point


@serial
def weights(length, size):
    """So many pixels → so many others: first pixel (size,), count (size,), weights (size, most), whole numbers."""
    scale = length / size
    support = max(scale, 1.0)
    first, count = np.empty(size, np.int64), np.empty(size, np.int64)
    found = np.zeros((size, int(math.ceil(support)) * 2 + 1), np.int32)
    row = np.empty(found.shape[1])
    for j in range(size):
        centre = (j + 0.5) * scale
        low, high = max(int(centre - support + 0.5), 0), min(int(centre + support + 0.5), length)
        total = 0.0
        for i in range(high - low):
            row[i] = max(0.0, 1.0 - abs((i + low - centre + 0.5) * (1.0 / support)))
            total += row[i]
        for i in range(high - low):
            found[j, i] = int(0.5 + row[i] / total * (1 << BITS))
        first[j], count[j] = low, high - low
    return first, count, found


@serial
def resized_part(x, top, left, height, width, y):
    """x (H, W, C) uint8 and a part of it → y (size, size, C) uint8."""
    size, part = y.shape[0], x[top:top + height, left:left + width]
    if height > size and height + size > 2 * width:
        half = np.empty((size, width, x.shape[2]), np.uint8)
        along_columns(part, half)
        along_rows(half, y)
    else:
        half = np.empty((height, size, x.shape[2]), np.uint8)
        along_rows(part, half)
        along_columns(half, y)


@serial
def along_rows(x, y):
    """(H, W, C) → y (H, w, C)."""
    first, count, weight = weights(x.shape[1], y.shape[1])
    for i in range(x.shape[0]):
        for j in range(y.shape[1]):
            for c in range(x.shape[2]):
                total = np.int32(1 << (BITS - 1))
                for k in range(count[j]):
                    total += np.int32(x[i, first[j] + k, c]) * weight[j, k]
                y[i, j, c] = total >> BITS


@serial
def along_columns(x, y):
    """(H, W, C) → y (h, W, C)."""
    first, count, weight = weights(x.shape[0], y.shape[0])
    totals = np.empty(x.shape[1:], np.int32)
    for i in range(y.shape[0]):
        totals[:] = 1 << (BITS - 1)
        for k in range(count[i]):
            row, share = x[first[i] + k], weight[i, k]
            for j in range(totals.shape[0]):
                for c in range(totals.shape[1]):
                    totals[j, c] += np.int32(row[j, c]) * share
        for j in range(totals.shape[0]):
            for c in range(totals.shape[1]):
                y[i, j, c] = totals[j, c] >> BITS


@serial
def packed_parts(x, chosen, boxes, flips, table, order, out):
    """x (N, H, W, C) uint8; of those chosen (n,) parts (n, 4), some mirrored, and normalised → out (n, C, h, w)."""
    y = np.empty((out.shape[2], out.shape[3], x.shape[3]), np.uint8)
    for n in range(chosen.size):
        resized_part(x[chosen[n]], boxes[n, 0], boxes[n, 1], boxes[n, 2], boxes[n, 3], y)
        for c in range(out.shape[1]):
            for i in range(out.shape[2]):
                for j in range(out.shape[3]):
                    column = out.shape[3] - 1 - j if flips[n] else j
                    out[n, c, i, j] = table[c, y[i, column, order[c]]]
