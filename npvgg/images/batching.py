"""Anything picture-like → the network's input.

    input                                        taken for
    ------------------------------------------   -------------------------------------------------------------
    path, bytes, binary file, PIL.Image          a picture: `read`, then the preset
    uint8 (H, W), (H, W, 1), (H, W, 3 or 4)      a picture of levels 0 … 255: the preset
    uint8 (N, H, W, 1, 3 or 4)                   N such pictures
    float, the same shapes, values 0 … 1         the same, rounded to levels 0 … 255
    float (C, H, W) or (N, C, H, W)              prepared already: used as it is, no preset
    list or tuple of these                       one picture an item

C is the preset's number of channels, 1, 3 or 4; a picture is converted to them, a colour picture to grey for C = 1.
A last axis of 1, 3 or 4 always means channels, and (H, W) is always a picture: a prepared array has its channels first and
cannot be that narrow, since VGG needs 32 columns.  So one grey picture that is prepared is (1, H, W).
What was normalised wrongly looks no different from a dull picture to the network, so whatever can be recognised as such
is refused: levels or fractions that were not normalised, values no picture gives, NaN, a uint8 array with its channels
first.
"""
import os

import numpy as np
from PIL import Image

from npvgg.architecture import CHANNELS
from npvgg.checks import check_flags
from npvgg.errors import ShapeError, UsageError
from npvgg.images.preparing import prepare
from npvgg.images.presets import Preset, check_preset
from npvgg.images.reading import rgb_of
from npvgg.text import said

DTYPES = (np.float32, np.float64, "float32", "float64")
HEADROOM = 4          # × the largest value the preset gives: 10.6 for torchvision, so standard normal noise passes


def batch(inputs, preset: Preset, dtype=np.float32, *, exif: bool = False, background: str | None = None) -> np.ndarray:
    """One input of the table above, or a list of them → (N, C, H, W) in `dtype`, float32 or float64; C = preset.channels.

    Pictures are prepared in float32 whatever the dtype, so that float64 sees the very same numbers.  `exif` and
    `background` as in `read`.  UsageError or ShapeError for what the table does not know; the errors of `read`.
    """
    if not (isinstance(dtype, (str, type, np.dtype)) and dtype in DTYPES):
        raise UsageError(f"dtype {dtype!r:.80} is not possible; choose float32 or float64")
    check_preset(preset)
    check_flags(exif=exif)
    rgb_of(background)
    refuse_iterable(inputs)
    if not isinstance(inputs, (list, tuple)):
        parts = [prepared(inputs, "the input", preset, exif, background)]
    else:
        parts = [prepared(item, f"inputs[{i}]", preset, exif, background) for i, item in enumerate(inputs)]
        refuse_uneven(parts)
    return np.concatenate(parts, dtype=dtype) if len(parts) > 1 else np.ascontiguousarray(parts[0], dtype)


def refuse_iterable(inputs):
    """A generator could be gone through only once, and what a set or a dict holds has no order."""
    is_iterable = hasattr(inputs, "__iter__") and not hasattr(inputs, "__array__") and not hasattr(inputs, "read")
    if is_iterable and not isinstance(inputs, (list, tuple, str, os.PathLike, bytes, bytearray, memoryview)):
        raise UsageError(f"the input is of type {type(inputs).__name__}; several pictures are a list or a tuple, for example "
                         "list(pictures), and a long run takes them in parts, as npvgg.classify.stream does")


def is_single(inputs) -> bool:
    """Whether `inputs` is one picture, and not a list or a stack of them, so that the answer is one as well."""
    return not isinstance(inputs, (list, tuple)) and getattr(inputs, "ndim", 0) < 4


def refuse_uneven(parts):
    """UsageError for an empty list, ShapeError unless each part is one picture (1, C, H, W) of the same size."""
    if not parts:
        raise UsageError("the list of pictures is empty; give at least one")
    for i, part in enumerate(parts):
        if len(part) != 1:
            raise ShapeError(f"inputs[{i}] is a stack of {len(part)} pictures; in a list every item is one picture")
        if part.shape != parts[0].shape:
            raise ShapeError(f"inputs[{i}] gives (C, H, W) = {part.shape[1:]} but inputs[0] {parts[0].shape[1:]}; "
                             "pictures of one batch have one size")


