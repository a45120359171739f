"""Pictures of numbers: a heat map laid over its photograph, and a sheet of a layer's maps on one scale of colours."""
import math

import numpy as np
from PIL import Image, ImageDraw

from npvgg.explorer.colours import coloured, limit
from npvgg.explorer.resampling import upsampled

OPACITY = 0.75
GREY = np.array((0.299, 0.587, 0.114))    # Pillow's weights of red, green and blue
SHORTEST = 256                            # a smaller photograph is enlarged to it, so that one sees something
TILE, GAP, FINE = 48, 4, 24               # pixels of a tile at least, and between tiles: 1 between those smaller than FINE
MARGIN, BAR = 8, 12


def overlay(photograph: Image.Image, values: np.ndarray, box: tuple, *, is_signed: bool,
            opacity: float = OPACITY) -> Image.Image:
    """A photograph, a map (H, W) and where it lies, (top, left, bottom, right) → the photograph with the map's colours.

    Numbers near 0 let the photograph through, in grey, so that all colour is the map's; large ones have the whole `opacity`;
    outside the box nothing changes.  The scale ends where smaller numbers make up 90 % of the sum of all sizes, so that a
    single pixel does not hide the rest.
    """
    photograph = photograph.convert("RGB")
    scale = max(1.0, SHORTEST / min(photograph.size))
    width, height = (max(1, round(side * scale)) for side in photograph.size)
    pixels = np.asarray(photograph.resize((width, height), Image.Resampling.BICUBIC)).astype(np.float64)
    top, left, bottom, right = (round(edge * scale) for edge in box)
    region = np.s_[max(0, top):min(height, max(bottom, top + 1)), max(0, left):min(width, max(right, left + 1))]
    enlarged = upsampled(np.asarray(values, np.float64), pixels[region].shape[:2])
    most = heavy_end(values)
    weight = opacity * np.clip(np.abs(np.nan_to_num(enlarged)) / most, 0, 1)[..., np.newaxis] ** 0.5
    pixels[region] = (pixels[region] @ GREY)[..., np.newaxis]
    pixels[region] = (1 - weight) * pixels[region] + weight * coloured(enlarged, is_signed=is_signed, most=most)
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


def in_grey(values: np.ndarray) -> Image.Image:
    """A map (H, W) → the sizes of its numbers as a grey picture, white where they are largest."""
    sizes = np.abs(np.nan_to_num(np.asarray(values, np.float64)))
    return Image.fromarray(np.rint(255 * np.clip(sizes / heavy_end(sizes), 0, 1)).astype(np.uint8))


def heavy_end(values: np.ndarray, share: float = 0.9) -> float:
    """The size up to which the values make up this share of the sum of their sizes; Captum's pictures take 0.98."""
    sizes = np.sort(np.abs(np.nan_to_num(np.asarray(values, np.float64).ravel())))
    total = np.cumsum(sizes)
    return float(sizes[min(len(sizes) - 1, int(np.searchsorted(total, share * total[-1])))]) or limit(values)


def sheet(maps: np.ndarray, *, is_signed: bool, title: str = "") -> Image.Image:
    """(C, h, w) → a picture of all maps side by side in the order of rows, on one scale; a title and the scale below."""
    count, height, width = maps.shape
    scale = max(1, math.ceil(TILE / max(height, width)))
    gap = GAP if min(height, width) * scale >= FINE else 1
    columns = math.ceil(math.sqrt(count * height / width))
    rows = math.ceil(count / columns)
    most = limit(maps)
    step_y, step_x = height * scale + gap, width * scale + gap
    sides = max(columns * step_x - gap, 240) + 2 * MARGIN, rows * step_y - gap + 2 * MARGIN
    canvas = np.full((sides[1], sides[0], 3), 255, np.uint8)
    for at, colours in enumerate(coloured(maps, is_signed=is_signed, most=most)):
        top, left = MARGIN + at // columns * step_y, MARGIN + at % columns * step_x
        canvas[top:top + height * scale, left:left + width * scale] = colours.repeat(scale, 0).repeat(scale, 1)
    return with_scale(Image.fromarray(canvas), title, -most if is_signed else 0.0, most, is_signed)


def with_scale(picture: Image.Image, title: str, low: float, high: float, is_signed: bool) -> Image.Image:
    """A picture with a bar of its colours below, what its ends mean, and the title."""
    width, height = picture.size
    words = ImageDraw.Draw(picture)
    line = math.ceil(words.textbbox((0, 0), "0")[3]) + 4
    page = Image.new("RGB", (width, height + BAR + 2 * line + MARGIN), "white")
    page.paste(picture)
    ramp = coloured(np.linspace(low, high, width - 2 * MARGIN)[np.newaxis].repeat(BAR, 0), is_signed=is_signed, most=high)
    page.paste(Image.fromarray(ramp), (MARGIN, height))
    words = ImageDraw.Draw(page)
    words.text((MARGIN, height + BAR + 2), f"{low:.4g}", fill="black")
    words.text((width - MARGIN, height + BAR + 2), f"{high:.4g}", fill="black", anchor="ra")
    words.text((MARGIN, height + BAR + line), title, fill="black")
    return page
