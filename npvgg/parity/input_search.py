"""The levels that an input could have been made of → which of them it was, and how they were normalised."""
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from npvgg.images import PRESETS, Preset
from npvgg.images.preparing import pixels
from npvgg.parity.catalogue import geometry
from npvgg.parity.catalogue.normalising import Normalising, estimated, normalisings

LEVEL = 0.01                              # of one level: what float32 may lose between a level and an input
SAMPLE = 199                              # pixels that are looked at first
MOST_OFF = 0.01                           # of the pixels may be one level off, where another library rounds halves otherwise


@dataclass(frozen=True, eq=False)
class Levels:
    """(C, H, W) levels and what was done to get them; "" for the right way."""

    name: str
    remedy: str
    values: np.ndarray


@dataclass(frozen=True)
class Reading:
    """How an input was made."""

    name: str                             # "" for the right way
    remedy: str
    off: float                            # the largest distance, in levels
    is_estimated: bool = False


def readings(x: np.ndarray, candidates: Iterable[Levels], preset: Preset) -> Iterator[Reading]:
    """(C, H, W) and the levels it could be made of → every way that reproduces it, in the order of the candidates.

    Where no known normalising does, one that is fitted to it.
    """
    ways, kept, is_found = list(normalisings(preset)), [], False
    gains, offsets, sources = (np.array([getattr(way, field) for way in ways]) for field in ("gain", "offset", "source"))
    few = sampled(x)
    for levels in candidates:
        if levels.values.shape != x.shape:
            continue
        kept.append(levels)
        distance = np.abs(few - sampled(levels.values)[sources] * gains[:, :, np.newaxis] - offsets[:, :, np.newaxis])
        near = np.flatnonzero((distance.max(axis=2) <= 1.1 * np.abs(gains)).all(axis=1))
        for way in (ways[place] for place in near):
            off = agrees(flat(x), flat(levels.values), way)
            if off is not None:
                is_found = True
                yield Reading(joined(levels.name, way.name), levels.remedy or way.remedy, off)
                break
    for levels in () if is_found else kept:
        for numbers in ((few, sampled(levels.values)), (flat(x), flat(levels.values))):
            way = estimated(*numbers)
            off = None if way is None else agrees(*numbers, way)
            if off is None:
                break
        else:
            yield Reading(joined(levels.name, way.name), levels.remedy or way.remedy, off, True)
            return


def agrees(x: np.ndarray, levels: np.ndarray, way: Normalising) -> float | None:
    """(C, P) twice → the largest distance in levels, where it is what rounding explains, else None."""
    distance = np.abs(x - way.of(levels)) / np.abs(way.gain)[:, np.newaxis]
    off = float(distance.max(initial=0))
    bound = LEVEL + 4 * 2.0**-24 * float((np.abs(x).max(initial=0)) / np.abs(way.gain).min())
    if off <= bound:
        return off
    return off if off <= 1 + bound and np.mean(distance > bound) <= MOST_OFF else None


def flat(x: np.ndarray) -> np.ndarray:
    """(C, H, W) → (C, H·W)."""
    return x.reshape(len(x), -1)


