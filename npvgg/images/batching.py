"""Anything picture-like → the network's input.

    given                                        taken for
    ------------------------------------------   -------------------------------------------------------------
    path, bytes, binary file, PIL.Image          a picture: `read`, then the preset
    uint8 (H, W), (H, W, 1), (H, W, 3 or 4)      a picture of levels 0 … 255: the preset
    uint8 (N, H, W, 1, 3 or 4)                   N such pictures
    float, the same shapes, values 0 … 1         the same, rounded to levels 0 … 255
    float (3, H, W) or (N, 3, H, W)              prepared already: used as it is, no preset
    list or tuple of these                       one picture an item

A last axis of 1, 3 or 4 always means channels: a prepared array cannot be that narrow, since VGG needs 32 columns.
What was normalised wrongly looks no different from a dull picture to the network, so whatever can be recognised as such
is refused: levels or fractions that were not normalised, values no picture gives, NaN, a uint8 array with its channels
first.
"""
import numpy as np
from PIL import Image

from npvgg.errors import ShapeError, UsageError
from npvgg.images.preparing import prepare
from npvgg.images.reading import read
from npvgg.text import said

DTYPES = (np.float32, np.float64, "float32", "float64")
CHANNELS = (1, 3, 4)
HEADROOM = 4          # × the largest value the preset gives: 10.6 for torchvision, so standard normal noise passes


def batch(inputs, preset, dtype=np.float32, *, exif=False, background=None):
    """One input of the table above, or a list of them → (N, 3, H, W) in `dtype`, float32 or float64.

    Pictures are prepared in float32 whatever the dtype, so that float64 sees the very same numbers.  `exif` and
    `background` as in `read`.  UsageError or ShapeError for what the table does not know; the errors of `read`.
    """
    if dtype not in DTYPES:
        raise UsageError(f"dtype {dtype} is not possible; choose float32 or float64")
    if not isinstance(inputs, (list, tuple)):
        parts = [prepared(inputs, "the input", preset, exif, background)]
    else:
        parts = [prepared(item, f"inputs[{i}]", preset, exif, background) for i, item in enumerate(inputs)]
        refuse_uneven(parts)
    return np.concatenate(parts, dtype=dtype) if len(parts) > 1 else np.ascontiguousarray(parts[0], dtype)


def is_single(inputs):
    """Whether `inputs` is one picture, and not a list or a stack of them, so that the answer is one as well."""
    return not isinstance(inputs, (list, tuple)) and getattr(inputs, "ndim", 0) < 4


def refuse_uneven(parts):
    if not parts:
        raise UsageError("the list of pictures is empty; give at least one")
    for i, part in enumerate(parts):
        if len(part) != 1:
            raise ShapeError(f"inputs[{i}] is a stack of {len(part)} pictures; in a list every item is one picture")
        if part.shape != parts[0].shape:
            raise ShapeError(f"inputs[{i}] gives (3, H, W) = {part.shape[1:]} but inputs[0] {parts[0].shape[1:]}; "
                             "pictures of one batch have one size")


def prepared(item, name, preset, exif, background):
    """One item of the table → (n, 3, H, W)."""
    if isinstance(item, (str, Image.Image)) or not hasattr(item, "__array__"):      # numpy's strings have __array__
        return prepare(read(item, exif=exif, background=background, name=name), preset)[np.newaxis]
    x = as_array(item, name)
    if x.dtype != np.uint8 and x.dtype.kind != "f":
        raise UsageError(f"{name} is an array of {x.dtype}; pictures are uint8, or float from 0 to 1")
    if x.size == 0:
        raise ShapeError(f"{name} has shape {x.shape} and so no pixels; give at least one picture")
    if x.ndim == 2 or x.ndim in (3, 4) and x.shape[-1] in CHANNELS:
        stack = x if x.ndim == 4 else x[np.newaxis]
        return np.stack([prepare(read(picture(values, name), background=background, name=name), preset)
                         for values in stack])
    if x.ndim not in (3, 4) or x.shape[-3] != 3:
        raise ShapeError(f"{name} has shape {x.shape}; a picture is (H, W, 3) or (H, W), several are (N, H, W, 3), "
                         "prepared ones (N, 3, H, W)")
    if x.dtype == np.uint8:
        raise ShapeError(f"{name} is uint8 {x.shape} with its channels first; move them last with "
                         "np.moveaxis(x, -3, -1)")
    refuse_unprepared(x, name, preset)
    return x if x.ndim == 4 else x[np.newaxis]


def as_array(item, name):
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
                             "expected; pass levels 0…255 as uint8, an array that is normalised already as (3, H, W)")
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
                     "pass a picture with its channels last, (H, W, 3) in uint8 or 0…1, or prepare it with "
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
