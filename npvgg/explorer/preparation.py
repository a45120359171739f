"""What becomes of a picture before the first layer, step by step, as plain values."""
from typing import Any

import numpy as np
from PIL import Image

from npvgg import images
from npvgg.images.preparing import on_photograph, resized_size
from npvgg.images.presets import Preset

CHANNELS = {"L": ("grey",), "RGB": ("red", "green", "blue"), "BGR": ("blue", "green", "red"),
            "RGBA": ("red", "green", "blue", "alpha")}


def follow(picture: Image.Image, preset: Preset) -> dict[str, Any]:
    """A picture and a preset → its sizes on the way, the part that is kept, and the range of each channel that comes out."""
    width, height = picture.size
    resized, crop = resized_size(picture.size, preset), preset.crop
    top, left, bottom, right = on_photograph((0, 0, crop, crop), picture.size, preset)
    x = images.prepare(picture, preset)
    return {
        "preset": preset.name, "given": {"width": width, "height": height, "mode": picture.mode},
        "resized": {"width": resized[0], "height": resized[1], "interpolation": preset.interpolation},
        "crop": {"side": crop, "top": top, "left": left, "bottom": bottom, "right": right},
        "divisor": preset.divisor,
        "channels": [{"name": name, "mean": mean, "std": std, "lowest": float(plane.min()), "highest": float(plane.max()),
                      "average": float(plane.mean(dtype=float))}
                     for name, mean, std, plane in zip(CHANNELS[preset.order], preset.mean, preset.std, x, strict=True)],
        "shape": [1, *x.shape],
    }


def words(found: dict[str, Any]) -> dict[str, str]:
    """What `follow` found, for people: {step: words}."""
    given, resized, crop = found["given"], found["resized"], found["crop"]
    lines = {
        "preset": found["preset"],
        "given": f"{given['width']}×{given['height']} pixels, {given['mode']}",
        "resized": f"{resized['width']}×{resized['height']}, {resized['interpolation']}",
        "crop": f"the central {crop['side']}×{crop['side']}: rows {crop['top']:.0f} … {crop['bottom']:.0f} and columns "
                f"{crop['left']:.0f} … {crop['right']:.0f} of what was given",
        "normalised": f"(level ÷ {found['divisor']:g} − mean) ÷ deviation, channels in this order:",
    }
    for channel in found["channels"]:
        lines[channel["name"]] = (f"mean {channel['mean']:g}, deviation {channel['std']:.4g} → {channel['lowest']:.3f} … "
                                  f"{channel['highest']:.3f}, on average {channel['average']:.3f}")
    return lines | {"input": "×".join(map(str, found["shape"]))}


def as_picture(levels: np.ndarray) -> Image.Image:
    """(H, W, C) uint8 → a picture."""
    return Image.fromarray(levels[:, :, 0] if levels.shape[2] == 1 else levels)
