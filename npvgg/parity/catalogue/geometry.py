"""From a picture to the square of levels that a network sees, and what goes wrong on the way.

With the picture file every way of resizing and cropping can be gone; without it only what moves pixels about can be told.
"""
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from npvgg.images import Preset
from npvgg.images.preparing import cropped, resized

RESIZE = "resize as the preset says, by Pillow's filter with antialiasing and rounded to whole levels; then crop the middle"
EXIF = "apply EXIF's orientation or not, as was done with the pictures that the network was trained on"
AXES = "transpose (H, W, C) to (C, H, W) once, with height first, and do not mirror"
COLOURS = "read the picture in colour"
GREYS = {"(299 R + 587 G + 114 B) ÷ 1000": (0.299, 0.587, 0.114), "the mean of R, G and B": (1 / 3,) * 3}
FILTERS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
RATIOS = (1.0, 0.8, 0.875, 0.9, 0.95, 0.96, 0.965, 0.7, 0.75)
SHORT_SIDES = (224, 227, 230, 232, 235, 236, 238, 240, 248, 250, 255, 256, 257, 260, 280, 288, 299, 300, 320, 342, 384, 448,
               512)


@dataclass(frozen=True)
class Arrangement:
    """A way to move pixels about: (C, H, W) → (C, H, W)."""

    name: str
    remedy: str
    change: Callable


def grey(weights) -> Callable:
    """Every channel the same sum of red, green and blue."""
    return lambda levels: np.broadcast_to(np.tensordot(weights, levels[:3], 1), levels.shape)


def grey_of_pillow(levels: np.ndarray) -> np.ndarray:
    """Pillow's rounded grey in every channel."""
    whole = np.rint(levels).astype(np.int64)
    return np.broadcast_to((whole[0] * 19595 + whole[1] * 38470 + whole[2] * 7471 + 0x8000) >> 16, levels.shape).astype(float)


ARRANGEMENTS = (
    Arrangement("mirrored left to right", AXES, lambda y: y[..., ::-1]),
    Arrangement("with height and width exchanged", AXES, lambda y: y.swapaxes(1, 2)),
    Arrangement("upside down", AXES, lambda y: y[:, ::-1]),
    Arrangement("turned by 180°", AXES, lambda y: y[:, ::-1, ::-1]),
    Arrangement("turned by 90° to the left", EXIF, lambda y: np.rot90(y, 1, (1, 2))),
    Arrangement("turned by 90° to the right", EXIF, lambda y: np.rot90(y, -1, (1, 2))),
    Arrangement("reshaped from (H, W, C) to (C, H, W) instead of transposed", AXES,
                lambda y: y.transpose(1, 2, 0).reshape(y.shape)),
    Arrangement("grey (Pillow's)", COLOURS, grey_of_pillow),
    *(Arrangement(f"grey, {said}", COLOURS, grey(weights)) for said, weights in GREYS.items()),
    *(Arrangement(f"the {name} channel three times", COLOURS, lambda y, place=place: np.broadcast_to(y[place], y.shape))
      for place, name in enumerate(("red", "green", "blue"))),
)


def resamplers(preset: Preset) -> Iterator[tuple[str, Callable]]:
    """("", the preset's own way to resize), then others: function(picture, (width, height)) → (C, H, W) levels."""
    own = preset.interpolation
    yield "", lambda picture, size: by_pillow(picture, size, own)
    for name in FILTERS:
        if name != own:
            yield f"resized by {name} instead of {own}", lambda picture, size, name=name: by_pillow(picture, size, name)
    yield f"resized by {own} in floating point", lambda picture, size: in_floats(picture, size, own)
    for name in ("bilinear", "bicubic"):
        for corners in (False, True):
            how = f"resized by {name} without antialiasing" + (", corners aligned" if corners else "")
            yield how, lambda picture, size, name=name, corners=corners: np.clip(np.rint(
                without_antialiasing(picture, size, name, corners)), 0, 255)
            yield f"{how}, in floating point", lambda picture, size, name=name, corners=corners: without_antialiasing(
                picture, size, name, corners)


