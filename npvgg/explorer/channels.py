"""How strongly each channel of a layer answers."""
from typing import NamedTuple

import numpy as np


class Channel(NamedTuple):
    """One channel of a layer on one picture; of a flat layer one unit, at row and column 0."""

    channel: int
    mean: float
    largest: float
    row: int                              # where it is largest, the first of equal places
    column: int
    zeros: float                          # the share of numbers that are 0


def strongest(maps: np.ndarray) -> list[Channel]:
    """(C, H, W) or (units,) → its channels by falling mean."""
    maps = maps.reshape(len(maps), *(maps.shape[1:] or (1, 1)))
    means, width = maps.mean((1, 2), dtype=np.float64), maps.shape[2]
    found = []
    for channel in np.argsort(-means, kind="stable").tolist():
        at = int(maps[channel].argmax())
        found.append(Channel(channel, float(means[channel]), float(maps[channel].ravel()[at]), at // width, at % width,
                             float((maps[channel] == 0).mean())))
    return found