def prepared(item, name, preset, exif, background):
    """One item of the table → (n, C, H, W)."""
    if isinstance(item, (str, Image.Image)) or not hasattr(item, "__array__"):      # numpy's strings have __array__
        return prepare(item, preset, exif=exif, background=background, name=name)[np.newaxis]
    x = as_array(item, name)
    if x.dtype != np.uint8 and x.dtype.kind != "f":
        raise UsageError(f"{name} is an array of {x.dtype}; pictures are uint8, or float from 0 to 1: {converted_by(x.dtype)}")
    if x.size == 0:
        raise ShapeError(f"{name} has shape {x.shape} and so no pixels; give at least one picture")
    if x.ndim == 2 or x.ndim in (3, 4) and x.shape[-1] in CHANNELS:
        stack = x if x.ndim == 4 else x[np.newaxis]
        return np.stack([prepare(picture(values, name), preset, background=background, name=name) for values in stack])
    is_channels_first = x.ndim in (3, 4) and x.shape[-3] in CHANNELS
    if is_channels_first and x.dtype == np.uint8:
        raise ShapeError(f"{name} is uint8 {x.shape} with its channels first; move them last with "
                         "np.moveaxis(x, -3, -1)")
    if is_channels_first and x.shape[-3] != preset.channels:
        raise ShapeError(f"{name} has shape {x.shape}, {x.shape[-3]} channels first, where preset {preset.name} prepares "
                         f"{preset.channels}; pass a picture that is not normalised with its channels last, (H, W, "
                         f"{x.shape[-3]}), and it is converted")
    if not is_channels_first:
        raise ShapeError(f"{name} has shape {x.shape}; a picture is (H, W, 3) or (H, W), several are (N, H, W, 3), "
                         f"prepared ones (N, {preset.channels}, H, W)")
    refuse_unprepared(x, name, preset)
    return x if x.ndim == 4 else x[np.newaxis]


def converted_by(dtype):
    """How an array of another dtype becomes a picture."""
    if dtype.kind == "b":
        return "convert it with x.astype(np.float32)"
    if dtype == np.uint16:
        return "convert levels 0…65535 with (x >> 8).astype(np.uint8)"
    if dtype.kind in "iu":
        return "convert levels 0…255 with x.astype(np.uint8)"
    return "convert it to one of them"


def as_array(item, name):
    """np.asarray(item); UsageError that names the item where that fails."""
    try:
        return np.asarray(item)
    except Exception as error:                            # a tensor on a GPU, or one that records its gradient
        raise UsageError(f"{name} ({type(item).__name__}) gives no array ({said(error)}); convert it first") from None


def picture(values, name):
    """(H, W) or (H, W, channels), uint8 or float from 0 to 1 → PIL.Image; floats are rounded to the nearest level."""
    if values.dtype != np.uint8:
        levels = np.rint(values.astype(np.float64) * 255)
        if not (levels.min() >= 0 and levels.max() <= 255):          # also refuses NaN
            raise UsageError(f"{name} is a float picture from {values.min():.4g} to {values.max():.4g} but 0 to 1 is "
                             "expected; pass levels 0…255 as uint8, an array that is normalised already with its channels "
                             "first")
        values = levels.astype(np.uint8)
    values = values[:, :, 0] if values.shape[2:] == (1,) else values
    return Image.fromarray(np.ascontiguousarray(values))


def refuse_unprepared(x, name, preset):
    """The values of an array that is taken as prepared must be possible for the preset.

    Black and white give (0 / divisor − mean) / std and (255 / divisor − mean) / std; a picture lies between them.
    """
    low, high = x.min(), x.max()
    ends = (np.array([[0], [255]]) / preset.divisor - preset.mean) / preset.std
    if not (np.isfinite(low) and np.isfinite(high) and max(-low, high) <= HEADROOM * np.abs(ends).max()):
        problem = (f"goes from {low:.4g} to {high:.4g} where preset {preset.name} gives {ends.min():.4g} to "
                   f"{ends.max():.4g}")
    elif ends.min() < 0 and holds_levels(x, low, high) and not is_made_by(preset, x):
        problem = f"holds the levels 0…{1 if high <= 1 else 255} of a picture that is not normalised"
    else:
        return
    raise UsageError(f"{name}, {x.dtype} {x.shape}, counts as prepared because its channels come first, but {problem}; "
                     f"pass a picture with its channels last, (H, W, {preset.channels}) in uint8 or 0…1, or prepare it with "
                     "npvgg.images.prepare")


def holds_levels(x, low, high):
    """Whether all values are whole levels k, or k / 255, as hardly any normalised picture's are.

    Arrays of two values, an impulse for example, say nothing.
    """
    if low < 0 or high > 255 or not ((x > low) & (x < high)).any():
        return False
    levels = x.astype(np.float64) * (255 if high <= 1 else 1)
    return bool(np.abs(levels - np.rint(levels)).max() < 1e-4)


def is_made_by(preset, x):
    """Whether every value is what the preset makes of a whole level.

    With mean and std ½ the levels above 127 become (2·level − 255) / 255: odd ones of the fractions k / 255.
    """
    mean, std = (np.array(values)[:, np.newaxis, np.newaxis] for values in (preset.mean, preset.std))
    levels = (x.astype(np.float64) * std + mean) * preset.divisor
    return bool(np.abs(levels - np.rint(levels)).max() < 2e-4)
