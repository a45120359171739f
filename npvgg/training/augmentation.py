"""Each epoch shows other pictures: which part of one, how large, mirrored or not, in which colours.

    Augmentation          what is asked for, as data
    Views(…)              one epoch's draws for every picture, as arrays: functions of (seed, epoch, picture)
    view(picture, …)      one picture → its levels, resized and in other colours
    packing.pack          its rows and columns → normalised (C, H, W)

In this order: part or scale (Pillow's bilinear, antialiased), colours, shift and mirror image, normalisation, blank squares.
Whatever is drawn for a picture stands in its row of a table (`draws`), so no draw depends on another picture, on batches or on
threads.
"""
import math
from dataclasses import dataclass, fields

import numpy as np
from PIL import Image

from npvgg.checks import check_choice, is_number
from npvgg.errors import UsageError
from npvgg.images import preparing
from npvgg.images.presets import Preset
from npvgg.training import draws

FLIPS = ("none", "random", "alternating")
PADDINGS = ("zeros", "reflect")
TRIES = 10
# The eigenvalues and eigenvectors (rows: red, green, blue) of ImageNet's colours (Krizhevsky et al. 2012, section 4.1).
EIGENVALUES = np.array([55.46, 4.794, 1.148])
EIGENVECTORS = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])


@dataclass(frozen=True)
class Augmentation:
    """What is done to training pictures; without arguments nothing, and the preset prepares them as at inference.

        resized_crop    (low, high) shares of the area: a random part of random proportions, resized to the picture's size
        ratio           of that part, width : height, drawn evenly on the logarithm
        scale_jitter    (low, high) pixels: the shorter side is resized to one of these, and a square cut out anywhere
        padded_crop     pixels that are added on each side, before a square is cut out anywhere; `padding` zeros or reflect
        flip            none, random (each picture with probability ½) or alternating (a random half, then every epoch the
                        others)
        colour_jitter   (brightness, contrast, saturation, hue): factors from 1 − v to 1 + v in random order, hue shifts by
                        ±v ≤ ½
        colour_shift    σ of the shift along the principal components of ImageNet's colours
        cutout          the side of a square, anywhere, that is blanked to the mean
        mixup, cutmix   α of Beta(α, α): a batch is mixed with itself in another order, picture by picture or square by square
        mixing          the probability that a batch is mixed at all
    """

    resized_crop: tuple[float, float] | None = None
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    scale_jitter: tuple[int, int] | None = None
    padded_crop: int = 0
    padding: str = "zeros"
    flip: str = "none"
    colour_jitter: tuple[float, float, float, float] | None = None
    colour_shift: float = 0.0
    cutout: int = 0
    mixup: float = 0.0
    cutmix: float = 0.0
    mixing: float = 1.0

    def __post_init__(self):
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, list):
                object.__setattr__(self, item.name, tuple(value))
        check_choice("flip", self.flip, FLIPS)
        check_choice("padding", self.padding, PADDINGS)
        check_range("resized_crop", self.resized_crop, 2, 1e-6, 1, is_rising=True)
        check_range("ratio", self.ratio, 2, 1e-2, 100, is_rising=True)
        check_range("scale_jitter", self.scale_jitter, 2, 1, 4096, is_rising=True)
        check_range("colour_jitter", self.colour_jitter, 4, 0, 10)
        if self.colour_jitter is not None and self.colour_jitter[3] > 0.5:
            raise UsageError(f"the hue of colour_jitter is {self.colour_jitter[3]}; give at most 0.5")
        for name, most in (("padded_crop", 1024), ("cutout", 4096), ("colour_shift", 10), ("mixup", 100), ("cutmix", 100),
                           ("mixing", 1)):
            value = getattr(self, name)
            if not is_number(value) or not 0 <= value <= most:
                raise UsageError(f"{name} is {value!r:.80}; give a number from 0 to {most}")
        if sum(map(bool, (self.resized_crop, self.scale_jitter, self.padded_crop))) > 1:
            raise UsageError("of resized_crop, scale_jitter and padded_crop more than one was given; give one of them")


def check_range(what, values, count, low, high, is_rising=False):
    """UsageError unless `values` are None, or `count` numbers from low to high, the second not below the first."""
    if values is None:
        return
    is_tuple = isinstance(values, tuple) and len(values) == count and all(is_number(v) and low <= v <= high for v in values)
    if not is_tuple or is_rising and values[0] > values[1]:
        raise UsageError(f"{what} is {values!r:.80}; give {count} numbers from {low:g} to {high:g}"
                         f"{', the smaller one first' if is_rising else ''}")


