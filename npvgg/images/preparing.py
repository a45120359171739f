"""Picture → numbers: resize, centre crop, normalise.

Equal to torchvision's pipeline on PIL pictures: the same resampling code (Pillow's), the same rounding of sizes and
offsets, and the same float32 operations in the same order.
"""
import numpy as np
from PIL import Image

from npvgg.errors import ImageError
from npvgg.images.presets import Preset, check_preset
from npvgg.images.reading import MAX_PIXELS, read


def prepare(image, preset: Preset, **options) -> np.ndarray:
    """What `read` takes, with its options → (C, crop, crop) float32, C = preset.channels.

        x[c, i, j] = (level[i, j, c] / divisor − mean[c]) / std[c]

    Three float32 operations, each rounded, as in torchvision.  Errors: those of `read`.
    """
    levels = pixels(image, preset, **options)
    if preset.order == "BGR":
        levels = levels[:, :, ::-1]
    x = levels.astype(np.float32) / np.float32(preset.divisor)
    x = (x - np.float32(preset.mean)) / np.float32(preset.std)
    return np.ascontiguousarray(x.transpose(2, 0, 1))


def pixels(image, preset: Preset, **options) -> np.ndarray:
    """What `read` takes, with its options → (crop, crop, C) uint8, the levels 0 … 255 that `prepare` normalises.

    The channels are grey, RGB or RGBA; blue comes first in `prepare` only.  Pillow resizes colours weighted by their alpha.
    """
    check_preset(preset)
    picture = read(image, mode=preset.mode, **options)
    levels = np.array(cropped(resized(picture, preset), preset.crop))
    return levels.reshape(*levels.shape[:2], preset.channels)


def on_photograph(box: tuple, size: tuple, preset: Preset) -> tuple:
    """(top, left, bottom, right) in pixels of what `prepare` gives → the same in pixels of the picture of (W, H) = `size`.

        (position + start of the crop) · original side ÷ resized side          for each axis
    """
    check_preset(preset)
    sides = resized_size(size, preset)
    return tuple((position + offset(sides[axis], preset.crop)) * size[axis] / sides[axis]
                 for position, axis in zip(box, (1, 0, 1, 0), strict=True))


def resized(picture, preset):
    """The picture in its `resized_size`."""
    size = resized_size(picture.size, preset)
    return picture if size == picture.size else picture.resize(size, Image.Resampling[preset.interpolation.upper()])


def resized_size(size, preset):
    """(W, H) → the same once the preset has resized.

    The shorter side becomes preset.resize, the longer one its proportion, cut down to a whole number, or the same.
    """
    if preset.resize is None:
        return size
    width, height = size
    if preset.crop_mode == "squash":
        width = height = preset.resize
    short, long = min(width, height), max(width, height)
    longer = int(preset.resize * long / short)
    if longer * preset.resize > MAX_PIXELS:
        raise ImageError(f"{width}×{height} resized to a shorter side of {preset.resize} is more than {MAX_PIXELS:,} "
                         "pixels; crop the picture first")
    return (preset.resize, longer) if width <= height else (longer, preset.resize)


def cropped(picture, side):
    """The central square; where the picture is smaller, zeros are added around it: black, and transparent in RGBA."""
    width, height = picture.size
    left, top = offset(width, side), offset(height, side)
    return picture.crop((left, top, left + side, top + side))


def offset(length, side):
    """Where the crop starts.

    Python rounds a half to the even number: 225 → 224 starts at 0 (0.5), 227 → 224 at 2 (1.5).  A picture that is too
    small has the odd black row or column behind it.
    """
    return int(round((length - side) / 2.0)) if length >= side else -((side - length) // 2)
