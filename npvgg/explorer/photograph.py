"""A picture as it was given, so that what is found in the prepared one can be shown on it."""
import os
from dataclasses import dataclass
from typing import Any

from PIL import Image

from npvgg import images
from npvgg.architecture import CHANNELS
from npvgg.images.preparing import on_photograph
from npvgg.images.presets import Preset


@dataclass(frozen=True, eq=False)
class Photograph:
    """One picture for `images.batch`, read once, and its size (W, H); None for an array that is prepared already."""

    picture: Any
    size: tuple[int, int] | None
    preset: Preset

    @classmethod
    def of(cls, image: Any, preset: Preset) -> "Photograph":
        """What `images.batch` takes → the same with its size.  Errors: those of `images.read`."""
        if isinstance(image, (str, os.PathLike, bytes, bytearray, memoryview, Image.Image)) or hasattr(image, "read"):
            picture = images.read(image, mode=preset.mode)
            return cls(picture, picture.size, preset)
        shape = getattr(image, "shape", ())
        is_picture = len(shape) == 2 or len(shape) == 3 and shape[-1] in CHANNELS
        return cls(image, (shape[1], shape[0]) if is_picture else None, preset)

    def box(self, box: tuple) -> tuple | None:
        """(top, left, bottom, right) of the prepared picture → of this one, cut at its edges; None where there is none."""
        if self.size is None:
            return None
        width, height = self.size
        top, left, bottom, right = on_photograph(box, self.size, self.preset)
        return max(0, top), max(0, left), min(height, bottom), min(width, right)