def sampled(x: np.ndarray) -> np.ndarray:
    """Some of the pixels, spread over all: (C, P)."""
    pixels = flat(x)
    return pixels[:, ::max(1, pixels.shape[1] // SAMPLE)]


def joined(*names: str) -> str:
    """What was done, in one phrase."""
    return " and ".join(name for name in names if name)


def of_levels(levels: np.ndarray) -> Iterator[Levels]:
    """Right levels (C, H, W) → what they become when pixels are moved about."""
    yield Levels("", "", levels)
    for way in geometry.ARRANGEMENTS:
        if len(levels) >= 3 or not way.name.startswith(("grey", "the ")):
            changed = way.change(levels)
            if changed.shape == levels.shape:
                yield Levels(way.name, way.remedy, changed)


def of_picture(picture: Image.Image, turned: Image.Image, preset: Preset, x: np.ndarray) -> Iterator[Levels]:
    """A picture as the preset reads it, and with its EXIF orientation applied → the squares of levels that people make of it by
    resizing and cropping otherwise; `x` tells where another crop may lie."""
    resampling, ways = list(geometry.resamplers(preset)), list(geometry.sizes(picture, preset))
    resample, size = resampling[0][1], ways[0][1]
    yield from shifted(resample(picture, size), x, "")
    if preset.channels >= 3:
        levels = geometry.middle(resample(picture.convert("L"), size), preset.crop)
        yield Levels("grey (Pillow's) before it was resized", geometry.COLOURS, np.repeat(levels, preset.channels, axis=0))
    if turned.size != picture.size or not np.array_equal(turned, picture):
        size = next(geometry.sizes(turned, preset))[1]
        for levels in of_levels(geometry.middle(resample(turned, size), preset.crop)):
            name = joined("with its EXIF orientation applied", levels.name)
            yield Levels(name, levels.remedy or "use the picture as it is stored", levels.values)
    otherwise = [way for way in itertools.product(ways, resampling) if sum(bool(part[0]) for part in way) == 1]
    yield from resized(picture, otherwise, preset, x)
    for name, other in PRESETS.items():
        if other.channels == preset.channels and name != preset.name:
            levels = pixels(picture, other.resized(preset.crop)).transpose(2, 0, 1).astype(np.float64)
            yield Levels(f"resized and cropped as {name} does", f"use the preset {preset.name}", levels)
    yield from resized(picture, itertools.product(ways[1:], resampling[1:]), preset, x)
    yield Levels("cropped to a square before it was resized", geometry.RESIZE, geometry.square_first(picture, preset))


def resized(picture: Image.Image, ways: Iterable[tuple], preset: Preset, x: np.ndarray) -> Iterator[Levels]:
    """Ways ((name, size), (name, resampler)) to resize a picture → the middle of what they give, and where another part of it
    is like the input, that."""
    for (sized, size), (how, resample) in ways:
        whole = resample(picture, size)
        yield Levels(joined(sized, how), geometry.RESIZE, geometry.middle(whole, preset.crop))
        if not how:
            yield from shifted(whole, x, sized)


def shifted(whole: np.ndarray, x: np.ndarray, name: str) -> Iterator[Levels]:
    """A resized picture → the square of it that correlates best with the input, where that is not the middle."""
    height, width = x.shape[1:]
    if whole.shape[1] < height or whole.shape[2] < width or whole.shape == x.shape:
        return
    top, left = best_place(whole.sum(axis=0), x.sum(axis=0))
    centre = [int(round((old - new) / 2)) for old, new in zip(whole.shape[1:], (height, width))]
    if [top, left] != centre:
        down, right = direction(top - centre[0], "down", "up"), direction(left - centre[1], "right", "left")
        said = f"cropped {down} and {right} of the middle"
        yield Levels(joined(name, said), "crop the middle: the offset is half of what is left over, rounded", whole[
            :, top:top + height, left:left + width])


def direction(pixels: int, positive: str, negative: str) -> str:
    """3 → "3 pixels down"."""
    return f"{abs(pixels)} {'pixel' if abs(pixels) == 1 else 'pixels'} {positive if pixels >= 0 else negative}"


def best_place(whole: np.ndarray, part: np.ndarray) -> tuple[int, int]:
    """(H, W) and a smaller one → where in the first the second correlates best, by Fourier transforms."""
    shape = whole.shape
    spectrum = np.fft.rfft2
    part = part - part.mean()
    window = np.ones(part.shape)
    whole = whole - whole.mean()

    def slid(image, pattern):
        both = spectrum(image, shape) * np.conj(spectrum(pattern, shape))
        return np.fft.irfft2(both, shape)[:shape[0] - part.shape[0] + 1, :shape[1] - part.shape[1] + 1]

    spread = slid(whole**2, window) - slid(whole, window) ** 2 / part.size
    score = slid(whole, part) / np.sqrt(np.maximum(spread, 1e-9 * part.size))
    return tuple(int(place) for place in np.unravel_index(score.argmax(), score.shape))
