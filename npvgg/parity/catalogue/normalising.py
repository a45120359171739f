"""From levels 0 … 255 to the input of a network, and what goes wrong on the way: all of it multiplies and shifts channels.

    x[k] = gain[k] · level[source[k]] + offset[k]
"""
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from npvgg.images import PRESETS, Preset

SCALE = "divide the levels once, by what the preset says, before the mean is subtracted"
STATISTICS = "subtract the preset's mean and divide by its standard deviation, channel by channel"
ORDER = "give the channels in the preset's order; OpenCV reads blue first"


@dataclass(frozen=True, eq=False)
class Normalising:
    """One way from levels to numbers."""

    name: str                             # as it goes on from "A's input is "; "" for the right way
    remedy: str
    gain: np.ndarray                      # (C,)
    offset: np.ndarray                    # (C,)
    source: tuple                         # of each channel, the channel of the levels (red, green, blue) that it is made of

    def of(self, levels: np.ndarray) -> np.ndarray:
        """(C, …) levels → the same shape."""
        each = (-1, *(1,) * (levels.ndim - 1))
        return levels[list(self.source)] * self.gain.reshape(each) + self.offset.reshape(each)

    def back(self, x: np.ndarray) -> np.ndarray:
        """The inverse of `of`."""
        each = (-1, *(1,) * (x.ndim - 1))
        levels = np.empty(x.shape)
        levels[list(self.source)] = (x - self.offset.reshape(each)) / self.gain.reshape(each)
        return levels


def of_preset(preset: Preset) -> Normalising:
    """The right way of a preset."""
    std, mean = np.array(preset.std), np.array(preset.mean)
    source = (2, 1, 0) if preset.order == "BGR" else tuple(range(preset.channels))
    return Normalising("", "", 1 / (preset.divisor * std), -mean / std, source)


def normalisings(preset: Preset) -> Iterator[Normalising]:
    """The right way of a preset, then the wrong ones, the likelier first."""
    right = of_preset(preset)
    yield right
    for wrong in wrong_ways(preset, right):
        yield wrong
        if preset.channels >= 3 and wrong.source == right.source:
            yield replace(wrong, name=f"{wrong.name}, with its channels in reverse order (BGR for RGB) before normalising",
                          source=reverse(wrong.source))


def wrong_ways(preset: Preset, right: Normalising) -> Iterator[Normalising]:
    """Each mistake by itself."""
    def way(name, remedy, gain, offset, source=right.source):
        return Normalising(name, remedy, np.broadcast_to(gain, right.gain.shape).astype(float),
                           np.broadcast_to(offset, right.gain.shape).astype(float), source)

    mean, std, divisor = np.array(preset.mean), np.array(preset.std), preset.divisor
    if preset.channels >= 3:
        yield way("with its channels in reverse order (BGR for RGB) before normalising", ORDER, right.gain, right.offset,
                  reverse(right.source))
        yield way("with its channels in reverse order (BGR for RGB) after normalising", ORDER, right.gain[list(reverse(range(
            preset.channels)))], right.offset[list(reverse(range(preset.channels)))], reverse(right.source))
        yield way("normalised with mean and standard deviation in reverse order (BGR for RGB)", ORDER,
                  right.gain[list(reverse(range(preset.channels)))], right.offset[list(reverse(range(preset.channels)))])
    if divisor != 1:
        yield way(f"not divided by {divisor:g}", SCALE, 1 / std, -mean / std)
        yield way(f"divided by {divisor:g} twice", SCALE, 1 / (divisor**2 * std), -mean / std)
        yield way(f"of levels from 0 to {divisor:g}, not normalised at all", STATISTICS, 1, 0)
        yield way(f"normalised with a mean times {divisor:g} and levels that are not divided", SCALE, 1 / std,
                  -divisor * mean / std)
    for other in {255, 256, 127.5, 128} - {divisor}:
        yield way(f"divided by {other:g} instead of {divisor:g}", SCALE, 1 / (other * std), -mean / std)
    yield way("without subtracting the mean", STATISTICS, right.gain, 0)
    if (std != 1).any():
        yield way("without dividing by the standard deviation", STATISTICS, 1 / divisor, -mean)
        yield way("divided by the variance instead of the standard deviation", STATISTICS, 1 / (divisor * std**2),
                  -mean / std**2)
        yield way("multiplied by the standard deviation instead of divided", STATISTICS, std / divisor, -mean * std)
        if mean.all():
            yield way("normalised with mean and standard deviation exchanged", STATISTICS, 1 / (divisor * mean), -std / mean)
    yield way("with neither the mean subtracted nor the standard deviation divided by", STATISTICS, 1 / divisor, 0)
    yield way("with the mean added instead of subtracted", STATISTICS, right.gain, -right.offset)
    yield way("normalised twice", STATISTICS, right.gain / std, (right.offset - mean) / std)
    yield way("scaled to −1 … 1 instead of normalised", STATISTICS, 1 / 127.5, -1)
    yield way("scaled to 0 … 1 instead of normalised", STATISTICS, 1 / 255, 0)
    yield way("of levels from 0 to 255 as they are", STATISTICS, 1, 0)
    yield way("normalised with one mean and one standard deviation for all channels", STATISTICS,
              1 / (divisor * std.mean()), -mean.mean() / std.mean())
    for name, other in PRESETS.items():
        if other.channels == preset.channels:
            theirs = of_preset(other)
            yield replace(theirs, name=f"normalised as {name} does instead of {preset.name}",
                          remedy=f"use the preset {preset.name}")


def reverse(source) -> tuple:
    """The first three in reverse order; a fourth, alpha, stays."""
    source = tuple(source)
    return (*source[2::-1], *source[3:])


def estimated(x: np.ndarray, levels: np.ndarray) -> Normalising | None:
    """(C, P) numbers and levels → the way from one to the other by least squares, each channel from the one that fits best;
    None where a channel does not vary."""
    gain, offset, source = [], [], []
    for own in x:
        fits = []
        for place, channel in enumerate(levels):
            centred = channel - channel.mean()
            if not (energy := centred @ centred):
                return None
            slope = float(centred @ own / energy)
            shift = float(own.mean() - slope * channel.mean())
            fits.append((float(np.abs(own - slope * channel - shift).max()), place, slope, shift))
        _, place, slope, shift = min(fits)
        gain.append(slope)
        offset.append(shift)
        source.append(place)
    if not all(gain):
        return None
    letters = "".join("RGBA"[place] for place in source)
    mean = ", ".join(f"{-shift / slope / 255:.4g}" for slope, shift in zip(gain, offset))
    std = ", ".join(f"{1 / slope / 255:.4g}" for slope in gain)
    return Normalising(f"normalised in the order {letters} with mean ({mean}) and standard deviation ({std}) of levels ÷ 255",
                       STATISTICS, np.array(gain), np.array(offset), tuple(source))