@dataclass(frozen=True, eq=False)
class Views:
    """One epoch's draws: boxes (N, 4) top, left, height, width; scales (N,); shifts (N, 2) in [0, 1); flips (N,) of bool;
    colours (N, 12) and patches (N, 2), uniform on [0, 1).
    """

    boxes: np.ndarray | None
    scales: np.ndarray | None
    shifts: np.ndarray
    flips: np.ndarray
    colours: np.ndarray | None
    patches: np.ndarray | None


def views(augmentation: Augmentation, sizes: np.ndarray, seed: int, epoch: int) -> Views:
    """The pictures' sizes (N, 2), height and width → what is drawn for each of them in this epoch."""
    count = len(sizes)
    crop = draws.table(seed, "crop", epoch, count, 4)
    flip = draws.table(seed, "flip", epoch if augmentation.flip == "random" else 0, count, 1)[:, 0] < 0.5
    if augmentation.flip == "alternating":
        flip ^= epoch % 2 == 1
    low, high = augmentation.scale_jitter or (0, 0)
    has_colours = augmentation.colour_jitter is not None or augmentation.colour_shift
    return Views(
        boxes=crop_boxes(augmentation, sizes, seed, epoch) if augmentation.resized_crop else None,
        scales=low + np.floor(crop[:, 2] * (high - low + 1)).astype(np.int64) if augmentation.scale_jitter else None,
        shifts=crop[:, :2], flips=flip & (augmentation.flip != "none"),
        colours=draws.table(seed, "colour", epoch, count, 12) if has_colours else None,
        patches=draws.table(seed, "patch", epoch, count, 2) if augmentation.cutout else None)