def planes(picture: Image.Image) -> np.ndarray:
    """A picture → (C, H, W) float64 levels."""
    levels = np.asarray(picture, np.float64)
    return levels.reshape(*levels.shape[:2], -1).transpose(2, 0, 1)


def by_pillow(picture, size, name):
    """Pillow's resize of whole levels."""
    return planes(picture if size == picture.size else picture.resize(size, Image.Resampling[name.upper()]))


def in_floats(picture, size, name):
    """Pillow's resize of floating-point levels."""
    return np.concatenate([by_pillow(Image.fromarray(plane.astype(np.float32)), size, name) for plane in planes(picture)])


def without_antialiasing(picture, size, name, corners):
    """Each new pixel from the two (or four) old ones beside it in each direction, as PyTorch and OpenCV do by default."""
    levels = planes(picture)
    for axis, count in ((1, size[1]), (2, size[0])):
        levels = np.moveaxis(np.tensordot(matrix(levels.shape[axis], count, name, corners), levels, (1, axis)), 0, axis)
    return levels


def matrix(old: int, new: int, name: str, corners: bool) -> np.ndarray:
    """(new, old): the weights of old pixels in new ones; beyond the edge stands the edge.  Cubic weights have a = −0.75."""
    if corners:
        places = np.arange(new) * ((old - 1) / max(1, new - 1))
    else:
        places = (np.arange(new) + 0.5) * (old / new) - 0.5
        places = np.maximum(places, 0) if name == "bilinear" else places
    first = np.floor(places).astype(int)
    part = places - first
    if name == "bilinear":
        weights = {0: 1 - part, 1: part}
    else:
        a = -0.75
        near = {0: part, 1: 1 - part}
        weights = {step: ((a + 2) * t - (a + 3)) * t * t + 1 for step, t in near.items()}
        weights |= {step: ((a * t - 5 * a) * t + 8 * a) * t - 4 * a for step, t in ((-1, 1 + part), (2, 2 - part))}
    result = np.zeros((new, old))
    for step, weight in weights.items():
        np.add.at(result, (np.arange(new), np.clip(first + step, 0, old - 1)), weight)
    return result


def sizes(picture: Image.Image, preset: Preset) -> Iterator[tuple[str, tuple]]:
    """("", the size that the preset resizes to), then others: (name, (width, height))."""
    width, height = picture.size
    side = preset.resize or min(width, height)
    right = resized(picture, preset).size if preset.resize else picture.size
    yield "", right

    def shorter(short, rounded=int):
        longer = rounded(short * max(width, height) / min(width, height))
        return (short, longer) if width <= height else (longer, short)

    yield f"squashed to {side}×{side}", (side, side)
    yield f"squashed to {preset.crop}×{preset.crop}", (preset.crop, preset.crop)
    yield "not resized", picture.size
    yield "resized with width and height exchanged", right[::-1]
    for how, rounded in (("rounded", round), ("rounded up", lambda value: int(np.ceil(value)))):
        yield f"resized with its longer side {how} instead of cut down", shorter(side, rounded)
    ratio = side / max(width, height)
    yield f"resized with {side} pixels on its longer side", (max(1, int(width * ratio)), max(1, int(height * ratio)))
    for short in dict.fromkeys([*(int(preset.crop / ratio) for ratio in RATIOS), *SHORT_SIDES]):
        if short != side and preset.crop <= short <= 4 * preset.crop:
            yield f"resized to a shorter side of {short} instead of {side} pixels", shorter(short)


def middle(levels: np.ndarray, side: int) -> np.ndarray:
    """(C, H, W) → the central square, by the rule of the presets; zeros where the picture is smaller."""
    if levels.shape[1:] == (side, side):
        return levels
    places = cropped(Image.fromarray(np.arange(1, levels[0].size + 1, dtype=np.int32).reshape(levels.shape[1:])), side)
    places = np.asarray(places)
    flat = np.concatenate([np.zeros((len(levels), 1)), levels.reshape(len(levels), -1)], axis=1)
    return flat[:, places]


def square_first(picture: Image.Image, preset: Preset) -> np.ndarray:
    """The largest central square, resized to the crop."""
    side = min(picture.size)
    return by_pillow(cropped(picture, side), (preset.crop, preset.crop), preset.interpolation)
