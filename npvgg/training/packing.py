"""Levels → the network's input: rows and columns chosen, mirrored, normalised and moved behind the channels in one pass."""
import numpy as np

from npvgg.images.presets import Preset
from npvgg.kernels.compiling.flags import serial


def normalised_levels(preset: Preset) -> np.ndarray:
    """A Preset → (C, 256) float32: what each level of each channel becomes, to the bit as `images.prepare` computes it.

    The channels stand in the order of the preset: the first row is blue's for BGR.
    """
    levels = np.arange(256).astype(np.float32)[np.newaxis] / np.float32(preset.divisor)
    return (levels - np.float32(preset.mean)[:, np.newaxis]) / np.float32(preset.std)[:, np.newaxis]


def channel_order(preset: Preset) -> np.ndarray:
    """(C,): which channel of the picture each channel of the input is."""
    order = np.arange(preset.channels)
    return order[::-1].copy() if preset.order == "BGR" else order


@serial
def pack(levels, rows, columns, table, order, out):
    """(H, W, C) uint8, rows (h,), columns (w,), (C, 256), (C,) → out (C, h, w); a row or column −1 is level 0."""
    for c in range(out.shape[0]):
        channel = order[c]
        for i in range(out.shape[1]):
            row = rows[i]
            for j in range(out.shape[2]):
                column = columns[j]
                level = levels[row, column, channel] if row >= 0 and column >= 0 else np.uint8(0)
                out[c, i, j] = table[c, level]