def crop_boxes(augmentation: Augmentation, sizes: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """(N, 2) → (N, 4): top, left, height, width of a part of random area and proportions (torchvision's RandomResizedCrop).

    Up to ten times an area and a ratio are drawn, until the part fits into the picture; otherwise it is the largest part in
    the middle whose proportions are allowed.
    """
    rows, columns = sizes[:, 0].astype(np.float64), sizes[:, 1].astype(np.float64)
    boxes, open_ = centred(augmentation, rows, columns), np.ones(len(sizes), bool)
    logs = [math.log(ratio) for ratio in augmentation.ratio]
    for attempt in range(TRIES):
        u = draws.table(seed, "crop", epoch, len(sizes), 4, attempt + 1)
        area = rows * columns * (augmentation.resized_crop[0] + u[:, 0] * np.diff(augmentation.resized_crop)[0])
        ratio = np.exp(logs[0] + u[:, 1] * (logs[1] - logs[0]))
        width, height = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
        fits = open_ & (width > 0) & (width <= columns) & (height > 0) & (height <= rows)
        top, left = np.floor(u[:, 2] * (rows - height + 1)), np.floor(u[:, 3] * (columns - width + 1))
        boxes[fits] = np.stack([top, left, height, width], 1)[fits]
        open_ &= ~fits
        if not open_.any():
            break
    return boxes.astype(np.int64)


def centred(augmentation, rows, columns):
    """The part in the middle, cut to the ratios that are allowed."""
    width = np.minimum(columns, np.rint(rows * augmentation.ratio[1]))
    height = np.minimum(rows, np.rint(columns / augmentation.ratio[0]))
    return np.stack([(rows - height) // 2, (columns - width) // 2, height, width], 1)


def view(picture: Image.Image, augmentation: Augmentation, drawn: Views, index: int, preset: Preset) -> np.ndarray:
    """One picture → (H, W, C) uint8, from which a square of preset.crop is cut: resized as drawn and in other colours.

    Without a crop or jitter of its own it is resized as the preset says.
    """
    size = preset.crop
    if drawn.boxes is not None:
        top, left, height, width = drawn.boxes[index].tolist()
        if (height, width) != (picture.height, picture.width):
            picture = picture.crop((left, top, left + width, top + height))
        picture = resized(picture, (size, size))
    elif drawn.scales is not None:
        picture = resized(picture, shorter_side(picture.size, int(drawn.scales[index])))
    elif preset.resize is not None:
        picture = preparing.resized(picture, preset)
    levels = np.asarray(picture)
    levels = levels.reshape(*levels.shape[:2], -1)
    return levels if drawn.colours is None else coloured(levels, augmentation, drawn.colours[index])


def resized(picture, size):
    """Pillow's bilinear with antialiasing; the picture itself where it has that size."""
    return picture if picture.size == size else picture.resize(size, Image.Resampling.BILINEAR)


def shorter_side(size, shorter):
    """(width, height) → those of the picture whose shorter side is `shorter`, as images.preparing has it."""
    width, height = size
    longer = int(shorter * max(size) / min(size))
    return (shorter, longer) if width <= height else (longer, shorter)


def window(levels: np.ndarray, augmentation: Augmentation, drawn: Views, index: int, size: int
           ) -> tuple[np.ndarray, np.ndarray]:
    """The rows and columns (size,) that are cut out of one picture's levels, mirrored if drawn; −1 is black.

    Anywhere, with padding or scale jitter; in the middle without.
    """
    lines = []
    for axis in range(2):
        length, pad = levels.shape[axis], augmentation.padded_crop
        room = length + 2 * pad - size
        is_free = room > 0 and (pad or drawn.scales is not None)
        start = math.floor(drawn.shifts[index, axis] * (room + 1)) if is_free else preparing.offset(length + 2 * pad, size)
        line = np.arange(start - pad, start - pad + size)
        if augmentation.padding == "reflect" and length > 1:
            line = np.abs((line + (length - 1)) % (2 * (length - 1)) - (length - 1))
        else:
            line[(line < 0) | (line >= length)] = -1
        lines.append(line)
    rows, columns = lines
    return rows, columns[::-1].copy() if drawn.flips[index] else columns


def coloured(levels: np.ndarray, augmentation: Augmentation, u: np.ndarray) -> np.ndarray:
    """(H, W, C) uint8 and twelve uniform numbers → the same in other colours; alpha stays, grey has no saturation or hue."""
    out = levels
    if augmentation.colour_jitter is not None:
        for kind in np.argsort(u[:4], kind="stable"):                   # a random order
            strength = augmentation.colour_jitter[kind]
            low = -strength if kind == 3 else max(0.0, 1 - strength)
            if strength:
                out = JITTERS[kind](out, low + u[4 + kind] * ((strength if kind == 3 else 1 + strength) - low))
    if augmentation.colour_shift and levels.shape[2] >= 3:
        normal = normals(u[8:12])[:3]
        shift = EIGENVECTORS @ (EIGENVALUES * normal * augmentation.colour_shift)
        out = levels_of(out[:, :, :3] + shift, out)
    return out


def normals(u):
    """Four uniform numbers → four standard normal ones (Box and Muller 1958)."""
    radius, angle = np.sqrt(-2 * np.log1p(-u[::2])), 2 * np.pi * u[1::2]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])


def levels_of(values, like):
    """Float colours → uint8, rounded and cut to 0 … 255, with the other channels of `like`."""
    whole = like.copy()
    whole[:, :, :values.shape[2]] = np.clip(np.rint(values), 0, 255)
    return whole


def grey_of(levels):
    """(H, W, C) → (H, W, 1): Pillow's grey (299 R + 587 G + 114 B) / 1000, or the only channel."""
    if levels.shape[2] < 3:
        return levels[:, :, :1].astype(np.float64)
    return np.rint(levels[:, :, :3] @ np.array([0.299, 0.587, 0.114]))[:, :, np.newaxis]


def colours_of(levels):
    """The channels that are colours or grey."""
    return levels[:, :, :3] if levels.shape[2] >= 3 else levels[:, :, :1]


def brightness(levels, factor):
    """Towards black."""
    return levels_of(colours_of(levels) * factor, levels)


def contrast(levels, factor):
    """Towards the mean grey."""
    return levels_of((colours_of(levels) - (mean := np.rint(grey_of(levels).mean()))) * factor + mean, levels)


def saturation(levels, factor):
    """Towards each pixel's grey."""
    return levels_of((colours_of(levels) - (grey := grey_of(levels))) * factor + grey, levels)


def hue(levels, shift):
    """Around the colour circle, whose length is 1."""
    if levels.shape[2] < 3:
        return levels
    hsv = np.array(Image.fromarray(np.ascontiguousarray(levels[:, :, :3])).convert("HSV"))
    hsv[:, :, 0] += np.uint8(int(255 * shift) % 256)
    return levels_of(np.asarray(Image.fromarray(hsv, "HSV").convert("RGB")), levels)


JITTERS = (brightness, contrast, saturation, hue)
NOTHING = Augmentation()
